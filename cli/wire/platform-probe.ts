/**
 * vlink as a device at a platform: an endpoint of its own registers, asks what core/diagnose/platform-points wants asked, answers the
 * platform's questions, and takes its registration back. It offers no channel and sends no media.
 */
import { SipRecorder } from '#core/diagnose/recorder.ts';
import { LAST_STEPS, PLATFORM_QUESTIONS, PLATFORM_STEPS, type PointRow, type ProbeRequest, type ProbeState, type ProbeStep, type Reply, challengeOf, domainOfPeer, grantedS, judgeQuestion } from '#core/diagnose/platform-points.ts';
import type { Passed } from '#core/diagnose/passed.ts';
import { readPassed } from '#core/diagnose/passed.ts';
import { parseManscdp } from '#core/gb/manscdp.ts';
import { MANSCDP_TYPE, buildCatalogPage, buildDeviceInfoResponse, buildDeviceStatusResponse, buildKeepalive, buildManscdp } from '#core/gb/manscdp-write.ts';
import { buildRequest, type NewRequest } from '#core/sip/build.ts';
import { type DigestChallenge, algorithmOf, digestHa1, digestResponse, formatAuthorization } from '#core/sip/digest.ts';
import { type Target, targetOf } from '#core/sip/flow.ts';
import { nameAddr, withParam } from '#core/sip/headers.ts';
import type { HeaderField } from '#core/sip/message.ts';
import { serializeMessage } from '#core/sip/serialize.ts';
import { formatUri, sipUri } from '#core/sip/uri.ts';
import { decodeBody, encodeBody } from '#kit/charset.ts';
import { systemClock as clock } from '#kit/clock.ts';
import { systemHashes as hashes } from '#kit/hashes.ts';
import { createLog } from '#kit/log.ts';
import { systemRandom as random } from '#kit/random.ts';
import { type IncomingRequest, type SipEndpoint, openSipEndpoint } from '#kit/sip-endpoint.ts';
import { sendOdd } from './odd-datagram.ts';
import { pause } from './pause.ts';

export interface PlatformProbeOptions {
  readonly address: string;
  readonly port: number;
  readonly transport: 'UDP' | 'TCP';
  /** Under which we register. */
  readonly id: string;
  /** Of the platform. */
  readonly peerId: string;
  readonly password: string | undefined;
  readonly localAddress: string;
  /** Aborted: nothing more is asked, but what was registered is taken back. */
  readonly signal: AbortSignal;
  /** Whether to say how far it is. */
  readonly onStep: (asks: string) => void;
}

export interface PlatformProbe {
  readonly rows: readonly PointRow[];
  /** All that passed, for the validator. */
  readonly messages: readonly Passed[];
}

const RECORDER_BYTES = 1024 * 1024;
/** A request that is not answered is given up after 64 times this. */
const TIMING = { t1Ms: 150, t2Ms: 1200, t4Ms: 1500 };
/** For its questions. */
const QUESTIONS_MS = 3000;
const STDERR = 2;

export async function probePlatform(options: PlatformProbeOptions): Promise<PlatformProbe> {
  const recorder = new SipRecorder(RECORDER_BYTES);
  const { localAddress: address } = options;
  const listen = (['udp', 'tcp'] as const).map(transport => ({ transport, address, port: 0 }));
  await using endpoint = await openSipEndpoint({ listen, userAgent: 'ViewLink check', recorder, isTrusted: () => true, timing: TIMING, clock, random, hashes, log: createLog('vlink', 'silent', STDERR) });
  const visitor = new Visitor(options, endpoint);
  const rows = await visitor.walk();
  const { entries } = recorder.read({ after: -1, sinceWallMs: 0, needles: [], peers: [] });
  const messages = entries.map(({ sequence, atWallMs, isOut, tag, bytes, cut }) =>
    readPassed({ sequence, atWallMs, direction: isOut ? 'out' : 'in', transport: tag.transport, local: { address: tag.localAddress, port: tag.localPort }, remote: { address: tag.remoteAddress, port: tag.remotePort }, connectionId: tag.connectionId ?? null, bytes, cut }),
  );
  return { rows, messages };
}

class Visitor {
  readonly #options: PlatformProbeOptions;
  readonly #endpoint: SipEndpoint;
  readonly #target: Target;
  readonly #domain: string;
  readonly #callId = `${random.hex(8)}@check`;
  readonly #tag = random.hex(5);
  readonly #asked = new Set<string>();
  #challenge: DigestChallenge | undefined;
  #registered = false;
  #cseq = 1;
  #nc = 0;
  #sn = 0;

  constructor(options: PlatformProbeOptions, endpoint: SipEndpoint) {
    this.#options = options;
    this.#endpoint = endpoint;
    this.#target = { transport: options.transport, address: options.address, port: options.port };
    this.#domain = domainOfPeer(options.peerId, options.address);
    endpoint.onRequest = incoming => this.#answer(incoming);
    endpoint.onInvite = invite => invite.respond(404);
  }

  async walk(): Promise<PointRow[]> {
    const rows: PointRow[] = [];
    for (const step of PLATFORM_STEPS) if (!this.#options.signal.aborted) rows.push(...(await this.#take(step)));
    if (this.#registered && !this.#options.signal.aborted) await this.#waitForQuestions();
    rows.push(...PLATFORM_QUESTIONS.map(question => judgeQuestion(question, this.#state)));
    for (const step of LAST_STEPS) rows.push(...(await this.#take(step)));
    return rows;
  }

  async #waitForQuestions(): Promise<void> {
    this.#options.onStep('waiting for its questions');
    const until = clock.now() + QUESTIONS_MS;
    while (clock.now() < until && !PLATFORM_QUESTIONS.every(({ cmdType }) => this.#asked.has(cmdType))) await pause(100);
  }

  get #state(): ProbeState {
    return { challenge: this.#challenge, registered: this.#registered, hasPassword: this.#options.password !== undefined, nowWallMs: clock.wall(), asked: this.#asked };
  }

  async #take({ request, points }: ProbeStep): Promise<PointRow[]> {
    const asked = request(this.#state);
    if (typeof asked === 'string') return points.map(({ id, clause, asks }) => ({ id, clause, asks, verdict: 'not tried', seen: asked }));
    this.#options.onStep(points[0]!.asks);
    const began = clock.now();
    const response = asked.wrongCSeqMethod === true ? await this.#odd() : await this.#ask(asked);
    if (response === 'untried') return points.map(({ id, clause, asks }) => ({ id, clause, asks, verdict: 'not tried', seen: 'only over UDP' }));
    const reply: Reply = { response, tookMs: clock.now() - began };
    const before = this.#state;
    if (asked.method === 'REGISTER') this.#learn(asked, reply);
    return points.map(({ id, clause, asks, judge }) => ({ id, clause, asks, ...judge(reply, before) }));
  }

  #learn({ expires, credentials }: ProbeRequest, { response }: Reply): void {
    if (response === undefined) return;
    const challenge = response.status === 401 ? challengeOf(response) : undefined;
    if (challenge !== undefined && challenge.nonce !== this.#challenge?.nonce) {
      this.#challenge = challenge;
      this.#nc = 0;
    }
    if (response.status !== 200 || credentials === 'invented') return;
    this.#registered = expires !== 0 && grantedS(response) !== 0;
  }

  /** A nonce that is stale says nothing about the password: once more with the new one, as any client would. */
  async #ask(asked: ProbeRequest): Promise<Reply['response']> {
    const response = await this.#send(asked);
    const challenge = response?.status === 401 ? challengeOf(response) : undefined;
    if (asked.credentials !== 'right' || this.#registered || challenge?.stale !== true) return response;
    this.#learn(asked, { response, tookMs: 0 });
    return this.#send(asked);
  }

  async #send(asked: ProbeRequest): Promise<Reply['response']> {
    const outcome = await this.#endpoint.request(this.#requestOf(asked), this.#target);
    return outcome.type === 'response' ? outcome.response : undefined;
  }

  #requestOf({ method, headers = [], expires, body, credentials, oldCSeq }: ProbeRequest): NewRequest {
    const { id, peerId } = this.#options;
    const uri = sipUri(peerId === '' ? undefined : peerId, this.#domain);
    const own = sipUri(id, this.#domain);
    const isRegister = method === 'REGISTER';
    const here = this.#endpoint.localAddressFor(this.#target);
    const contact = nameAddr(sipUri(id, here.address, here.port, this.#target.transport === 'TCP' ? { transport: 'tcp' } : {}));
    const authorization = credentials === undefined ? [] : [this.#authorization(credentials, formatUri(uri))];
    return {
      method,
      uri,
      from: nameAddr(own, isRegister ? { tag: this.#tag } : {}),
      to: isRegister ? nameAddr(own) : nameAddr(uri),
      headers: [...headers, ...authorization],
      ...(isRegister && { callId: this.#callId, cseq: oldCSeq === true ? 1 : ++this.#cseq }),
      ...((isRegister || method === 'SUBSCRIBE') && { contact }),
      ...(expires !== undefined && { expires }),
      ...this.#bodyOf(body),
    };
  }

  #bodyOf(body: ProbeRequest['body']): Pick<NewRequest, 'contentType' | 'body'> {
    if (body === undefined) return {};
    const head = { sn: ++this.#sn, deviceId: this.#options.id };
    if (body === 'text') return { contentType: 'text/plain', body: encodeBody('check', 'utf-8') };
    return { contentType: MANSCDP_TYPE, body: encodeBody(body === 'keepalive' ? buildKeepalive(head) : buildManscdp('Notify', 'ViewLinkCheck', head), 'gb2312') };
  }

  #authorization(credentials: 'right' | 'invented', uri: string): HeaderField {
    const challenge = this.#challenge!;
    const algorithm = algorithmOf(challenge.algorithm) ?? 'MD5';
    const counted = challenge.qop.includes('auth');
    const parts = { nonce: credentials === 'right' ? challenge.nonce : random.hex(16), uri, qop: counted ? 'auth' : undefined, nc: counted ? (credentials === 'right' ? ++this.#nc : 1).toString(16).padStart(8, '0') : undefined, cnonce: counted ? random.hex(8) : undefined };
    const { id: username, password = '' } = this.#options;
    const response = digestResponse(hashes, algorithm, digestHa1(hashes, algorithm, username, challenge.realm, password), 'REGISTER', parts);
    return { name: 'Authorization', value: formatAuthorization({ ...parts, ncValue: undefined, username, realm: challenge.realm, response, algorithm: challenge.algorithm, opaque: challenge.opaque }) };
  }

  async #odd(): Promise<Reply['response'] | 'untried'> {
    if (this.#target.transport !== 'UDP') return 'untried';
    const { address } = this.#endpoint.localAddressFor(this.#target);
    return sendOdd(this.#target, localPort => {
      const flow = { transport: 'UDP', localAddress: address, localPort, remoteAddress: this.#target.address, remotePort: this.#target.port } as const;
      const request = buildRequest(this.#requestOf({ method: 'OPTIONS' }), flow, { branch: `z9hG4bK${random.hex(8)}`, callId: `${random.hex(8)}@check`, fromTag: random.hex(5), cseq: 7, userAgent: 'ViewLink check' });
      return serializeMessage({ ...request, cseq: { seq: 7, method: 'INFO' } });
    });
  }

  /** Its questions: we are a device without channels. */
  #answer(incoming: IncomingRequest): void {
    const { request, flow } = incoming;
    if (request.method !== 'MESSAGE') return incoming.respond(request.method === 'SUBSCRIBE' ? 489 : 405);
    const read = parseManscdp(decodeBody(request.body).text);
    incoming.respond(200);
    if (!read.ok || read.value.root !== 'Query') return;
    const { cmdType, sn, deviceId } = read.value;
    this.#asked.add(cmdType);
    const body = answerTo(cmdType, { sn, deviceId });
    if (body === undefined) return;
    const uri = sipUri(this.#options.peerId === '' ? undefined : this.#options.peerId, this.#domain);
    void this.#endpoint.request({ method: 'MESSAGE', uri, from: withParam(nameAddr(sipUri(this.#options.id, this.#domain)), 'tag', random.hex(5)), to: nameAddr(uri), contentType: MANSCDP_TYPE, body: encodeBody(body, 'gb2312') }, targetOf(flow));
  }
}

function answerTo(cmdType: string, head: { readonly sn: number; readonly deviceId: string }): string | undefined {
  if (cmdType === 'Catalog') return buildCatalogPage(head, 0, []);
  if (cmdType === 'DeviceInfo') return buildDeviceInfoResponse(head, { deviceName: 'ViewLink check', manufacturer: 'ViewLink', model: 'check', firmware: '1', channel: 0 });
  return cmdType === 'DeviceStatus' ? buildDeviceStatusResponse(head, { online: true, status: 'OK', encode: false, record: false, deviceTime: clock.wall() }) : undefined;
}
