/** Two nodes become a pair by one code, and part again. */
import type { PairingReport } from '#contracts/clusterd.ts';
import { GatewayError } from '#core/result.ts';
import { askSecret } from '../ask-secret.ts';
import { defineCommand, JSON_FLAG, type Context } from '../command.ts';
import { waitText } from '../configure/commit-wait.ts';
import { author } from '../configure/common.ts';
import { Interrupted } from '../interrupted.ts';
import { pause } from '../wire/pause.ts';
import { type PairingOutcome, pairingOutcome } from './pairing-outcome.ts';

const MINUTES = 10;
/** The other node tries the configuration with its daemons. */
const JOIN = { timeoutMs: 150_000 };
/** Daemons start anew, one after the other: there, then here. */
const IN_FORCE_MS = 1_800_000;
const LOOK_EVERY_MS = 500;
/** The other node commits first; when that fails there this one is not told. */
const HINT_S = 120;
const UNITS = 'viewlink-clusterd viewlink-pair-state viewlink-pair-addresses';

const NODE_ARGS = {
  name: { type: 'option', help: 'name of this node in the pair' },
  link: { type: 'option', help: 'its address on the link between the two' },
  lan: { type: 'option', help: 'its address on the service network' },
  media: { type: 'option', help: 'its media address with prefix, which moves when it fails' },
} as const;

/** Without clusterd there is nobody to ask, and on a gateway that stands alone it may never have run. */
async function asked<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (!(error instanceof GatewayError) || error.code !== 'DAEMON_UNREACHABLE' || !String(error.detail['socket'] ?? '').endsWith('clusterd.sock') || 'timeoutMs' in error.detail) throw error;
    throw new GatewayError('DAEMON_UNREACHABLE', { why: `clusterd does not run on this node: systemctl enable --now ${UNITS}` }, { cause: error });
  }
}

export const clusterPair = defineCommand({
  path: 'cluster pair',
  access: 'configure',
  help: 'let one other node in: prints one code, to be typed there',
  args: {
    ...NODE_ARGS,
    minutes: { type: 'option', help: 'how long the code can be used, 1 to 60; 10 when not given' },
    address: { type: 'option', help: 'SIP address of the pair with prefix, which is on the active node' },
    json: JSON_FLAG,
  },
  async run(context, { minutes = String(MINUTES), name = null, link = null, lan = null, media = null, address = null, json }) {
    if (!/^\d{1,2}$/.test(minutes)) throw new GatewayError('BAD_REQUEST', { minutes, why: 'expected 1 to 60' });
    const opened = await asked(() => context.clusterd(client => client.call('pair', { minutes: Number(minutes), terms: { name, link, lan, media, address }, author: author(context) }, JOIN)));
    const newPair = link !== null;
    context.print(opened, json, ({ code, address: at }) => [code, '', `type on the other node within ${minutes} min:`, `  vlink cluster join ${at} ${code}${newPair ? ' --name NAME --lan ADDRESS' : ''}`, 'then here: vlink cluster show', ''].join('\n'));
    return 0;
  },
});

export const clusterJoin = defineCommand({
  path: 'cluster join',
  access: 'configure',
  help: 'make this node the other one of a pair, with the code that vlink cluster pair printed there',
  args: {
    address: { type: 'argument', help: 'address of the other node on the link' },
    code: { type: 'argument', help: 'the code; asked for when it is not given', optional: true, secret: true },
    ...NODE_ARGS,
  },
  async run(context, { address, code, name = null, link = null, lan = null, media = null }) {
    const typed = code ?? (await askSecret(context, 'code'));
    const { node, peer } = await asked(() => context.clusterd(client => client.call('join', { address, port: null, code: typed, name, link, lan, media, author: author(context) }, JOIN)));
    context.out(`this node is ${node}, paired with ${peer}; its configuration comes into force, daemons start anew`);
    const { done, last } = await inForce(context, s => (s < HINT_S ? `${peer}: ${s} s` : `${peer}: ${s} s; when this does not end, vlink cluster show there says why`), ({ alone }) => !alone).finally(() => context.progress(''));
    if (!done) {
      context.err(`not in force: ${last ?? `no answer within ${IN_FORCE_MS / 1000} s`}; forget ${peer} on this node and ${node} on the other one, then pair again`);
      return 1;
    }
    context.out(`done; see vlink cluster show. Units of a pair, where they do not run yet: systemctl enable --now ${UNITS}`);
    return 0;
  },
});

/** clusterd itself starts anew meanwhile. `what`: shown while nobody here is waited for; `isThere`: what is waited for. */
async function inForce(context: Context, what: (waitedS: number) => string, isThere: (report: PairingReport) => boolean): Promise<PairingOutcome> {
  let wasThere = false;
  for (let waitedMs = 0; waitedMs < IN_FORCE_MS && !context.signal.aborted; waitedMs += LOOK_EVERY_MS) {
    await pause(LOOK_EVERY_MS);
    const wait = await orNull(context.configd(client => client.call('waitsFor', {}, { timeoutMs: LOOK_EVERY_MS })));
    context.progress(wait === null ? what(Math.round(waitedMs / 1000)) : waitText(wait));
    const report = await orNull(context.clusterd(client => client.call('pairing', {})));
    const status = await orNull(context.configd(client => client.call('status', {})));
    if (report === null) continue;
    const there = isThere(report);
    wasThere ||= there;
    const outcome = pairingOutcome({ isThere: there, wasThere, applying: status?.applying ?? null, last: report.last });
    if (outcome !== null) return outcome;
  }
  return { done: false, last: context.signal.aborted ? 'not waited for any longer' : null };
}

const orNull = <T>(asked: Promise<T>): Promise<T | null> =>
  asked.catch((error: unknown) => {
    if (error instanceof GatewayError || error instanceof Interrupted) return null;
    throw error;
  });

export const clusterForget = defineCommand({
  path: 'cluster forget',
  access: 'configure',
  help: 'believe a node nothing any more, and change the key of the pair: a dead or stolen one, before another machine takes its place',
  args: { node: { type: 'argument', help: 'its name' }, force: { type: 'flag', help: 'although it is alive' } },
  async run(context, { node, force }) {
    const { keyId } = await asked(() => context.clusterd(client => client.call('forget', { node, force, author: author(context) })));
    context.out(`${node} is forgotten: its certificate is worth nothing here${keyId === null ? '' : '; a new key of the pair comes into force, signalling starts anew'}`);
    const { done, last } = keyId === null ? { done: true, last: null } : await inForce(context, s => `${node}: ${s} s`, report => report.keyId === keyId).finally(() => context.progress(''));
    if (!done) {
      context.err(`not in force: ${last ?? `no answer within ${IN_FORCE_MS / 1000} s`}; ${node} still has the key of the pair: mend that, then forget it again`);
      return 1;
    }
    context.out('done; for another machine in its place: vlink cluster pair');
    return 0;
  },
});
