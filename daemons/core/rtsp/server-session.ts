/**
 * One RTSP connection of a viewer, seen from the server (RFC 2326 A.2, for one live channel).
 *
 *            DESCRIBE, SETUP: granted        opened        SETUP          PLAY: started
 *   init ──────────────────────────► opening ──────► init ──────► ready ──────────────► playing
 *    ▲                                  │ refused     ▲             ▲        PAUSE         │
 *    └──────────────────────────────────┘             │             └──────────────────────┤
 *                                                     └── TEARDOWN, the source ended ◄─────┘
 *
 * A session belongs to its connection: what another connection asks of it is 454 (fault 78). Media goes to the address that the
 * connection comes from and nowhere else (fault 79). While one request waits for the gateway the next ones wait behind it.
 */
import { fromByteString } from '../bytes.ts';
import { type OutletPath, parseOutletPath } from '../outlets/outlet-path.ts';
import { trimLws } from '../sip/grammar.ts';
import { TimerTable } from '../timers.ts';
import { type Ms, addMs } from '../units.ts';
import { type HeaderField, NO_BODY, REASONS, type RtspRequest, type RtspResponse, cseqOf, headerOf, sessionOf } from './message.ts';
import { describeTracks, type RtspTrack, rtspTracks } from './sdp-write.ts';
import type { ConnectionAccess } from './server-access.ts';
import type { ServerInput, ServerOutput, TrackStart } from './server-steps.ts';
import { chooseTransport } from './served-transport.ts';
import { type TransportSpec, formatTransport, parseTransports } from './transport.ts';
import { parseRtspUrl, splitTrack, trackUrl } from './url.ts';

/** Requests that may wait behind one. */
const MAX_WAITING = 16;
/** A request must be whole in this time (slowloris). */
export const MIDWAY_MS = 10_000;
/** Without a session: the first request, and the next one. */
export const IDLE_MS = 20_000;
/** Told to the client; a viewer over UDP that gives no sign for longer is gone. */
export const SESSION_TIMEOUT_S = 60;
const VIEWER_GRACE_MS = 10_000;

const PUBLIC = 'OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, GET_PARAMETER, TEARDOWN';
const KNOWN_ELSEWHERE = ['ANNOUNCE', 'RECORD', 'SET_PARAMETER', 'REDIRECT'];

type Timer = 'idle' | 'midway' | 'viewer';

export interface ServerSessionOptions {
  readonly access: ConnectionAccess;
  /** Random, 16 characters or so. */
  readonly sessionId: string;
  readonly localAddress: string;
  readonly remoteAddress: string;
}

interface Opened {
  readonly path: OutletPath;
  readonly tracks: readonly RtspTrack[];
}

interface Leg {
  readonly url: string;
  readonly transport: TransportSpec;
}

export class ServerSession {
  readonly #options: ServerSessionOptions;
  readonly #timers = new TimerTable<Timer>();
  readonly #waiting: RtspRequest[] = [];
  readonly #legs = new Map<number, Leg>();
  /** The request that waits for the gateway, and what to do with the answer. */
  #busy: { readonly request: RtspRequest; readonly path: OutletPath; readonly track: number | null } | undefined;
  #opened: Opened | undefined;
  #phase: 'init' | 'ready' | 'playing' | 'closed' = 'init';
  #outputs: ServerOutput[] = [];

  constructor(options: ServerSessionOptions, now: Ms) {
    this.#options = options;
    this.#timers.set('idle', addMs(now, IDLE_MS));
  }

  get phase(): 'init' | 'ready' | 'playing' | 'closed' {
    return this.#phase;
  }

  get deadline(): Ms {
    return this.#timers.deadline;
  }

  handle(input: ServerInput, now: Ms): ServerOutput[] {
    this.#outputs = [];
    if (this.#phase !== 'closed') this.#take(input, now);
    return this.#outputs;
  }

  #take(input: ServerInput, now: Ms): void {
    switch (input.type) {
      case 'request':
        if (this.#waiting.push(input.request) > MAX_WAITING) return this.#close('too many requests at once');
        this.#serveWaiting();
        return this.#rearm(now);
      case 'broken':
        this.#put(this.#response(input.error.status, undefined));
        return this.#close(input.error.why);
      case 'midway':
        if (!input.isMidway) this.#timers.stop('midway');
        else if (!this.#timers.has('midway')) this.#timers.set('midway', addMs(now, MIDWAY_MS));
        return;
      case 'alive':
        return this.#rearm(now);
      case 'ended':
        return this.#close('the stream ended');
      case 'tick':
        return this.#tick(now);
      default:
        this.#answered(input);
        this.#serveWaiting();
        return this.#rearm(now);
    }
  }

  #rearm(now: Ms): void {
    this.#timers.stop('idle');
    this.#timers.stop('viewer');
    if (this.#phase === 'closed') return;
    const overUdp = [...this.#legs.values()].some(({ transport }) => transport.lower === 'udp');
    if (this.#phase !== 'playing') this.#timers.set('idle', addMs(now, this.#phase === 'init' ? IDLE_MS : SESSION_TIMEOUT_S * 1000));
    else if (overUdp) this.#timers.set('viewer', addMs(now, SESSION_TIMEOUT_S * 1000 + VIEWER_GRACE_MS));
  }

  #tick(now: Ms): void {
    const due = this.#timers.takeDue(now);
    if (due === 'idle' && this.#busy !== undefined) return this.#rearm(now);
    if (due === 'midway') this.#put(this.#response(400, undefined));
    if (due !== undefined) this.#close(due === 'viewer' ? 'the viewer gave no sign' : due === 'midway' ? 'a request was not finished' : 'nothing was asked');
  }

  #serveWaiting(): void {
    while (this.#busy === undefined && this.#phase !== 'closed') {
      const request = this.#waiting.shift();
      if (request === undefined) return;
      this.#serve(request);
    }
  }

  #serve(request: RtspRequest): void {
    const { method } = request;
    if (cseqOf(request) === undefined) return this.#put(this.#response(400, undefined));
    const required = headerOf(request, 'require');
    if (required !== undefined) return this.#answer(request, 551, [{ name: 'Unsupported', value: required }]);
    if (method === 'OPTIONS') return this.#answer(request, 200, [{ name: 'Public', value: PUBLIC }]);
    if (method === 'DESCRIBE' || method === 'SETUP') return this.#open(request);
    if (method === 'PLAY' || method === 'PAUSE' || method === 'TEARDOWN' || method === 'GET_PARAMETER') return this.#inSession(request);
    if (KNOWN_ELSEWHERE.includes(method)) return this.#answer(request, 405, [{ name: 'Allow', value: PUBLIC }]);
    this.#answer(request, 501, [{ name: 'Public', value: PUBLIC }]);
  }

  /** Reads the URL and asks who it is; goes on at once when the channel is open already. */
  #open(request: RtspRequest): void {
    const url = parseRtspUrl(request.uri);
    if (!url.ok || url.value.hasUserInfo) return this.#answer(request, 400);
    const { path: text, track } = splitTrack(url.value.path);
    const path = parseOutletPath(text);
    if (!path.ok || path.value.file !== '' || path.value.extension !== '') return this.#answer(request, 404);
    if (this.#wrongSession(request)) return this.#answer(request, 454);
    const verdict = this.#options.access.check(request, path.value);
    if (verdict.type === 'challenge') {
      if (verdict.failed) this.#outputs.push({ type: 'auth-failed' });
      return this.#answer(request, 401, verdict.headers);
    }
    const isSame = this.#opened !== undefined && this.#isOpen(path.value, track);
    if (this.#opened !== undefined && !isSame && this.#legs.size > 0) return this.#answer(request, 455);
    if (this.#opened !== undefined && !isSame) this.#release();
    this.#busy = { request, path: this.#opened?.path ?? path.value, track };
    if (this.#opened === undefined) this.#outputs.push({ type: 'open', path: path.value });
    else this.#proceed(this.#opened);
  }

  /** A track's address may have lost the query of the description: the channel decides then. */
  #isOpen({ channel, streamNumber, rendition }: OutletPath, track: number | null): boolean {
    const { path } = this.#opened!;
    if (path.channel !== channel) return false;
    return track !== null || (path.streamNumber === streamNumber && path.rendition === rendition);
  }

  #answered(input: Extract<ServerInput, { type: 'opened' | 'refused' | 'bound' | 'started' }>): void {
    const busy = this.#busy;
    if (busy === undefined) return;
    if (input.type === 'refused') {
      this.#busy = undefined;
      return this.#answer(busy.request, REASONS[input.status] === undefined ? 500 : input.status);
    }
    if (input.type === 'opened') return this.#proceed((this.#opened = { path: busy.path, tracks: rtspTracks(input.tracks) }));
    this.#busy = undefined;
    if (input.type === 'bound') return this.#setUp(busy.request, busy.track ?? 0, input.transport);
    this.#started(busy.request, input.starts);
  }

  /** DESCRIBE or SETUP of an open channel. */
  #proceed(opened: Opened): void {
    const { request, track } = this.#busy!;
    if (opened.tracks.length === 0) {
      this.#busy = undefined;
      this.#release();
      return this.#answer(request, 404);
    }
    if (request.method === 'SETUP') return this.#chooseTransport(request, opened, track);
    this.#busy = undefined;
    const { localAddress, sessionId } = this.#options;
    const sdp = describeTracks(opened.tracks, { address: localAddress, sessionId: String(parseInt(sessionId.slice(0, 12), 16) || 1), title: opened.path.channel });
    const base = `${splitTrack(request.uri.split('?')[0]!).path.replace(/\/$/, '')}/`;
    this.#answer(request, 200, [{ name: 'Content-Base', value: base }, { name: 'Content-Type', value: 'application/sdp' }], fromByteString(sdp));
  }

  #chooseTransport(request: RtspRequest, { tracks }: Opened, track: number | null): void {
    const refuse = (status: number): void => {
      this.#busy = undefined;
      this.#answer(request, status);
    };
    if (this.#phase === 'playing') return refuse(455);
    if (track === null && tracks.length > 1) return refuse(459);
    const media = tracks[track ?? 0];
    if (media === undefined) return refuse(404);
    const specs = parseTransports(headerOf(request, 'transport') ?? '');
    if (!specs.ok) return refuse(400);
    const index = track ?? 0;
    const taken = [...this.#legs.values()].flatMap(({ transport }) => [...(transport.interleaved ?? [])]);
    const transport = chooseTransport(specs.value, { index, remoteAddress: this.#options.remoteAddress, takenChannels: taken });
    if (typeof transport === 'number') return refuse(transport);
    this.#outputs.push({ type: 'bind', track: index, media, transport });
  }

  #setUp(request: RtspRequest, track: number, transport: TransportSpec): void {
    this.#legs.set(track, { url: request.uri.split('?')[0]!, transport });
    this.#phase = 'ready';
    this.#answer(request, 200, [{ name: 'Transport', value: formatTransport(transport) }]);
  }

  #inSession(request: RtspRequest): void {
    const { method } = request;
    if (method === 'GET_PARAMETER' && sessionOf(request) === undefined) return this.#answer(request, request.body.length > 0 ? 451 : 200);
    if (this.#phase === 'init' || sessionOf(request) === undefined || this.#wrongSession(request)) return this.#answer(request, 454);
    if (method === 'GET_PARAMETER') return this.#answer(request, request.body.length > 0 ? 451 : 200);
    if (method === 'TEARDOWN') {
      this.#answer(request, 200);
      return this.#release();
    }
    const url = parseRtspUrl(request.uri);
    if (url.ok && this.#legs.size > 1 && splitTrack(url.value.path).track !== null) return this.#answer(request, 460);
    if (method === 'PLAY') return this.#play(request);
    if (this.#phase !== 'playing') return this.#answer(request, 455);
    this.#phase = 'ready';
    this.#outputs.push({ type: 'pause' });
    this.#answer(request, 200);
  }

  #play(request: RtspRequest): void {
    const range = headerOf(request, 'range');
    if (range !== undefined && !/^npt\s*=/i.test(trimLws(range))) return this.#answer(request, 457);
    if (this.#phase === 'playing') return this.#answer(request, 200, [{ name: 'Range', value: 'npt=now-' }]);
    this.#busy = { request, path: this.#opened!.path, track: null };
    this.#outputs.push({ type: 'start' });
  }

  #started(request: RtspRequest, starts: readonly TrackStart[]): void {
    this.#phase = 'playing';
    const info = starts.flatMap(({ track, sequence, rtpTime }) => {
      const leg = this.#legs.get(track);
      return leg === undefined ? [] : [`url=${trackUrl(leg.url, track)};seq=${sequence};rtptime=${rtpTime}`];
    });
    this.#answer(request, 200, [{ name: 'Range', value: 'npt=now-' }, ...(info.length > 0 ? [{ name: 'RTP-Info', value: info.join(',') }] : [])]);
    this.#outputs.push({ type: 'flow' });
  }

  #release(): void {
    this.#phase = 'init';
    this.#legs.clear();
    this.#opened = undefined;
    this.#outputs.push({ type: 'release' });
  }

  #wrongSession(request: RtspRequest): boolean {
    const session = sessionOf(request);
    return session !== undefined && (session !== this.#options.sessionId || this.#phase === 'init');
  }

  #close(why: string): void {
    this.#phase = 'closed';
    this.#timers.stopAll();
    this.#waiting.length = 0;
    this.#busy = undefined;
    this.#outputs.push({ type: 'release' }, { type: 'close', why });
  }

  #answer(request: RtspRequest, status: number, headers: readonly HeaderField[] = [], body: Uint8Array = NO_BODY): void {
    const session = this.#phase === 'init' || status === 454 ? [] : [{ name: 'Session', value: `${this.#options.sessionId};timeout=${SESSION_TIMEOUT_S}` }];
    this.#put(this.#response(status, cseqOf(request), [...session, ...headers], body));
  }

  #response(status: number, cseq: number | undefined, headers: readonly HeaderField[] = [], body: Uint8Array = NO_BODY): RtspResponse {
    const sequence = cseq === undefined ? [] : [{ name: 'CSeq', value: String(cseq) }];
    return { kind: 'response', status, reason: REASONS[status]!, headers: [...sequence, ...headers], body };
  }

  #put(response: RtspResponse): void {
    this.#outputs.push({ type: 'respond', response });
  }
}
