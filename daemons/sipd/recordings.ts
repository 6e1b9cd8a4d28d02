/**
 * Recordings that play through us: INVITE with s=Playback or Download is relayed like a live one, but each has its recorder's session
 * for itself, can be steered, and ends.
 *
 *   INFO of the platform -> steer -> INFO to the recorder -> its answer -> 200 with the platform's CSeq
 *   its connection dies with a node -> core/gb/playback-resume -> INVITE for the rest
 *   MediaStatus of the recorder, its BYE, silence at the end -> core/gb/playback-session -> MediaStatus to the platform -> BYE
 */
import type { MediadEvent } from '#contracts/mediad.ts';
import { fromByteString, toByteString } from '#core/bytes.ts';
import type { Manscdp } from '#core/gb/manscdp.ts';
import { textOf } from '#core/gb/xml.ts';
import { MANSCDP_TYPE, buildManscdp } from '#core/gb/manscdp-write.ts';
import { MANSRTSP_TYPE, type MansrtspRequest, formatMansrtspRequest, formatMansrtspResponse, parseMansrtsp } from '#core/gb/mansrtsp.ts';
import { type StoredPlayback, restOf, shiftedRange, wentOn } from '#core/gb/playback-resume.ts';
import { type PlaybackOutput, type PlaybackPosition, PlaybackSession } from '#core/gb/playback-session.ts';
import { assertNever } from '#core/result.ts';
import { addMs } from '#core/units.ts';
import { encodeBody } from '#kit/charset.ts';
import { Alarm, type Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import type { IncomingRequest, Outcome } from '#kit/sip-endpoint.ts';
import type { Counters } from '#kit/counters.ts';
import type { WhenKept } from './alarms.ts';
import type { DeviceReach } from './devices.ts';
import type { History } from './leg-plan.ts';
import type { Source } from './source.ts';
import type { Viewer } from './viewer.ts';

/** A recorder that does not answer an INFO holds nobody up longer. */
const ANSWER_MS = 5000;
/** Of one session under way: an impatient operator, not a flood. */
const MAX_PENDING = 8;
const FINISHED = '121';
const END_OF_FILE = `<NotifyType>${FINISHED}</NotifyType>\r\n`;
/** Said to an INFO these end the dialog of the platform (RFC 3261 12.2.1.2), though only the recorder's way is meant. */
const FATAL = new Set([408, 481]);

export interface RecordingsDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly counters: Counters;
  readonly whenKept: WhenKept;
  reach(deviceId: string): DeviceReach | null;
}

export interface Recording {
  readonly source: Source;
  readonly viewer: Viewer;
  readonly session: PlaybackSession;
  readonly alarm: Alarm;
  /** Its connection died with a node: who hangs up now is not at its end. */
  isCut: boolean;
  cseq: number;
  sn: number;
  pending: number;
}

export class Recordings implements Disposable {
  readonly #deps: RecordingsDeps;
  readonly #byBridge = new Map<string, Recording>();

  constructor(deps: RecordingsDeps) {
    this.#deps = deps;
  }

  [Symbol.dispose](): void {
    for (const { alarm } of this.#byBridge.values()) alarm[Symbol.dispose]();
  }

  /** A source with a history plan got its one viewer. */
  began(source: Source, viewer: Viewer, options: { readonly silenceMs: number; readonly maxPauseMs: number }, from?: StoredPlayback, isCut = false): void {
    const { history } = source.plan;
    if (history === undefined) return;
    const { startS, stopS, downloadSpeed } = history;
    const now = this.#deps.clock.now();
    const session = new PlaybackSession({ durationS: stopS - startS, speed: downloadSpeed ?? 1, ...options }, now, from && wentOn(from, history, this.#deps.clock.wall()));
    const { bridgeId } = source;
    const alarm = new Alarm(this.#deps.clock, () => this.#run(bridgeId, session.tick(this.#deps.clock.now())));
    this.#byBridge.set(bridgeId, { source, viewer, session, alarm, isCut, cseq: 0, sn: 0, pending: 0 });
    this.#run(bridgeId, []);
    this.#deps.counters.add(`recording.${history.kind.toLowerCase()}`);
  }

  position(bridgeId: string): PlaybackPosition | undefined {
    return this.#byBridge.get(bridgeId)?.session.position(this.#deps.clock.now());
  }

  /** Worth a row on disk. */
  stored(bridgeId: string): StoredPlayback | undefined {
    const position = this.position(bridgeId);
    return position && { ...position, atWallMs: this.#deps.clock.wall() };
  }

  /** What its recorder is asked for after a takeover; null: nothing. */
  rest({ bridgeId, plan: { history } }: Source): History | null {
    const position = this.position(bridgeId);
    return history === undefined || position === undefined ? null : restOf(history, position);
  }

  /** It is not lost: who hangs up from now on means it. */
  stands(bridgeId: string): void {
    const recording = this.#byBridge.get(bridgeId);
    if (recording !== undefined) recording.isCut = false;
  }

  /** Its recorder was asked for the rest, and plays it: as fast as before, or not now. */
  flowsAgain(source: Source): void {
    const recording = this.#byBridge.get(source.bridgeId);
    if (recording === undefined) return;
    const { session } = recording;
    const { state, scale } = session.position(this.#deps.clock.now());
    recording.isCut = false;
    session.resumed(beginOf(source), this.#deps.clock.now());
    this.#deps.counters.add('recording.resumed');
    this.#run(source.bridgeId, []);
    if (state === 'paused') this.#tell(recording, { method: 'PAUSE' });
    else if (scale !== 1) this.#tell(recording, { method: 'PLAY', scale });
  }

  #tell(recording: Recording, request: Partial<MansrtspRequest> & Pick<MansrtspRequest, 'method'>): void {
    void this.#inform(recording, { kind: 'request', cseq: 0, range: undefined, scale: undefined, ...request });
  }

  /** Undefined: no answer in time. */
  async #inform(recording: Recording, request: MansrtspRequest): Promise<Outcome | undefined> {
    const { leg } = recording.source;
    const style = this.#deps.reach(leg?.plan.deviceId ?? '')?.config.mansrtsp;
    const body = formatMansrtspRequest({ ...request, cseq: (recording.cseq += 1) }, style);
    const answered = leg?.info({ contentType: MANSRTSP_TYPE, body: fromByteString(body) });
    // Whatever it says: who comes after us goes on behind the number that this has used up.
    recording.source.changed();
    return await this.#within(answered);
  }

  /** True: this silence is meant, or was the end. */
  onMediaEvent(event: MediadEvent): boolean {
    if (!('bridgeId' in event)) return false;
    const recording = this.#byBridge.get(event.bridgeId);
    if (recording === undefined) return false;
    if (event.type === 'source-flowing') recording.session.flowing();
    if (event.type !== 'source-silent') return false;
    this.#run(event.bridgeId, recording.session.silent(event.silentMs, this.#deps.clock.now()));
    return true;
  }

  /** Before the platform is hung up on: a recorder that says BYE was at its end, as far as anybody can tell. */
  sourceEnded(viewerId: string): void {
    const now = this.#deps.clock.now();
    for (const [bridgeId, { viewer, source, session, isCut }] of this.#byBridge) {
      const history = source.leg?.history;
      if (viewer.plan.sinkId === viewerId && history?.flowed === true) this.#run(bridgeId, history.hungUp && !isCut ? session.ended(now) : session.lost(now));
    }
  }

  closed(bridgeId: string): void {
    this.#byBridge.get(bridgeId)?.alarm[Symbol.dispose]();
    this.#byBridge.delete(bridgeId);
  }

  /** MediaStatus: in the dialog of the recorder, or outside it under whatever ID (quirk 63). True: it was one of ours. */
  mediaStatus(message: Manscdp, from: { readonly bridgeId: string } | { readonly deviceId: string }): boolean {
    if (message.root !== 'Notify' || message.cmdType !== 'MediaStatus') return false;
    const { counters, clock } = this.#deps;
    // Some tell other things by numbers of their own.
    if ((textOf(message.element, 'notifytype') ?? FINISHED) !== FINISHED) {
      counters.add('recording.media-status-other');
      return true;
    }
    const all = [...this.#byBridge].filter(([bridgeId, { source }]) => ('bridgeId' in from ? bridgeId === from.bridgeId : source.leg?.plan.deviceId === from.deviceId));
    const named = all.filter(([, { source }]) => source.leg?.plan.channelId === message.deviceId);
    const meant = 'bridgeId' in from ? all : named.length > 0 ? named : all;
    counters.add(meant.length === 1 ? 'recording.media-status' : 'recording.media-status-unclear');
    // Of several of one channel nobody can say which: they end by silence.
    if (meant.length === 1) this.#run(meant[0]![0], meant[0]![1].session.ended(clock.now()));
    return true;
  }

  /** INFO inside the dialog of a platform. */
  async steer(viewer: Viewer, incoming: IncomingRequest): Promise<void> {
    const { counters } = this.#deps;
    const recording = this.#byBridge.get(viewer.source.bridgeId);
    const asked = parseMansrtsp(toByteString(incoming.request.body));
    if (recording === undefined) return this.#live(incoming, asked.ok ? asked.value.cseq : undefined);
    // Asks only whether the session lives (RFC 2976 2.2).
    if (incoming.request.body.length === 0) return incoming.respond(200);
    if (!asked.ok || asked.value.kind !== 'request') return this.#refuse(incoming, 400, 'unreadable');
    if (recording.pending >= MAX_PENDING) return this.#refuse(incoming, 503, 'too-many');
    const { value: request } = asked;
    const device = this.#deps.reach(recording.source.leg?.plan.deviceId ?? '');
    if (device?.config.steering === false) return this.#unsupported(incoming, request);
    const range = request.range && shiftedRange(request.range, beginOf(recording.source));
    if (request.range !== undefined && range === undefined) return this.#before(incoming, request);
    counters.add(`recording.steer.${request.method}`);
    recording.pending += 1;
    const outcome = await this.#inform(recording, { ...request, range });
    recording.pending -= 1;
    this.#answer(recording, incoming, request, outcome);
  }

  /** 481 would be the end of a live session that is fine: SIP says 200, and that it cannot be steered stands in the body (RFC 2326 11.3.6). */
  #live(incoming: IncomingRequest, cseq: number | undefined): void {
    if (cseq === undefined) return incoming.respond(200);
    incoming.respond(200, answerParts(formatMansrtspResponse({ status: 455, reason: 'Method Not Valid in This State', cseq, range: undefined, scale: undefined })));
  }

  #refuse(incoming: IncomingRequest, status: number, why: string): void {
    this.#deps.counters.add(`recording.steer-refused.${why}`);
    incoming.respond(status);
  }

  /** Said by us: the recorder would only refuse, or worse. */
  #unsupported(incoming: IncomingRequest, { cseq }: MansrtspRequest): void {
    this.#deps.counters.add('recording.steer-refused.unsupported');
    incoming.respond(501, answerParts(formatMansrtspResponse({ status: 501, reason: 'Not Implemented', cseq, range: undefined, scale: undefined })));
  }

  /** After a takeover its recorder was asked for the rest, and has nothing of what was before (RFC 2326 11.3.8). */
  #before(incoming: IncomingRequest, { cseq }: MansrtspRequest): void {
    this.#deps.counters.add('recording.steer-refused.before-begin');
    incoming.respond(200, answerParts(formatMansrtspResponse({ status: 457, reason: 'Invalid Range', cseq, range: undefined, scale: undefined })));
  }

  async #within(answer: Promise<Outcome> | undefined): Promise<Outcome | undefined> {
    if (answer === undefined) return undefined;
    const { clock } = this.#deps;
    const late = Promise.withResolvers<undefined>();
    using _limit = clock.schedule(addMs(clock.now(), ANSWER_MS), () => late.resolve(undefined));
    return await Promise.race([answer, late.promise]);
  }

  /** What the recorder said, and no more than that: a refusal stays one. */
  #answer(recording: Recording, incoming: IncomingRequest, request: MansrtspRequest, outcome: Outcome | undefined): void {
    const { clock, counters, log, whenKept } = this.#deps;
    if (outcome?.type !== 'response') {
      counters.add('recording.steer-unanswered');
      return incoming.respond(504);
    }
    const { status, body } = outcome.response;
    const said = parseMansrtsp(toByteString(body));
    const answer = said.ok && said.value.kind === 'response' ? said.value : undefined;
    const taken = status < 300 && (answer === undefined || answer.status < 300);
    const { channelId } = recording.source.channel;
    log.info({ channelId, method: request.method, scale: request.scale ?? null, from: request.range?.from ?? null, status, rtsp: answer?.status ?? null }, 'recording.steered');
    if (!taken) counters.add('recording.steer-rejected');
    if (taken) recording.session.steered({ ...request, scale: answer?.scale ?? request.scale }, clock.now());
    const range = answer?.range && shiftedRange(answer.range, -beginOf(recording.source));
    const parts = answer !== undefined ? { ...answer, range } : { status: taken ? 200 : 400, reason: taken ? 'OK' : 'Bad Request', range: undefined, scale: undefined };
    const respond = (): void => incoming.respond(statusAbove(status), status < 300 || answer !== undefined ? answerParts(formatMansrtspResponse({ ...parts, cseq: request.cseq })) : {});
    if (taken) {
      // Where it goes on from after a takeover: a platform that was told so must not find itself at the old place.
      recording.source.changed();
      whenKept(respond);
    } else respond();
    this.#run(recording.source.bridgeId, []);
  }

  #run(bridgeId: string, outputs: readonly PlaybackOutput[]): void {
    const recording = this.#byBridge.get(bridgeId);
    if (recording === undefined) return;
    for (const output of outputs) this.#carryOut(recording, output);
    recording.alarm.arm(recording.session.deadline);
  }

  #carryOut(recording: Recording, output: PlaybackOutput): void {
    const { viewer, source } = recording;
    switch (output.type) {
      case 'tell-end':
        this.#deps.counters.add('recording.ended');
        this.#deps.log.info({ ...source.channel, upstream: viewer.plan.upstream }, 'recording.ended');
        viewer.tell({ contentType: MANSCDP_TYPE, body: encodeBody(buildManscdp('Notify', 'MediaStatus', { sn: (recording.sn += 1), deviceId: viewer.plan.mappedId }, END_OF_FILE), 'gb2312') });
        return source.changed();
      case 'hang-up':
        return viewer.feed({ type: 'stop', why: output.why });
      case 'fail':
        return source.feed({ type: 'abort', failure: { code: 'MEDIA_SILENT', why: `no packet of the recording for ${Math.round(output.silentMs)} ms` } });
      default:
        return assertNever(output);
    }
  }
}

/** Where what its recorder was asked for begins, in seconds of what the platform asked for. */
const beginOf = ({ leg, plan: { history } }: Source): number => (leg?.plan.history?.startS ?? 0) - (history?.startS ?? 0);

const answerParts = (body: string): { contentType: string; body: Uint8Array } => ({ contentType: MANSRTSP_TYPE, body: fromByteString(body) });

/** Of the recorder's answer: no redirection, no challenge, nothing that ends the dialog. */
function statusAbove(status: number): number {
  if (status < 300) return 200;
  if (FATAL.has(status)) return 504;
  return status < 400 || status === 401 || status === 407 ? 502 : status;
}
