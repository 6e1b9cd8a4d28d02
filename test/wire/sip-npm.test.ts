/** npm `sip`, a second stack, calls the endpoint and is called by it. It cannot talk to its own address, so it lives at 127.0.0.2. */
import { join } from 'node:path';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import t from 'tap';
import sip, { type Message, type Stack } from 'sip';
import type { Outcome, SipTransport, Target } from '#kit/sip-endpoint.ts';
import { Capture } from './capture.ts';
import { asks, headerOf, openEndpoint, portOf, until } from './sip-rig.ts';
import { freePort } from './free-port.ts';

const HERE = '127.0.0.1';
const THERE = '127.0.0.2';
const SDP = 'v=0\r\no=- 0 0 IN IP4 127.0.0.2\r\ns=Play\r\nc=IN IP4 127.0.0.2\r\nt=0 0\r\nm=video 30000 RTP/AVP 96\r\na=recvonly\r\na=rtpmap:96 PS/90000\r\ny=0100000001\r\n';
const body = { contentType: 'application/sdp', body: Buffer.from(SDP) };

interface Other extends AsyncDisposable {
  readonly stack: Stack;
  readonly port: number;
  readonly requests: Message[];
  onRequest: (request: Message) => void;
}

async function other(): Promise<Other> {
  const port = await freePort(THERE);
  const requests: Message[] = [];
  const self: Omit<Other, 'stack'> = { port, requests, onRequest: request => stack.send(sip.makeResponse(request, 200, 'OK')), [Symbol.asyncDispose]: async () => stack.destroy() };
  const stack = sip.create({ address: THERE, port, udp: true, tcp: true }, request => {
    requests.push(request);
    if (request.method !== 'ACK') self.onRequest(request);
  });
  return Object.assign(self, { stack });
}

let calls = 0;
const outgoing = (method: string, to: { port: number; transport: SipTransport }, from: Other, more: Partial<Message> & { seq?: number; toTag?: string; callId?: string; headers?: never } = {}): Message => ({
  method,
  uri: `sip:34020000002000000001@${HERE}:${to.port}${to.transport === 'TCP' ? ';transport=tcp' : ''}`,
  headers: {
    from: { uri: 'sip:34020000001320000001@3402000000', params: { tag: 'other' } },
    to: { uri: 'sip:34020000002000000001@3402000000', params: more.toTag === undefined ? {} : { tag: more.toTag } },
    'call-id': more.callId ?? `npm-${++calls}`,
    cseq: { method, seq: more.seq ?? 1 },
    contact: [{ uri: `sip:34020000001320000001@${THERE}:${from.port}${to.transport === 'TCP' ? ';transport=tcp' : ''}`, params: {} }],
    'max-forwards': 70,
    ...(more.content === undefined ? {} : { 'content-type': 'application/sdp' }),
  },
  ...(more.content === undefined ? {} : { content: more.content }),
});
const asked = (from: Other, message: Message): Promise<Message> => new Promise(resolve => from.stack.send(message, response => void (response.status! >= 200 && resolve(response))));
const status = (outcome: Outcome): number | string => (outcome.type === 'response' ? outcome.response.status : outcome.type);

const scratch = mkdtempSync(join(tmpdir(), 'npm-sip-'));
// Foreign programs take their time on a busy machine.
t.setTimeout(120_000);
t.teardown(() => rmSync(scratch, { recursive: true, force: true }));

const endpoint = await openEndpoint();
const peer = await other();
const capture = await Capture.start([portOf(endpoint, 'UDP'), portOf(endpoint, 'TCP'), peer.port], join(scratch, 'npm.pcap'));
t.teardown(() => Promise.all([endpoint, peer, capture].map(one => one[Symbol.asyncDispose]())));

async function each(test: (transport: SipTransport, target: Target) => Promise<void>): Promise<void> {
  for (const transport of ['UDP', 'TCP'] as const) await test(transport, { transport, address: THERE, port: peer.port });
}

t.test('it asks, the endpoint answers', async t => {
  await each(async transport => {
    const to = { port: portOf(endpoint, transport), transport };
    const dialogs: string[] = [];
    endpoint.onRequest = incoming => incoming.respond(incoming.request.method === 'REGISTER' ? 401 : 200, { headers: [{ name: 'WWW-Authenticate', value: 'Digest realm="3402000000", nonce="n"' }] });
    endpoint.onInvite = incoming => {
      incoming.provisional(180);
      incoming.onAck = () => dialogs.push('ACK');
      incoming.accept(body).onRequest = inside => {
        dialogs.push(inside.request.method);
        inside.respond(200);
      };
    };
    t.equal((await asked(peer, outgoing('OPTIONS', to, peer))).status, 200);
    const challenged = await asked(peer, outgoing('REGISTER', to, peer));
    t.equal(challenged.status, 401);
    t.match(challenged.headers['www-authenticate'], [{ scheme: 'Digest', realm: '"3402000000"' }]);
    const answered = await asked(peer, outgoing('INVITE', to, peer, { content: SDP }));
    t.equal(answered.status, 200);
    t.equal(answered.content, SDP);
    const inside = { toTag: answered.headers.to.params['tag']!, callId: answered.headers['call-id'] };
    t.match(answered.headers.contact?.[0]?.uri, `sip:34020000002000000001@${HERE}:${to.port}`);
    peer.stack.send(outgoing('ACK', to, peer, inside));
    t.equal((await asked(peer, outgoing('INFO', to, peer, { ...inside, seq: 2 }))).status, 200);
    t.equal((await asked(peer, outgoing('BYE', to, peer, { ...inside, seq: 3 }))).status, 200);
    t.same(dialogs, ['ACK', 'INFO', 'BYE']);
    t.equal((await asked(peer, outgoing('INFO', to, peer, { ...inside, seq: 4 }))).status, 481);
  });
});

t.test('it is asked', async t => {
  await each(async (transport, target) => {
    t.equal(status(await endpoint.request(asks('OPTIONS', THERE, peer.port), target)), 200);
    let ended: Message | undefined;
    peer.requests.length = 0;
    peer.onRequest = request => {
      if (request.method === 'BYE') ended = request;
      const response = sip.makeResponse(request, 200, 'OK');
      response.headers.to.params['tag'] ??= 'npm';
      if (request.method === 'INVITE') {
        peer.stack.send(sip.makeResponse(request, 180, 'Ringing'));
        response.headers.contact = [{ uri: `sip:34020000001320000001@${THERE}:${peer.port}${transport === 'TCP' ? ';transport=tcp' : ''}`, params: {} }];
        response.headers['content-type'] = 'application/sdp';
        response.content = SDP;
      }
      peer.stack.send(response);
    };
    const rang: number[] = [];
    const bye = await new Promise<Outcome>((resolve, reject) => {
      const invite = endpoint.invite({ ...asks('INVITE', THERE, peer.port), ...body, headers: [{ name: 'Subject', value: 'a:0,b:0' }] }, target);
      invite.onProvisional = response => rang.push(response.status);
      invite.onFailed = outcome => reject(new Error(JSON.stringify(outcome)));
      invite.onAccepted = ({ response, dialog, ack }) => {
        t.equal(Buffer.from(response.body).toString(), SDP);
        t.equal(headerOf(response, 'User-Agent'), undefined);
        ack();
        void dialog.request('INFO').then(async () => dialog.request('INVITE', body)).then(async again => {
          t.equal(status(again), 200, 're-INVITE');
          return dialog.request('BYE');
        }).then(resolve, reject);
      };
    });
    t.same([status(bye), rang], [200, [180]], 'the re-INVITE rings at nobody\'s door');
    await until('both ACKs', () => peer.requests.filter(request => request.method === 'ACK').length >= 2);
    t.equal(ended?.headers.to.params['tag'], 'npm');
    t.equal(ended?.headers.from.params['tag'], peer.requests.find(request => request.method === 'INVITE')?.headers.from.params['tag']);
  });
});

t.test('it rings for ever and is cancelled; it is busy', async t => {
  await each(async (_transport, target) => {
    const attempt = (onRing: (cancel: () => void) => void): Promise<Outcome> =>
      new Promise((resolve, reject) => {
        const invite = endpoint.invite({ ...asks('INVITE', THERE, peer.port), ...body }, target);
        invite.onProvisional = () => onRing(() => invite.cancel());
        invite.onFailed = resolve;
        invite.onAccepted = () => reject(new Error('accepted'));
      });
    const ringing = new Map<string, Message>();
    peer.onRequest = request => {
      if (request.method === 'INVITE') {
        ringing.set(request.headers['call-id'], request);
        peer.stack.send(sip.makeResponse(request, 180, 'Ringing'));
      } else if (request.method === 'CANCEL') {
        peer.stack.send(sip.makeResponse(request, 200, 'OK'));
        peer.stack.send(sip.makeResponse(ringing.get(request.headers['call-id'])!, 487, 'Request Terminated'));
      }
    };
    t.equal(status(await attempt(cancel => cancel())), 487);
    peer.onRequest = request => peer.stack.send(sip.makeResponse(request, 486, 'Busy Here'));
    t.equal(status(await attempt(() => undefined)), 486);
  });
});

t.test('tshark finds nothing malformed', async t => {
  const { sip: seen, malformed } = await capture.judge();
  t.ok(seen > 60, `${seen} SIP messages`);
  t.same(malformed, []);
});
