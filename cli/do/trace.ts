/** What the recorder of signalling kept about a channel, device, upstream or call, as a ladder, in full, judged, or as a capture file. */
import { type LadderOptions, ladderLines } from '#core/diagnose/ladder.ts';
import type { Passed } from '#core/diagnose/passed.ts';
import type { Finding } from '#core/diagnose/rule.ts';
import { validate } from '#core/diagnose/validate.ts';
import { GatewayError } from '#core/result.ts';
import { systemClock } from '#kit/clock.ts';
import { type Context, defineCommand, JSON_FLAG } from '../command.ts';
import { clip, displayWidth } from '../render.ts';
import { captureOf, writeCapture } from '../wire/capture-file.ts';
import { spanMs } from '../wire/duration.ts';
import { findingLines } from '../wire/findings-text.ts';
import { decode, recorded } from '../wire/recorded.ts';
import { pause } from '../wire/pause.ts';
import { inventoryOf, partyFinder, type Target, targetOf } from '../wire/target.ts';

const DEFAULT_LAST = '10m';
const LOOK_EVERY_MS = 500;
const FOUND = 1;
/** Rows that are laid out together while new ones come. */
const MAX_FOLLOWED = 2000;
const COLUMNS_WITHOUT_TERMINAL = 120;

interface Report {
  readonly target: string;
  readonly messages: readonly object[];
  readonly findings: readonly Finding[] | undefined;
  readonly lost: boolean;
}

const textOf = (bytes: Uint8Array): string => decode(bytes).text.replaceAll('\r\n', '\n');

function rawRow({ sequence, atWallMs, direction, transport, local, remote, callId, bytes, cut }: Passed): object {
  return { sequence, at: new Date(atWallMs).toISOString(), direction, transport, local, remote, callId, cut, text: decode(bytes).text };
}

function fullText(messages: readonly Passed[]): string {
  const whole = messages.map(message => `--- ${new Date(message.atWallMs).toISOString()} ${message.transport} ${message.direction === 'in' ? 'from' : 'to'} ${message.remote.address}:${message.remote.port}\n${textOf(message.bytes)}`);
  return whole.length === 0 ? 'nothing was recorded' : whole.join('\n');
}

function marksOf(findings: readonly Finding[]): ReadonlyMap<number, string> {
  return new Map(findings.filter(({ severity }) => severity === 'wrong').flatMap(({ sequences }) => sequences.map(sequence => [sequence, '! '] as const)));
}

function ladderText(messages: readonly Passed[], findings: readonly Finding[] | undefined, options: LadderOptions): string {
  if (messages.length === 0) return 'nothing was recorded';
  return ladderLines(messages, { ...options, marks: marksOf(findings ?? []) }).join('\n');
}

/** New messages as they come, until it is interrupted. */
async function follow(context: Context, target: Target, after: number, shown: readonly Passed[], options: LadderOptions, show: (text: string) => void): Promise<void> {
  let known = [...shown];
  let next = after;
  let heading = ladderLines(known, options)[0];
  while (!context.signal.aborted) {
    await pause(LOOK_EVERY_MS);
    const recording = await context.sipd(client => recorded(client, { after: next, needles: target.needles, peers: target.peers }));
    next = recording.next;
    const before = ladderLines(known, options).length;
    const fresh = target.select([...known, ...recording.messages]).filter(message => !known.includes(message));
    if (fresh.length === 0) continue;
    known = [...known, ...fresh];
    const lines = ladderLines(known, options);
    if (lines[0] !== heading) show(lines[0]!);
    heading = lines[0];
    show(lines.slice(Math.max(1, before)).join('\n'));
    if (known.length > MAX_FOLLOWED) known = known.slice(-MAX_FOLLOWED / 2);
  }
}

export default defineCommand({
  path: 'trace',
  access: 'diagnose',
  live: true,
  help: 'what was said about a channel, device, upstream or call: a ladder of its messages; with --validate exit code 1 when a rule is broken',
  args: {
    target: { type: 'argument', help: 'channel or device ID, a part of a name, an upstream, a Call-ID; default: everything', optional: true },
    last: { type: 'option', help: `how far back, e.g. 30s, 10m, 2h; default ${DEFAULT_LAST}` },
    follow: { type: 'flag', help: 'go on with what comes, until interrupted' },
    full: { type: 'flag', help: 'the messages themselves' },
    validate: { type: 'flag', help: 'name the rules that are broken, with their clauses' },
    pcap: { type: 'option', values: 'file', help: 'write a capture file for Wireshark' },
    json: JSON_FLAG,
  },
  async run(context, args) {
    const sinceWallMs = systemClock.wall() - spanMs('last', args.last ?? DEFAULT_LAST);
    const inventory = await context.sipd(inventoryOf);
    const target = targetOf(args.target, inventory);
    const recording = await context.sipd(client => recorded(client, { sinceWallMs, needles: target.needles, peers: target.peers }));
    const messages = target.select(recording.messages);
    if (messages.length === 0 && args.target !== undefined && target.kind === 'call' && !args.follow) throw new GatewayError('PEER_UNKNOWN', { target: args.target, why: 'is no channel, device or upstream, and no call that was recorded' });
    const findings = args.validate ? validate(messages, decode, systemClock.wall()) : undefined;
    if (args.pcap !== undefined) await writeCapture(args.pcap, captureOf(messages));
    const options: LadderOptions = { width: displayWidth, clip, columns: context.terminal?.columns ?? COLUMNS_WITHOUT_TERMINAL, partyOf: partyFinder(inventory), decode };
    const report: Report = { target: target.name, messages: args.json ? messages.map(rawRow) : [], findings, lost: recording.lost };
    context.print(report, args.json, () => {
      const body = args.full ? fullText(messages) : ladderText(messages, findings, options);
      const file = args.pcap === undefined ? [] : ['', `${messages.length} messages are in ${args.pcap}`];
      return [body, ...(findings === undefined ? [] : ['', ...findingLines(findings)]), ...file].join('\n');
    });
    if (args.follow && !args.json) await follow(context, target, recording.next, messages, options, text => context.out(text));
    return findings?.some(({ severity }) => severity === 'wrong') === true ? FOUND : 0;
  },
});
