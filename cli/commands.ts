import type { Command } from './command.ts';
import check from './configure/check.ts';
import reload from './configure/reload.ts';
import apiFirstPassword from './do/api-first-password.ts';
import banRemove from './do/ban-remove.ts';
import catalogRefresh from './do/catalog-refresh.ts';
import { completeForShell, completionBash } from './do/completion.ts';
import help from './do/help.ts';
import play from './do/play.ts';
import snapshot from './do/snapshot.ts';
import trace from './do/trace.ts';
import why from './do/why.ts';
import api from './show/api.ts';
import bans from './show/bans.ts';
import channels from './show/channels.ts';
import counters from './show/counters.ts';
import devices from './show/devices.ts';
import firewall from './show/firewall.ts';
import inlets from './show/inlets.ts';
import resources from './show/resources.ts';
import sessions from './show/sessions.ts';
import transcoders from './show/transcoders.ts';
import upstreams from './show/upstreams.ts';
import view from './show/view.ts';

/** In the order of the help. */
export const COMMANDS: readonly Command[] = [
  devices,
  channels,
  resources,
  upstreams,
  view,
  sessions,
  inlets,
  transcoders,
  counters,
  api,
  bans,
  firewall,
  why,
  trace,
  play,
  snapshot,
  catalogRefresh,
  banRemove,
  apiFirstPassword,
  check,
  reload,
  help,
  completionBash,
  completeForShell,
];
