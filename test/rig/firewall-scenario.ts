/**
 * A gateway behind its own packet filter, and the world before it: run in a network namespace of its own, which is the world
 * (test/wire/gateway-firewall.test.ts), prints one JSON object.
 *
 *   world: camera 10.77.0.1, management 10.77.0.9, scanner 203.0.113.7 == veth == 10.77.0.2 gateway, in a second namespace
 */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { SipdRequests } from '#contracts/sipd.ts';
import { connectRpc } from '#kit/rpc.ts';
import { main as vlink } from '../../cli/vlink.ts';
import { RawPeer } from './raw-peer.ts';
import { requestBytes, token } from './sip-text.ts';
import { until } from './until.ts';

const [CAMERA, MANAGEMENT, SCANNER, GATEWAY] = ['10.77.0.1', '10.77.0.9', '203.0.113.7', '10.77.0.2'];
const GATEWAY_ID = '34020000002000000001';
const directory = process.argv[2]!;
const far = `vl-gateway-${process.pid}`;
/** Longer than all of this takes, and short enough to see its end. */
const [LONG_BAN_S, SHORT_BAN_S] = [600, 3];
const PACKETS_PER_S = 200;
/** Longer than any answer takes here. */
const SILENCE_MS = 700;

const ip = (...args: readonly string[]): string => execFileSync('ip', args, { encoding: 'utf8' });
const inGateway = (...command: readonly string[]): string => execFileSync('ip', ['netns', 'exec', far, ...command], { encoding: 'utf8', env: { ...process.env, PATH: '/usr/sbin:/usr/bin:/sbin:/bin' } });

ip('link', 'set', 'lo', 'up');
ip('netns', 'add', far);
ip('link', 'add', 'w0', 'type', 'veth', 'peer', 'name', 'g0', 'netns', far);
for (const address of [`${CAMERA}/24`, `${MANAGEMENT}/24`, `${SCANNER}/24`]) ip('address', 'add', address, 'dev', 'w0');
ip('link', 'set', 'w0', 'up');
for (const words of [['link', 'set', 'lo', 'up'], ['address', 'add', `${GATEWAY}/24`, 'dev', 'g0'], ['link', 'set', 'g0', 'up'], ['route', 'add', '203.0.113.0/24', 'dev', 'g0']]) inGateway('ip', ...words);

const run = join(directory, 'run');
mkdirSync(run);
const configuration = join(directory, 'gateway.yaml');
const configure = (banS: number): void => writeFileSync(
  configuration,
  stringify({
    host: { firewall: true, management: [MANAGEMENT], sipPacketsPerS: PACKETS_PER_S, bans: { banS, maxBanS: banS } },
    sip: { id: GATEWAY_ID, listen: ['udp', 'tcp'].map(transport => ({ transport, address: GATEWAY, port: 5060 })), unknownRequestsPerS: 10_000 },
    // One that may come from anywhere: SIP is open to all, and the scanner is somebody for sipd to find out about.
    devices: { known: [{ id: '34020000001110000001', password: 'x' }], admit: [{ networks: [`${CAMERA}/32`], password: 'x' }] },
    state: { directory: join(directory, 'state') },
    rpc: { directory: run },
  }),
);
configure(LONG_BAN_S);
const node = process.execPath;
const sipd = spawn('ip', ['netns', 'exec', far, node, 'daemons/sipd/main.ts', '--config', configuration], { stdio: 'ignore' });
const applied = (...more: readonly string[]): void => void inGateway(node, 'daemons/firewall/main.ts', '--config', configuration, ...more);

/** `answered`: by the kernel of the gateway, which refuses or takes it; `silence`: something dropped it. */
function knock(localAddress: string, port: number): Promise<'answered' | 'silence'> {
  return new Promise(resolve => {
    const socket = connect({ host: GATEWAY, port, localAddress, timeout: SILENCE_MS });
    const ended = (how: 'answered' | 'silence'): void => (socket.destroy(), resolve(how));
    socket.on('connect', () => ended('answered')).on('error', () => ended('answered')).on('timeout', () => ended('silence'));
  });
}

const ask = (peer: RawPeer, agent?: string): void => peer.send(requestBytes({ method: 'OPTIONS', uri: `sip:${GATEWAY_ID}@3402000000`, from: '<sip:100@3402000000>;tag=f', to: `<sip:${GATEWAY_ID}@3402000000>`, callId: token(), ...(agent === undefined ? {} : { headers: [`User-Agent: ${agent}`] }) }, { ...peer.place, transport: 'UDP' }));

/** What it printed; its exit code before it. */
async function typed(...words: readonly string[]): Promise<string> {
  let text = '';
  const code = await vlink(words, { ...process.env, VLINK_RUN_DIR: run, VLINK_CONFIG: configuration }, { out: more => void (text += more), err: more => void (text += more) });
  return `${code}\n${text}`;
}

/** Packets that each rule of the kernel counted, by what stands before `counter`. */
function counted(pattern: RegExp): number {
  const line = inGateway('nft', 'list', 'table', 'inet', 'viewlink').split('\n').find(each => pattern.test(each)) ?? '';
  return Number(/counter packets (\d+)/.exec(line)?.[1] ?? -1);
}

try {
  await until('sipd', () => existsSync(join(run, 'sipd.sock')), 20_000);
  await using rpc = await connectRpc<SipdRequests>(join(run, 'sipd.sock'));
  const counter = async (name: string): Promise<number> => (await rpc.call('counters', {}))[name] ?? 0;
  const place = { address: GATEWAY, port: 5060 };
  await using camera = await RawPeer.udp(place, CAMERA);
  await using scanner = await RawPeer.udp(place, SCANNER);

  const open = { undeclared: await knock(SCANNER, 9999), ssh: await knock(SCANNER, 22) };
  applied();
  const closed = { undeclared: await knock(SCANNER, 9999), ssh: await knock(SCANNER, 22), management: await knock(MANAGEMENT, 22), sip: await knock(CAMERA, 5060), media: await knock(CAMERA, 30_000) };
  const undeclared = counted(/not declared/);

  // A scanner that nobody has found out yet is heard, found out, and then not heard.
  for (let sent = 0; (await rpc.call('listBans', {})).length === 0 && sent < 10; sent++) {
    ask(scanner, 'friendly-scanner');
    await until('what it sent', async () => (await counter('sip.dropped.scanner')) > sent);
  }
  const [ban] = await rpc.call('listBans', {});
  ask(scanner, 'friendly-scanner');
  await until('the drop in the process', async () => (await counter('sip.dropped.banned')) === 1);
  await until('the file', () => existsSync(join(run, 'bans')));
  applied('--bans');

  const before = { heard: await counter('sip.dropped.banned'), dropped: counted(/@banned4/) };
  let asked = 0;
  for (; asked < 100; asked++) {
    for (let i = 0; i < 5; i++) ask(scanner, 'friendly-scanner');
    const answers = camera.heard.length;
    ask(camera);
    await until('an answer to the camera', () => camera.heard.length > answers);
  }
  const during = { heard: (await counter('sip.dropped.banned')) - before.heard, dropped: counted(/@banned4/) - before.dropped, asked, answered: camera.heard.length };

  const shown = { bans: await typed('show', 'bans'), removed: await typed('ban', 'remove', SCANNER), again: await typed('ban', 'remove', SCANNER), none: await typed('show', 'bans') };
  await until('the empty file', () => readFileSync(join(run, 'bans'), 'utf8') === '');
  applied('--bans');
  configure(SHORT_BAN_S);
  await rpc.call('reload', { sections: ['host'] });
  await until('it is heard, and shut out again', async () => (ask(scanner, 'friendly-scanner'), (await rpc.call('listBans', {})).length === 1));
  await until('the file', () => readFileSync(join(run, 'bans'), 'utf8') !== '');
  applied('--bans');
  await until('the end of the ban', async () => (await rpc.call('listBans', {})).length === 0, 2 * SHORT_BAN_S * 1000);
  const scans = await counter('sip.dropped.scanner');
  // The kernel keeps the time by itself.
  await until('the scanner is heard again', async () => (ask(scanner, 'friendly-scanner'), (await counter('sip.dropped.scanner')) > scans), 2 * SHORT_BAN_S * 1000);

  const requests = await counter('sip.in.requests');
  for (let i = 0; i < 3000; i++) ask(camera);
  await until('the rate', () => counted(/@rates4/) > 0);
  await until('quiet', async () => { const now = await counter('sip.in.requests'); await knock(SCANNER, 22); return now === (await counter('sip.in.requests')); });
  const flood = { passed: (await counter('sip.in.requests')) - requests, dropped: counted(/@rates4/) };

  writeFileSync(configuration, 'host: { firewall: false }\n');
  applied();
  const off = inGateway('nft', 'list', 'tables');
  process.stdout.write(`${JSON.stringify({ open, closed, undeclared, ban, during, shown, flood, off })}\n`);
} finally {
  sipd.kill('SIGTERM');
  await new Promise(resolve => sipd.once('exit', resolve));
  ip('netns', 'delete', far);
}
