/**
 * One RTSP connection to a camera from which we pull (RFC 2326 A.1).
 *
 *   options ──► describing ──offer──► setting up (each track) ──► starting ──PLAY 200──► playing ──keepalive──► playing
 *       │ 401: once more with credentials, at every step
 *       └── refused, no answer in time, nothing that we can take, the server ends it ──► closed (told why)
 *   any ── stop ──► closed (TEARDOWN is sent when there is a session)
 *
 * Redirections are not followed: media comes from the configured address only.
 */
import { trimLws, parseDecimal } from '../sip/grammar.ts';
import { TimerTable } from '../timers.ts';
import { type Ms, addMs } from '../units.ts';
import { ClientAuth, type ClientAuthOptions } from './client-auth.ts';
import { type HeaderField, NO_BODY, type RtspRequest, type RtspResponse, cseqOf, headerOf, sessionOf } from './message.ts';
import { type OfferedTrack, readOffer } from './sdp-read.ts';
import { type Pair, type TransportSpec, formatTransport, parseTransports } from './transport.ts';
import { resolveControl } from './url.ts';

const ANSWER_MS = 8000;
const DEFAULT_TIMEOUT_S = 60;
const LONGEST_KEEPALIVE_MS = 30_000;
const SHORTEST_KEEPALIVE_MS = 5000;

export interface ClientOptions {
  /** Without user and password. */
  readonly url: string;
  readonly credentials: ClientAuthOptions | undefined;
  readonly transport: 'tcp' | 'udp';
  readonly userAgent: string;
}

/** A track as it will come. */
export interface PulledTrack extends OfferedTrack {
  readonly index: number;
  /** Interleaved channel of RTP, RTCP one above; undefined over UDP. */
  readonly interleaved: Pair | undefined;
  readonly serverPort: Pair | undefined;
  readonly ssrc: number | undefined;
  /** RTP timestamp at the begin of what is played, from RTP-Info. */
  readonly rtpTime: number | undefined;
}

export type ClientFailure = 'unauthorized' | 'not-found' | 'refused' | 'unusable' | 'no-answer' | 'ended';

export type ClientInput =
  | { readonly type: 'response'; readonly response: RtspResponse }
  /** The server asks something of us. */
  | { readonly type: 'request'; readonly request: RtspRequest }
  /** Answer to `bind`. */
  | { readonly type: 'bound'; readonly clientPort: Pair }
  | { readonly type: 'stop' }
  | { readonly type: 'tick' };

export type ClientOutput =
  | { readonly type: 'send'; readonly message: RtspRequest | RtspResponse }
  /** Two ports for this track, please. */
  | { readonly type: 'bind'; readonly index: number }
  /** Media comes from here on; handlers must stand. */
  | { readonly type: 'expect'; readonly tracks: readonly PulledTrack[] }
  | { readonly type: 'playing'; readonly tracks: readonly PulledTrack[] }
  /** RTCP toward the server keeps its session and the path open. */
  | { readonly type: 'keepalive' }
  | { readonly type: 'closed'; readonly failure: ClientFailure | null; readonly why: string };

type Phase = 'options' | 'describing' | 'setting-up' | 'starting' | 'playing' | 'closed';
type Timer = 'answer' | 'keepalive';

export class ClientSession {
  readonly #options: ClientOptions;
  readonly #auth: ClientAuth | undefined;
  readonly #timers = new TimerTable<Timer>();
  #phase: Phase = 'options';
  #cseq = 0;
  /** The one request that waits for its answer. */
  #asked: { readonly cseq: number; readonly method: string; readonly uri: string; readonly headers: readonly HeaderField[] } | undefined;
  #base: string;
  #offered: readonly OfferedTrack[] = [];
  #tracks: PulledTrack[] = [];
  #session: string | undefined;
  #timeoutMs = DEFAULT_TIMEOUT_S * 1000;
  #canGetParameter = false;
  #outputs: ClientOutput[] = [];
  #now: Ms;

  private constructor(options: ClientOptions, now: Ms) {
    this.#options = options;
    this.#base = options.url;
    this.#auth = options.credentials === undefined ? undefined : new ClientAuth(options.credentials);
    this.#now = now;
  }

  /** The connection stands. */
  static start(options: ClientOptions, now: Ms): { readonly session: ClientSession; readonly outputs: readonly ClientOutput[] } {
    const session = new ClientSession(options, now);
    session.#ask('OPTIONS', options.url);
    return { session, outputs: session.#outputs };
  }

  get phase(): Phase {
    return this.#phase;
  }

  get deadline(): Ms {
    return this.#timers.deadline;
  }

  handle(input: ClientInput, now: Ms): readonly ClientOutput[] {
    this.#outputs = [];
    this.#now = now;
    if (this.#phase !== 'closed') this.#take(input);
    return this.#outputs;
  }

  #take(input: ClientInput): void {
    switch (input.type) {
      case 'response':
        return this.#response(input.response);
      case 'request':
        return this.#request(input.request);
      case 'bound':
        return this.#setUp({ lower: 'udp', multicast: false, clientPort: input.clientPort });
      case 'stop':
        if (this.#session !== undefined) this.#send('TEARDOWN', this.#base, []);
        return this.#close(null, 'stopped');
      case 'tick': {
        const due = this.#timers.takeDue(this.#now);
        if (due === 'answer') this.#close('no-answer', `no answer to ${this.#asked?.method ?? 'a request'} in ${ANSWER_MS} ms`);
        if (due === 'keepalive') this.#keepAlive();
      }
    }
  }

  /** A camera that ends its stream says TEARDOWN or ANNOUNCE; others only want to know that we live. */
  #request(request: RtspRequest): void {
    const cseq = cseqOf(request);
    const known = request.method === 'OPTIONS' || request.method === 'GET_PARAMETER' || request.method === 'SET_PARAMETER' || request.method === 'ANNOUNCE' || request.method === 'TEARDOWN';
    const headers = cseq === undefined ? [] : [{ name: 'CSeq', value: String(cseq) }];
    this.#outputs.push({ type: 'send', message: { kind: 'response', status: known ? 200 : 501, reason: known ? 'OK' : 'Not Implemented', headers, body: NO_BODY } });
    if (request.method === 'TEARDOWN') this.#close('ended', 'the server tore the session down');
  }

  #response(response: RtspResponse): void {
    const asked = this.#asked;
    if (asked === undefined || cseqOf(response) !== asked.cseq) return;
    this.#asked = undefined;
    this.#timers.stop('answer');
    if (response.status === 401) {
      if (this.#auth?.challenged(response) === true) return this.#ask(asked.method, asked.uri, asked.headers);
      return this.#close('unauthorized', this.#auth === undefined ? 'the server wants a user and password' : 'the server refused the user or password');
    }
    // Some answer OPTIONS with an error and serve all the same.
    if (this.#phase === 'options') return this.#describe(response);
    if (response.status === 404) return this.#close('not-found', `the server does not know the address (${asked.method})`);
    if (this.#phase === 'playing') return response.status === 454 ? this.#close('ended', 'the server forgot the session') : undefined;
    if (response.status !== 200) return this.#close('refused', `${asked.method} was answered ${response.status} ${response.reason}`.trimEnd());
    if (this.#phase === 'describing') return this.#onOffer(response);
    if (this.#phase === 'setting-up') return this.#onSetUp(response, asked.uri);
    this.#onPlay(response);
  }

  #describe(response: RtspResponse): void {
    this.#canGetParameter = /\bGET_PARAMETER\b/.test(headerOf(response, 'public') ?? '');
    this.#phase = 'describing';
    this.#ask('DESCRIBE', this.#options.url, [{ name: 'Accept', value: 'application/sdp' }]);
  }

  #onOffer(response: RtspResponse): void {
    const offer = readOffer(response.body);
    if (!offer.ok) return this.#close('unusable', offer.error.why);
    const base = headerOf(response, 'content-base') ?? headerOf(response, 'content-location') ?? this.#options.url;
    this.#base = /^rtsp:\/\//i.test(base) ? base : this.#options.url;
    if (offer.value.base !== undefined) this.#base = resolveControl(this.#base, offer.value.base);
    this.#offered = offer.value.tracks;
    this.#phase = 'setting-up';
    this.#nextTrack();
  }

  #nextTrack(): void {
    const index = this.#tracks.length;
    if (index < this.#offered.length) {
      if (this.#options.transport === 'udp') this.#outputs.push({ type: 'bind', index });
      else this.#setUp({ lower: 'tcp', multicast: false, interleaved: [2 * index, 2 * index + 1] });
      return;
    }
    this.#phase = 'starting';
    this.#outputs.push({ type: 'expect', tracks: this.#tracks });
    this.#ask('PLAY', this.#base, [{ name: 'Range', value: 'npt=0.000-' }]);
  }

  #setUp(transport: TransportSpec): void {
    const track = this.#offered[this.#tracks.length];
    if (track !== undefined) this.#ask('SETUP', resolveControl(this.#base, track.control), [{ name: 'Transport', value: formatTransport(transport) }]);
  }

  #onSetUp(response: RtspResponse, uri: string): void {
    const chosen = parseTransports(headerOf(response, 'transport') ?? '');
    const spec = chosen.ok ? chosen.value[0] : undefined;
    const wanted = this.#options.transport;
    const index = this.#tracks.length;
    if (spec === undefined || spec.lower !== wanted || spec.multicast) return this.#close('unusable', `the server answered SETUP of ${uri} with another transport`);
    this.#session = sessionOf(response) ?? this.#session;
    const timeout = /;\s*timeout\s*=\s*(\d{1,5})/i.exec(headerOf(response, 'session') ?? '');
    const timeoutS = timeout === null ? undefined : parseDecimal(timeout[1]!, 86_400);
    if (timeoutS !== undefined && timeoutS > 0) this.#timeoutMs = timeoutS * 1000;
    const interleaved: Pair | undefined = wanted === 'tcp' ? (spec.interleaved ?? [2 * index, 2 * index + 1]) : undefined;
    this.#tracks.push({ ...this.#offered[index]!, control: uri, index, interleaved, serverPort: spec.serverPort, ssrc: spec.ssrc, rtpTime: undefined });
    this.#nextTrack();
  }

  #onPlay(response: RtspResponse): void {
    this.#phase = 'playing';
    const info = readRtpInfo(headerOf(response, 'rtp-info') ?? '');
    const tracks = this.#tracks.map((track, i) => ({ ...track, rtpTime: (info.find(({ url }) => isSameTrack(url, track.control)) ?? (info.length === this.#tracks.length ? info[i] : undefined))?.rtpTime }));
    this.#outputs.push({ type: 'playing', tracks });
    this.#armKeepalive();
  }

  #armKeepalive(): void {
    this.#timers.set('keepalive', addMs(this.#now, Math.max(SHORTEST_KEEPALIVE_MS, Math.min(LONGEST_KEEPALIVE_MS, this.#timeoutMs / 2))));
  }

  #keepAlive(): void {
    this.#armKeepalive();
    this.#outputs.push({ type: 'keepalive' });
    if (this.#asked === undefined) this.#ask(this.#canGetParameter ? 'GET_PARAMETER' : 'OPTIONS', this.#base);
  }

  #ask(method: string, uri: string, headers: readonly HeaderField[] = []): void {
    const cseq = this.#send(method, uri, headers);
    this.#asked = { cseq, method, uri, headers };
    this.#timers.set('answer', addMs(this.#now, ANSWER_MS));
  }

  #send(method: string, uri: string, headers: readonly HeaderField[]): number {
    this.#cseq += 1;
    const session = this.#session === undefined ? [] : [{ name: 'Session', value: this.#session }];
    const all = [{ name: 'CSeq', value: String(this.#cseq) }, { name: 'User-Agent', value: this.#options.userAgent }, ...session, ...headers, ...(this.#auth?.fieldFor(method, uri) ?? [])];
    this.#outputs.push({ type: 'send', message: { kind: 'request', method, uri, headers: all, body: NO_BODY } });
    return this.#cseq;
  }

  #close(failure: ClientFailure | null, why: string): void {
    this.#phase = 'closed';
    this.#timers.stopAll();
    this.#outputs.push({ type: 'closed', failure, why });
  }
}

/** RTP-Info (RFC 2326 12.33). What cannot be read is left out. */
function readRtpInfo(value: string): { readonly url: string; readonly rtpTime: number }[] {
  return value.slice(0, 4096).split(/,(?=\s*url\s*=)/).flatMap(part => {
    const values = new Map(part.split(';').map(word => [trimLws(word.slice(0, Math.max(word.indexOf('='), 0))).toLowerCase(), trimLws(word.slice(word.indexOf('=') + 1))]));
    const rtpTime = parseDecimal(values.get('rtptime') ?? '', 2 ** 32 - 1);
    return rtpTime === undefined ? [] : [{ url: values.get('url') ?? '', rtpTime }];
  });
}

const isSameTrack = (url: string, control: string): boolean => url !== '' && (url === control || control.endsWith(`/${url}`));
