/**
 * One datagram into a user agent that is in the middle of everything: a call it answered, a call it made, a subscription of each
 * kind, a request without answer. Whatever comes, it answers at most once, keeps no more than it must, and is idle in the end.
 */
import { fromByteString, toByteString } from '#core/bytes.ts';
import type { Flow } from '#core/sip/flow.ts';
import { nameAddr } from '#core/sip/headers.ts';
import { parseMessage } from '#core/sip/parse.ts';
import { RFC_TIMING } from '#core/sip/timing.ts';
import { sipUri } from '#core/sip/uri.ts';
import { UserAgent, type UserAgentOutput } from '#core/sip/user-agent.ts';
import { ms } from '#core/units.ts';
import { SOUND } from './sip-anomalies.ts';
import { tortureSeeds } from './sip-message.ts';

const US = '192.0.2.1';
const PEER = '192.0.2.2';
const flow: Flow = { transport: 'UDP', localAddress: US, localPort: 5060, remoteAddress: PEER, remotePort: 5060 };
/** Longer than every timer of the agent, the day of a subscription included. */
const LONG_AFTER_MS = 100_000_000;

const request = (method: string, callId: string, cseq: number, more = '', toTag = ''): string =>
  `${method} sip:us@${US} SIP/2.0\r\nVia: SIP/2.0/UDP ${PEER}:5060;branch=z9hG4bK${callId}${cseq}\r\nFrom: <sip:peer@${PEER}>;tag=theirs\r\nTo: <sip:us@${US}>${toTag}\r\nCall-ID: ${callId}\r\nCSeq: ${cseq} ${method}\r\nContact: <sip:peer@${PEER}>\r\n${more}Content-Length: 0\r\n\r\n`;

class Scene {
  readonly agent: UserAgent;
  readonly sent: string[] = [];
  #names = 0;
  #answer = 200;

  constructor() {
    this.agent = new UserAgent({
      timing: RFC_TIMING, userAgent: 'fuzz', limits: { maxServer: 100, maxUntrusted: 50 },
      dice: { hex: count => (++this.#names).toString(16).padStart(2 * count, 'a').slice(-2 * count), int: below => 7 % below },
      route: () => flow,
      count: () => undefined,
    });
    for (const text of [request('INVITE', 'theirs', 1), request('SUBSCRIBE', 'watcher', 1, 'Event: Catalog\r\nExpires: 60\r\n')]) this.receive(fromByteString(text), 0);
    const [to, from] = [nameAddr(sipUri('peer', PEER)), nameAddr(sipUri('us', US))];
    this.agent.invite({ method: 'INVITE', uri: sipUri('peer', PEER), to, from, callId: 'ours' }, { transport: 'UDP', address: PEER, port: 5060 }, ms(0));
    this.agent.request({ method: 'MESSAGE', uri: sipUri('peer', PEER), to, from, callId: 'asked' }, { transport: 'UDP', address: PEER, port: 5060 }, ms(0));
    this.agent.subscriptions.subscribe({ uri: sipUri('peer', PEER), to, from, callId: 'watched', event: 'Catalog', expires: 60 }, { transport: 'UDP', address: PEER, port: 5060 }, ms(0));
    this.settle(0);
  }

  /** Answers sent at once. */
  receive(bytes: Uint8Array, at: number): number {
    const parsed = parseMessage(bytes, 'datagram');
    if (parsed.ok) this.agent.receive(parsed.value, flow, bytes.length % 3 !== 0, ms(at));
    else this.agent.refuse(parsed.error, flow);
    this.#answer = [200, 486, 404, 0][bytes.length % 4]!;
    return this.settle(at).filter(text => /^SIP\/2\.0 [2-6]/.test(text)).length;
  }

  /** Runs the agent's own deadlines. */
  runTo(until: number): void {
    for (let steps = 0; this.agent.deadline <= until; steps++) {
      if (steps > 20_000) throw new Error('the agent keeps asking for the same deadline');
      const now = this.agent.deadline;
      this.agent.tick(now);
      this.settle(now);
    }
  }

  settle(at: number): string[] {
    const sent: string[] = [];
    for (let outputs = this.agent.drain(); outputs.length > 0; outputs = this.agent.drain()) {
      for (const output of outputs) {
        if (output.type === 'transmit') sent.push(toByteString(output.bytes));
        else this.#react(output, at);
      }
    }
    this.sent.push(...sent);
    return sent;
  }

  #react(output: Exclude<UserAgentOutput, { type: 'transmit' }>, at: number): void {
    const now = ms(at);
    if (output.type === 'invite' && this.#answer === 200) this.agent.accept(output.invite, {}, now);
    else if (output.type === 'invite' && this.#answer > 0) this.agent.respond(output.invite.transaction, this.#answer, {}, now);
    else if (output.type === 'subscribe') this.agent.subscriptions.accept(output.transaction, {}, Math.min(output.expiresS, 600), now);
    else if (output.type === 'invite-accepted') output.invite.acknowledge({});
    else if ('transaction' in output && this.#answer > 0) this.agent.respond(output.transaction, this.#answer, {}, now);
    else if (output.type === 'request') this.agent.drop(output.transaction, now);
  }
}

function run(input: Uint8Array): void {
  const scene = new Scene();
  if (scene.receive(input, 10) > 1) throw new Error('more than one answer to one datagram');
  if (scene.receive(input, 20) > 1) throw new Error('more than one answer to its repetition');
  scene.runTo(LONG_AFTER_MS);
  const { dialogs: _dialogs, ...held } = scene.agent.sizes;
  const left = Object.entries(held).filter(([, size]) => size > 0);
  if (left.length > 0) throw new Error(`left behind: ${left.join(' ')}`);
}

/** Everything that fits the scene: requests in its dialogs, answers to what it asked. */
function seeds(): Uint8Array[] {
  const { sent } = new Scene();
  const tagOf = (start: string): string => /\r\nTo: [^\r]*;tag=([^\r;]*)/.exec(sent.find(text => text.startsWith('SIP/2.0 2') && text.includes(start)) ?? '')?.[1] ?? '';
  const inDialog = ['BYE', 'INFO', 'INVITE', 'ACK', 'MESSAGE', 'NOTIFY', 'SUBSCRIBE'].flatMap(method =>
    ['theirs', 'watcher'].map(callId => request(method, callId, method === 'ACK' ? 1 : 2, 'Subscription-State: terminated;reason=x\r\nExpires: 0\r\n', `;tag=${tagOf(`Call-ID: ${callId}`)}`)),
  );
  const answers = sent.filter(text => !text.startsWith('SIP/')).flatMap(text =>
    [100, 180, 200, 401, 423, 481, 503].map(status => text.replace(/^[^\r]*/, `SIP/2.0 ${status} X`).replace(/\r\nTo: ([^\r]*)/, '\r\nTo: $1;tag=theirs').replace('\r\nContent-Length', '\r\nMin-Expires: 90\r\nContent-Length')),
  );
  const cancel = request('CANCEL', 'theirs', 1);
  return [...inDialog, ...answers, cancel].map(fromByteString).concat(SOUND, tortureSeeds);
}

export default { name: 'sip-user-agent', seeds: seeds(), run };
