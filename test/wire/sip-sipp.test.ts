/** SIPp judges the endpoint from both sides, and tshark what both wrote. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { header } from '#core/sip/message.ts';
import { digestHa1, digestResponse, parseAuthorization } from '#core/sip/digest.ts';
import { systemHashes } from '#kit/hashes.ts';
import type { Outcome, SipEndpoint, Target } from '#kit/sip-endpoint.ts';
import { BRISK, type Ran, asks, openEndpoint, portOf, run, until } from './sip-rig.ts';
import { Capture } from './capture.ts';
import { freePort } from './free-port.ts';

const SDP = { contentType: 'application/sdp', body: Buffer.from('v=0\r\no=1 0 0 IN IP4 127.0.0.1\r\ns=Play\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=video 30002 RTP/AVP 96\r\na=sendonly\r\na=rtpmap:96 PS/90000\r\ny=0100000001\r\n') };
const HERE = import.meta.dirname;
const CALLS = 20;

const scratch = mkdtempSync(join(tmpdir(), 'sipp-'));
// Foreign programs take their time on a busy machine.
t.setTimeout(120_000);
t.teardown(() => rmSync(scratch, { recursive: true, force: true }));

function sipp(scenario: string, port: number, transport: 'UDP' | 'TCP', calls: number, rest: readonly string[]): { readonly done: Promise<Ran>; stop(): void } {
  const common = ['-sf', join(HERE, 'sipp', `${scenario}.xml`), '-i', '127.0.0.1', '-p', String(port), '-t', transport === 'UDP' ? 'u1' : 't1', '-m', String(calls)];
  const errors = join(scratch, `${scenario}-${transport}.err`);
  return run('sipp', [...common, '-nostdin', '-timeout', '20s', '-timeout_error', '-recv_timeout', '10000', '-trace_err', '-error_file', errors, ...rest], 25_000);
}
const errorsOf = (scenario: string, transport: string): string => {
  try {
    return readFileSync(join(scratch, `${scenario}-${transport}.err`), 'latin1');
  } catch {
    return '';
  }
};

const complaints = (output: string): string => output.split('\n').filter(line => /error|unable|unexpected|abort/i.test(line)).slice(0, 20).join('\n');

/** A registrar and callee of few words. */
async function platform(): Promise<SipEndpoint & { readonly acknowledged: () => number; readonly cancelled: () => number }> {
  const endpoint = await openEndpoint({ timing: BRISK });
  let acknowledged = 0;
  let cancelled = 0;
  const nonce = 'f00dfeed';
  endpoint.onRequest = incoming => {
    if (incoming.request.method !== 'REGISTER') return incoming.respond(200);
    const credentials = parseAuthorization(header(incoming.request, 'Authorization') ?? '');
    const ha1 = digestHa1(systemHashes, 'MD5', '34020000001320000001', '3402000000', '12345678');
    const isRight = credentials.ok && credentials.value.response === digestResponse(systemHashes, 'MD5', ha1, 'REGISTER', credentials.value);
    if (isRight) incoming.respond(200, { expires: 3600 });
    else incoming.respond(401, { headers: [{ name: 'WWW-Authenticate', value: `Digest realm="3402000000", nonce="${nonce}", algorithm=MD5` }] });
  };
  endpoint.onInvite = incoming => {
    incoming.onAck = () => acknowledged++;
    incoming.onCancel = () => cancelled++;
    const subject = header(incoming.request, 'Subject');
    if (subject === undefined) return incoming.respond(400);
    incoming.provisional(180);
    if (behaviour === 'ring') return;
    if (behaviour === 'busy') return incoming.respond(486);
    incoming.accept(SDP).onRequest = inside => inside.respond(200, inside.request.method === 'INVITE' ? SDP : {});
  };
  return Object.assign(endpoint, { acknowledged: () => acknowledged, cancelled: () => cancelled });
}
let behaviour: 'answer' | 'ring' | 'busy' = 'answer';

t.test('SIPp calls, the endpoint answers', async t => {
  await using endpoint = await platform();
  await using capture = await Capture.start([portOf(endpoint, 'UDP'), portOf(endpoint, 'TCP')], join(scratch, 'uac.pcap'));
  const cases = [
    { scenario: 'uac-message', behaviour: 'answer' as const },
    { scenario: 'uac-register', behaviour: 'answer' as const },
    { scenario: 'uac-invite', behaviour: 'answer' as const },
    { scenario: 'uac-reinvite', behaviour: 'answer' as const },
    { scenario: 'uac-cancel', behaviour: 'ring' as const },
    { scenario: 'uac-busy', behaviour: 'busy' as const },
    { scenario: 'uac-invite-lossy', behaviour: 'answer' as const, only: 'UDP' as const },
  ];
  for (const transport of ['UDP', 'TCP'] as const) {
    for (const one of cases) {
      if (one.only !== undefined && one.only !== transport) continue;
      behaviour = one.behaviour;
      const before = { acknowledged: endpoint.acknowledged(), cancelled: endpoint.cancelled() };
      const { code, output } = await sipp(one.scenario, await freePort(), transport, CALLS, ['-r', '200', `127.0.0.1:${portOf(endpoint, transport)}`]).done;
      t.equal(code, 0, `${one.scenario} ${transport}: ${CALLS} calls ${code === 0 ? '' : complaints(output) + errorsOf(one.scenario, transport)}`);
      const calls = one.scenario.includes('invite') ? CALLS : 0;
      t.equal(endpoint.acknowledged() - before.acknowledged, calls, 'each ACK of a 2xx reached its owner once');
      t.equal(endpoint.cancelled() - before.cancelled, one.scenario === 'uac-cancel' ? CALLS : 0, 'each CANCEL, too');
    }
  }
  await until('an empty house', () => ['serverTransactions', 'dialogs', 'invites', 'timers'].every(name => endpoint.sizes[name] === 0));
  const { sip, malformed } = await capture.judge();
  t.ok(sip > 500, `${sip} SIP messages seen by tshark`);
  t.same(malformed, [], 'none malformed');
});

const result = (outcome: Outcome): string => (outcome.type === 'response' ? String(outcome.response.status) : outcome.type);

/** One call of ours: how it went, in words. */
function call(endpoint: SipEndpoint, target: Target, then: 'bye' | 'wait' | 'cancel'): Promise<string> {
  return new Promise(resolve => {
    const invite = endpoint.invite({ ...asks('INVITE', target.address, target.port), ...SDP }, target);
    invite.onProvisional = () => void (then === 'cancel' && invite.cancel());
    invite.onFailed = outcome => resolve(`failed ${result(outcome)}`);
    invite.onAccepted = ({ dialog, ack }) => {
      ack();
      dialog.onRequest = incoming => {
        incoming.respond(200);
        resolve(`ended by ${incoming.request.method}`);
      };
      if (then === 'bye') void dialog.request('BYE').then(outcome => resolve(`BYE ${result(outcome)}`));
    };
  });
}

t.test('the endpoint calls, SIPp answers', async t => {
  await using endpoint = await openEndpoint({ timing: BRISK });
  const scenarios = [
    { scenario: 'uas-invite', then: 'bye', expected: 'BYE 200', on: ['UDP', 'TCP'] },
    { scenario: 'uas-no-contact', then: 'bye', expected: 'BYE 200', on: ['UDP', 'TCP'] },
    { scenario: 'uas-busy', then: 'bye', expected: 'failed 486', on: ['UDP', 'TCP'] },
    { scenario: 'uas-bye', then: 'wait', expected: 'ended by BYE', on: ['UDP', 'TCP'] },
    { scenario: 'uas-bye-lossy', then: 'wait', expected: 'ended by BYE', on: ['UDP'] },
    { scenario: 'uas-cancel', then: 'cancel', expected: 'failed 487', on: ['UDP', 'TCP'] },
  ] as const;
  const calls = 10;
  const cases = await Promise.all(scenarios.flatMap(one => one.on.map(async transport => ({ ...one, transport, port: await freePort() }))));
  await using capture = await Capture.start(cases.map(one => one.port), join(scratch, 'uas.pcap'));
  for (const { scenario, then, expected, transport, port } of cases) {
    const judge = sipp(scenario, port, transport, calls, []);
    if (transport === 'TCP') await listening(port);
    const target: Target = { transport, address: '127.0.0.1', port };
    const ended = await Promise.all(Array.from({ length: calls }, () => call(endpoint, target, then)));
    t.same(new Set(ended), new Set([expected]), `${scenario} ${transport}`);
    const { code, output } = await judge.done;
    t.equal(code, 0, `${scenario} ${transport}: content ${code === 0 ? '' : complaints(output) + errorsOf(scenario, transport)}`);
  }
  await until('an empty house', () => Object.entries(endpoint.sizes).every(([name, size]) => size === 0 || name === 'tcpConnections'));
  const { sip, malformed } = await capture.judge();
  t.ok(sip > 300, `${sip} SIP messages seen by tshark`);
  t.same(malformed, [], 'none malformed');
});

/** SIPp says nothing when it is ready. Looked at from outside: a probe that binds would take its port. Over UDP our own repetition bridges the gap. */
async function listening(port: number): Promise<void> {
  const row = new RegExp(`^ *\\d+: [0-9A-F]{8}:${port.toString(16).toUpperCase().padStart(4, '0')} [0-9A-F]{8}:0000 0A `, 'm');
  await until(`SIPp at ${port}`, () => row.test(readFileSync('/proc/net/tcp', 'utf8')), 20_000);
}
