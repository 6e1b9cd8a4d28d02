/** Section `host`: the packet filter of this machine, written out of the rest of the configuration, and who is shut out for a while. */
import { z } from 'zod';
import { parseNetwork } from '../ip.ts';
import type { FieldProblem } from './field-problem.ts';

const MAX_TEXT = 255;
const cidr = z.string().max(MAX_TEXT).refine(text => parseNetwork(text) !== undefined, 'expected an address or a network such as 10.1.0.0/16');
const port = z.int().min(1).max(65535);
const networks = z.array(cidr).max(256).default([]);

const bans = z.strictObject({
  enabled: z.boolean().default(true).describe('false: nobody is shut out, only slowed down'),
  points: z.int().min(1).max(1000).default(10).describe('so many within windowS and an address is shut out: a scanner gives 5, a wrong password 2, a flood, what is no SIP or is for nobody here 1'),
  windowS: z.int().min(1).max(86400).default(600).describe('points older than this no longer count'),
  banS: z.int().min(1).max(604800).default(3600).describe('shut out for so long; each time it comes again twice as long'),
  maxBanS: z.int().min(1).max(2592000).default(86400).describe('and at most so long'),
  never: networks.describe('addresses that are never shut out, besides registered devices, platforms and host.management'),
});

export const hostSchema = z.strictObject({
  firewall: z.boolean().default(false).describe('true: whatever comes and is not declared in this configuration is dropped (nftables, table inet viewlink only)'),
  management: networks.describe('networks of those who look after this machine: SSH; never shut out; needed with firewall'),
  managementPorts: z.array(port).min(1).max(16).default([22]).describe('TCP ports for them'),
  viewers: networks.describe('with firewall: networks of players at the outlets and publishers to inlets'),
  api: networks.describe('with firewall: networks of clients of the HTTP API; api.metricsNetworks are let in too'),
  ping: z.boolean().default(true).describe('with firewall: echo requests are answered, a few a second'),
  sipPacketsPerS: z.int().min(10).max(1000000).default(2000).describe('with firewall: SIP packets a second from one address, twice that at once; the rest is dropped by the kernel'),
  egress: z.enum(['open', 'declared']).default('open').describe('with firewall: declared: we send to declared peers and services only (for a gap)'),
  services: networks.describe('with egress declared: time, logs, updates and whatever else may be reached'),
  bans: bans.prefault({}).describe('addresses that scan, guess or flood are shut out for a while, with what they did kept (vlink show bans)'),
});

export type HostConfig = z.infer<typeof hostSchema>;
export type BanRules = HostConfig['bans'];

/** Rules between its fields. */
export function* checkHost({ firewall, management, bans }: HostConfig): Generator<FieldProblem> {
  if (firewall && management.length === 0) yield { path: ['host', 'management'], why: 'with the firewall on nobody could come by SSH: name the networks of those who look after this machine' };
  if (bans.banS > bans.maxBanS) yield { path: ['host', 'bans', 'banS'], why: `more than maxBanS, ${bans.maxBanS}` };
}
