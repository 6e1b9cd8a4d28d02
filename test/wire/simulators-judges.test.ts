/** Other SIP stacks against the simulators: SIPp in both roles, and npm `sip` reading what they send. */
import { execFile } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { prepareFootage } from '../../scripts/media/footage.ts';
import { CameraSimulator } from '../../scripts/simulators/camera/simulator.ts';
import { UdpRelay } from '../../scripts/simulators/common/udp-relay.ts';
import { Platform } from '../../scripts/simulators/platform/platform.ts';

const run = promisify(execFile);
const PASSWORD = 'Gate#2026';
const sipp = await run('which', ['sipp']).then(({ stdout }) => stdout.trim(), () => undefined);

interface ForeignMessage {
  readonly method?: string;
  readonly status?: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly content: string;
}
const foreign = createRequire(import.meta.url)('sip') as { parse(text: string): ForeignMessage | undefined };

/** Ends with 0 when every call went as the scenario says. */
async function play(scenario: string, target: string, argv: readonly string[]): Promise<string> {
  const common = ['-sf', join(import.meta.dirname, 'simulators-sipp', `${scenario}.xml`), '-i', '127.0.0.1', '-m', '1', '-nostdin', '-timeout', '20', '-timeout_error', '-max_retrans', '5'];
  return run(sipp!, [target, ...common, ...argv], { cwd: tmpdir(), timeout: 30_000 }).then(
    () => '',
    (error: { code?: number; stderr?: string }) => `${scenario}: ${error.code} ${error.stderr ?? ''}`,
  );
}

async function freePort(): Promise<number> {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  await new Promise<void>(resolve => socket.close(resolve));
  return port;
}

t.before(() => prepareFootage());

t.test('SIPp as platform plays the camera', async t => {
  if (sipp === undefined) return t.comment('sipp is not installed: nobody judges');
  const camera = await CameraSimulator.open({ platform: { id: '34020000002000000001', address: '127.0.0.1', port: await freePort() }, register: false });
  t.teardown(() => camera.vanish());
  const { port } = camera.endpoints[0]!.bound[0]!;
  t.equal(await play('platform', `127.0.0.1:${port}`, ['-s', camera.device.channels[0]!.id, '-mp', '41000']), '');
  t.match(camera.device.counters, { invites: 1 });
  t.equal(camera.sessions.length, 0);
});

t.test('SIPp as camera registers, keeps alive and is played', async t => {
  if (sipp === undefined) return t.comment('sipp is not installed: nobody judges');
  const platform = await Platform.open({ password: PASSWORD });
  t.teardown(() => platform[Symbol.asyncDispose]());
  const id = '34020000001180000001';
  const port = await freePort();
  const target = `127.0.0.1:${platform.port}`;
  t.equal(await play('camera-registers', target, ['-s', id, '-p', String(port), '-au', id, '-ap', PASSWORD]), '');
  await platform.waitKeepalives(id, 1);
  t.match(platform.registrar.counters, { challenged: 1, accepted: 1, wrongDigest: 0 });
  const [verdict, report] = await Promise.all([
    play('camera-answers', target, ['-p', String(port)]),
    platform.play('34020000001320000001', { transport: 'udp' }).then(playing => playing.stop()),
  ]);
  t.equal(verdict, '');
  t.match(report, { byeAnswered: true, packets: 0 });
});

t.test('npm sip reads every datagram as we meant it', async t => {
  const platform = await Platform.open({ password: PASSWORD });
  t.teardown(() => platform[Symbol.asyncDispose]());
  const datagrams: Buffer[] = [];
  const relay = await UdpRelay.open({ peer: platform, address: '127.0.0.1', onDatagram: (_from, _to, datagram) => datagrams.push(datagram) });
  t.teardown(() => relay[Symbol.asyncDispose]());
  const camera = await CameraSimulator.open({ platform: { id: platform.id, address: relay.address, port: relay.port }, password: PASSWORD, channels: 2, quirks: ['no-contact-in-200'] });
  t.teardown(() => camera[Symbol.asyncDispose]());
  await platform.waitRegistered(camera.device.id);
  await platform.catalog();
  const playing = await platform.play(camera.device.channels[0]!.id, { transport: 'udp' });
  await playing.waitFrames(1);
  await playing.stop();
  const methods = new Set<string>();
  for (const datagram of datagrams) {
    const text = datagram.toString('latin1');
    const read = foreign.parse(text);
    const [first = '', second = ''] = text.split(' ');
    t.match(read, first === 'SIP/2.0' ? { status: Number(second) } : { method: first }, `${first} ${second}`);
    t.equal(read!.content.length, Number(read!.headers['content-length']), 'Content-Length is the body');
    methods.add(first);
  }
  t.same([...methods].sort(), ['ACK', 'BYE', 'INVITE', 'MESSAGE', 'REGISTER', 'SIP/2.0']);
});
