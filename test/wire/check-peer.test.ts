/** `vlink check peer`: platforms and devices, right ones and wrong ones, and our own registrar as a platform among others. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { validate } from '#core/diagnose/validate.ts';
import { decodeBody } from '#kit/charset.ts';
import { systemClock } from '#kit/clock.ts';
import { probePlatform } from '../../cli/wire/platform-probe.ts';
import { LAB_ID, LAB_PASSWORD } from '../../scripts/lab/gateway.ts';
import type { Mischief } from '../../scripts/simulators/platform/mischief.ts';
import { Platform, type PlatformOptions } from '../../scripts/simulators/platform/platform.ts';
import { CITY_LOCAL_ID, openRelayRig } from '../rig/relay-rig.ts';

t.setTimeout(120_000);
const VLINK = fileURLToPath(new URL('../../cli/vlink', import.meta.url));
const PASSWORD = 'check-secret';
const OUR_ID = '34020000002000000077';

interface Report {
  readonly points: readonly { readonly id: string; readonly verdict: string; readonly seen: string }[];
  readonly findings: readonly { readonly id: string; readonly by: string }[];
}

interface Answer {
  readonly code: number | null;
  readonly text: string;
  readonly report: Report;
  /** Points that are neither right nor untried. */
  readonly odd: Readonly<Record<string, string>>;
  readonly seen: Readonly<Record<string, string>>;
}

await using rig = await openRelayRig({
  cameras: [{ channels: 1 }, { channels: 1, quirks: ['own-ssrc'], keepaliveS: 1 }],
  devices: { known: [{ id: '34020000001180000001', password: LAB_PASSWORD, transport: 'tcp-passive' }], admit: [{ networks: ['127.0.0.0/8'], password: LAB_PASSWORD }] },
});

function answerOf(report: Report): Omit<Answer, 'code' | 'text'> {
  const of = (points: Report['points'], value: 'verdict' | 'seen'): Record<string, string> => Object.fromEntries(points.map(point => [point.id, point[value]]));
  // A failure has no points.
  const points = 'points' in report ? report.points : [];
  return { report, odd: of(points.filter(({ verdict }) => verdict === 'wrong' || verdict === 'loose'), 'verdict'), seen: of(points, 'seen') };
}

/** `input`: what is piped in; a password never stands among the arguments. */
function check(peer: string, input: string, ...args: readonly string[]): Promise<Answer> {
  const child = spawn(VLINK, ['--run-dir', join(rig.gateway.directory, 'run'), 'check', 'peer', peer, ...args, '--json'], { stdio: ['pipe', 'pipe', 'pipe'] });
  let text = '';
  child.stdout.on('data', chunk => (text += String(chunk)));
  child.stderr.resume();
  child.stdin.on('error', () => undefined).end(input);
  return new Promise(resolve =>
    child.on('close', code => {
      resolve({ code, text, ...answerOf(JSON.parse(text) as Report) });
    }),
  );
}

/** Without a process of its own: its points, and what the validator says of the platform. */
async function probe(options: Partial<PlatformOptions> & { readonly mischief?: readonly Mischief[] }, password: string | undefined = PASSWORD, transport: 'UDP' | 'TCP' = 'UDP'): Promise<Omit<Answer, 'code' | 'text'> & { readonly peers: number }> {
  await using platform = await Platform.open({ id: '34020000002000000055', password: PASSWORD, ...options });
  const { rows, messages } = await probePlatform({ address: platform.address, port: platform.port, transport, id: OUR_ID, peerId: platform.id, password, localAddress: '127.0.0.1', signal: new AbortController().signal, onStep: () => undefined });
  const findings = validate(messages, body => decodeBody(body), systemClock.wall()).filter(({ id }) => id !== 'sent-again');
  return { ...answerOf({ points: rows, findings: findings.filter(({ by }) => by !== 'us') }), peers: platform.registrar.peers.size };
}

/** What the simulator does not do as it should, whatever else. */
const ALWAYS = { 'old-cseq': 'loose', 'unknown-type': 'loose', 'unknown-event': 'loose', 'asks-catalog': 'loose', 'asks-device-info': 'loose' };

await t.test('platforms', { timeout: 90_000 }, async t => {
  const [clean, tcp, sha, short, dateless, stale, rejecting, deaf, open, wrongPassword] = await Promise.all([
    probe({}),
    probe({}, PASSWORD, 'TCP'),
    probe({ algorithms: ['SHA-256', 'MD5'] }),
    probe({ mischief: ['short-expires'] }),
    probe({ mischief: ['no-date'] }),
    probe({ mischief: ['stale-nonce'] }),
    probe({ mischief: ['reject-register'] }),
    probe({ mischief: ['ignore-keepalive'] }),
    probe({ password: undefined }, undefined),
    probe({}, 'nonsense'),
  ]);
  t.same(clean.odd, ALWAYS);
  t.same(clean.report.findings, []);
  t.match(clean.seen, { 'challenge-form': /realm 3402000000, MD5, qop auth/, 'register-expires': '3600 s', 'nonce-again': /^200/, 'cseq-method': /^400/ });
  t.equal(clean.peers, 0, 'the registration was taken back');
  t.same(tcp.odd, ALWAYS);
  t.equal(tcp.report.points.find(({ id }) => id === 'cseq-method')?.verdict, 'not tried');
  t.match(sha.seen['challenge-form'], /SHA-256/);
  t.same(sha.odd, ALWAYS);
  t.same(short.odd, { ...ALWAYS, 'register-expires': 'loose' });
  t.match(short.report.findings.map(({ id }) => id), ['register-expires']);
  t.same(dateless.odd, { ...ALWAYS, 'register-date': 'loose' });
  t.same(stale.odd, ALWAYS, 'a stale nonce is answered anew');
  t.match(rejecting.odd, { 'register-challenge': 'wrong' });
  t.match(rejecting.seen, { 'register-challenge': /^403/, register: 'no challenge', keepalive: 'not registered' });
  t.match(deaf.odd, { keepalive: 'wrong' });
  t.equal(deaf.seen['keepalive'], 'no answer');
  t.match(open.seen['register-challenge'], /^200: nobody is asked/);
  t.match(open.odd, { 'register-challenge': 'loose' });
  t.match(wrongPassword.odd, { register: 'wrong' });
  t.match(wrongPassword.seen['register'], /^403 .*the password is not taken/);
});

await t.test('our own registrar, as strangers see it', async t => {
  const own = await check(`127.0.0.1:${rig.gateway.sipPort}`, `${LAB_PASSWORD}\n`, '--id', '34020000001180000077', '--platform', LAB_ID, '--password');
  t.same(Object.entries(own.odd).filter(([, verdict]) => verdict === 'wrong'), []);
  t.same(own.report.findings.filter(({ id }) => id !== 'sent-again'), [], 'it breaks no rule');
  t.match(own.seen, { register: '200 OK', 'asks-catalog': 'asked', 'asks-device-info': 'asked', unregister: '200 OK' });
  // Devices count as they like.
  t.same(own.odd, { 'old-cseq': 'loose' });
  t.equal(own.code, 0);
  t.notMatch(own.text, LAB_PASSWORD, 'no password is printed');
});

await t.test('what must not be: an ID that the gateway itself uses, no ID, an address that is none', async t => {
  const platform = rig.platforms[0]!;
  const taken = await check(`${platform.address}:${platform.port}`, '', '--id', CITY_LOCAL_ID);
  t.equal(taken.code, 64);
  t.match(taken.text, /its registration would be lost/);
  t.equal((await check('127.0.0.1:9', '')).code, 64);
  t.not((await check('34020000001180009999', '')).code, 0);
});

await t.test('devices', { timeout: 60_000 }, async t => {
  const [clean, strange] = await Promise.all([0, 1].map(index => check(rig.cameras[index]!.device.id, '')));
  t.same(clean!.odd, {});
  t.same([clean!.code, clean!.report.findings.filter(({ id }) => id !== 'sent-again')], [0, []]);
  t.match(clean!.seen, { catalog: '1 items', 'device-info': /ViewLink/, 'record-info': /of the last day/, 'ptz-stop': '200', live: /packets in 3 s over tcp/, bye: '200', 'transport-tcp-passive': /packets/, 'transport-udp': /configured otherwise/ });
  t.same(strange!.odd, { media: 'wrong' });
  t.match(strange!.report.findings.filter(({ id }) => id !== 'sent-again'), [{ id: 'rtp-ssrc' }]);
  t.equal(strange!.code, 1);
});
