/**
 * A pair under systemd, as somebody sets it up: the package on two plain machines on a switch and a cable, one code, and the power of the
 * active one is cut. What is looked for besides: anything that the sandboxes of the units do not let through. Needs root.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { stringify } from 'yaml';
import type { ClusterReport, ClusterdRequests } from '#contracts/clusterd.ts';
import { Closer } from '#kit/closer.ts';
import { connectRpc } from '#kit/rpc.ts';
import { LAB_ID, LAB_PASSWORD } from '../../scripts/lab/gateway.ts';
import { enterWorld, PairNode, SIP_ADDRESS, wire, WORLD } from '../../scripts/lab/pair.ts';
import { debianRoot, Machine, packageOfTree, unpack } from '../rig/nspawn.ts';
import { runTool } from '../rig/run-tool.ts';
import { until } from '../rig/until.ts';

const BASE = 'VIEWLINK_PAIR_BASE';
const ALONE = ['viewlink-configd', 'viewlink-mediad@1', 'viewlink-sipd', 'viewlink-healthd', 'viewlink-apid'];
const OF_A_PAIR = ['viewlink-clusterd', 'viewlink-pair-state', 'viewlink-pair-addresses'];
const NAMES = ['gw-1', 'gw-2'] as const;
const CODE = /[0-9A-Z]{5}(?:-[0-9A-Z]{5}){5}/;
const SLOW_MS = 90_000;
/** What the kernel or a sandbox says when something is not let through. */
const KEPT_OUT = /\bE(?:PERM|ACCES|ROFS)\b|Operation not permitted|Permission denied|Read-only file system|SIGSYS|seccomp/i;
/** The kernel of a test machine may know no filter for cgroups. */
const NOT_OURS = /does not support BPF.cgroup firewalling/;

/** A root file system with the package on it, for both machines to stand on. As after an installation nothing of it starts by itself. */
async function base(): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), 'vl-pair-base-'));
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }));
  const root = join(directory, 'root');
  mkdirSync(root);
  const [deb] = await Promise.all([packageOfTree(), debianRoot().then(archive => unpack(archive, root))]);
  copyFileSync(deb, join(root, 'viewlink.deb'));
  const { code, stdout, stderr } = await runTool('chroot', [root, 'env', 'DEBIAN_FRONTEND=noninteractive', 'sh', '-c', 'dpkg --install /viewlink.deb && systemctl disable viewlink.target'], 60_000);
  if (code !== 0) throw new Error(`dpkg: ${stdout}${stderr}`);
  return root;
}

interface Node {
  readonly name: string;
  readonly machine: Machine;
}

const vlink = async ({ machine }: Node, ...words: readonly string[]): Promise<string> => await machine.ask('vlink', ...words);

const isActive = async ({ machine }: Node, unit: string): Promise<boolean> => (await machine.run('systemctl', 'is-active', '--quiet', unit)).code === 0;

async function report({ machine }: Node): Promise<ClusterReport | undefined> {
  try {
    await using client = await connectRpc<ClusterdRequests>(machine.path('/run/viewlink/clusterd.sock'));
    return await client.call('report', {});
  } catch {
    return undefined;
  }
}

const has = async ({ machine }: Node, address: string): Promise<boolean> => (await machine.ask('ip', '-4', '-o', 'address', 'show', 'dev', 'eth0')).includes(` ${address}/`);

/** First line of the answer to a REGISTER without credentials; undefined: nobody answers. */
async function registers(address: string): Promise<string | undefined> {
  const socket = createSocket('udp4');
  try {
    socket.bind(0, WORLD);
    await once(socket, 'listening');
    const { port } = socket.address();
    const lines = [`REGISTER sip:${LAB_ID}@${address}:5060 SIP/2.0`, `Via: SIP/2.0/UDP ${WORLD}:${port};rport;branch=z9hG4bK${port}${performance.now()}`, `From: <sip:34020000001320000001@3402000000>;tag=${port}`, 'To: <sip:34020000001320000001@3402000000>', `Call-ID: ${performance.now()}@${WORLD}`, 'CSeq: 1 REGISTER', `Contact: <sip:34020000001320000001@${WORLD}:${port}>`, 'Max-Forwards: 70', 'Expires: 3600', 'Content-Length: 0', '', ''];
    const answer = once(socket, 'message', { signal: AbortSignal.timeout(1000) });
    socket.send(lines.join('\r\n'), 5060, address);
    const [message] = (await answer) as [Buffer];
    return message.toString().split('\r\n')[0];
  } catch (error) {
    if ((error as Error).name === 'AbortError' || (error as NodeJS.ErrnoException).code === 'ENETUNREACH' || (error as NodeJS.ErrnoException).code === 'EHOSTUNREACH') return undefined;
    throw error;
  } finally {
    socket.close();
  }
}

/** Nothing may be said that a sandbox kept out, by whomever. */
async function complaints({ machine }: Node): Promise<readonly string[]> {
  const text = await machine.ask('journalctl', '--boot', '--no-pager', '--output=short-monotonic');
  return text.split('\n').filter(line => /viewlink|redis|[Kk]eepalived|node\[/.test(line) && KEPT_OUT.test(line) && !NOT_OURS.test(line));
}

async function run(): Promise<void> {
  t.setTimeout(170_000);
  await using closer = new Closer();
  const directory = mkdtempSync(join(tmpdir(), 'vl-pair-units-'));
  closer.defer(() => rmSync(directory, { recursive: true, force: true }));
  const world = process.env['VIEWLINK_WORLD']!;
  const places = [new PairNode(0, world, directory), new PairNode(1, world, directory)] as const;
  wire(places, closer);
  const machines = await Promise.all(places.map(({ namespace }, index) => Machine.boot('', { name: NAMES[index]!, network: `/run/netns/${namespace}`, over: process.env[BASE]!, upWithinMs: SLOW_MS })));
  for (const machine of machines) closer.use(machine);
  const nodes = machines.map((machine, index): Node => ({ name: NAMES[index]!, machine })) as [Node, Node];
  const [a, b] = nodes;

  await t.test('two machines with the package, and on the first one a configuration', async t => {
    await Promise.all(nodes.map(async ({ machine }) => await machine.ask('systemctl', 'enable', '--now', 'viewlink.target')));
    for (const node of nodes) for (const unit of ALONE) await until(`${unit} of ${node.name}`, () => isActive(node, unit), SLOW_MS);
    const config = { node: { name: NAMES[0] }, sip: { id: LAB_ID, listen: [{ transport: 'udp', address: '10.97.0.1', port: 5060 }] }, devices: { admit: [{ networks: ['10.97.0.0/24'], password: LAB_PASSWORD }] } };
    writeFileSync(a.machine.path('/root/first.yaml'), stringify(config), { mode: 0o600 });
    await vlink(a, 'config', 'load', '/root/first.yaml');
    t.match(await vlink(a, 'config', 'commit', '--restart'), /revision 2 is in force/);
    t.match(await until('SIP', () => registers('10.97.0.1'), SLOW_MS), /^SIP\/2\.0 401/);
  });

  await t.test('one code makes them a pair, and everything of a pair runs', async t => {
    await Promise.all(nodes.map(({ machine }) => machine.ask('systemctl', 'enable', '--now', ...OF_A_PAIR)));
    const code = CODE.exec(await vlink(a, 'cluster', 'pair', '--link', '10.98.0.1', '--lan', '10.97.0.1', '--address', `${SIP_ADDRESS}/24`))![0];
    t.match(await vlink(b, 'cluster', 'join', '10.98.0.1', code, '--name', NAMES[1], '--lan', '10.97.0.2'), /done; see vlink cluster show/);
    for (const node of nodes) for (const unit of [...ALONE, ...OF_A_PAIR]) await until(`${unit} of ${node.name}`, () => isActive(node, unit), SLOW_MS);
    t.match(await until('SIP at the address of the pair', () => registers(SIP_ADDRESS), SLOW_MS), /^SIP\/2\.0 401/);
  });

  await t.test('the other one has everything and could take over', async t => {
    const [active, standby] = await ready(nodes);
    t.ok(await has(active, SIP_ADDRESS));
    t.notOk(await has(standby, SIP_ADDRESS));
    t.match(await vlink(standby, 'cluster', 'show'), new RegExp(`${standby.name} is standby`));
  });

  await t.test('no sandbox kept anything out', async t => {
    for (const node of nodes) {
      t.same(await complaints(node), [], node.name);
      for (const unit of [...ALONE, ...OF_A_PAIR]) t.equal((await node.machine.ask('systemctl', 'show', '--value', '--property=Result', unit)).trim(), 'success', `${node.name}: ${unit}`);
    }
  });

  await t.test('keepalived is killed: what it leaves behind is taken away by its unit, and the address is at the other one', async t => {
    const [active, standby] = await ready(nodes);
    await active.machine.ask('pkill', '--signal', 'KILL', '--exact', 'keepalived');
    await until('the address there', () => has(standby, SIP_ADDRESS), SLOW_MS);
    await until('and not here', async () => !(await has(active, SIP_ADDRESS)), SLOW_MS);
    await until('keepalived is back', () => isActive(active, 'viewlink-pair-addresses'), SLOW_MS);
    t.match(await until('SIP', () => registers(SIP_ADDRESS), SLOW_MS), /^SIP\/2\.0 401/);
    t.match((await ready(nodes))[0].name, standby.name);
  });

  await t.test('the power of the active one is cut: address and SIP are at the other one', async t => {
    const [active, standby] = await ready(nodes);
    await active.machine.cut();
    await until('the address', () => has(standby, SIP_ADDRESS), SLOW_MS);
    t.match(await until('SIP', () => registers(SIP_ADDRESS), SLOW_MS), /^SIP\/2\.0 401/);
    t.match(await report(standby), { role: 'active', peer: { alive: false } });

    t.match(await vlink(standby, 'cluster', 'forget', active.name), /a new key of the pair comes into force[^]*done;/);
    t.match(await until('SIP with the new key', async () => ((await report(standby))?.state.sipd?.state === 'active' ? await registers(SIP_ADDRESS) : undefined), SLOW_MS), /^SIP\/2\.0 401/);
    await until('Redis lets clusterd in with it', async () => (await report(standby))?.state.redis === 'primary', SLOW_MS);
    t.same(await complaints(standby), []);
  });
}

/** The active one, and the other one as soon as that could take over. */
async function ready(nodes: readonly [Node, Node]): Promise<readonly [active: Node, standby: Node]> {
  let seen: unknown;
  const isReady = async ([active, standby]: readonly [Node, Node]): Promise<boolean> => {
    const [own, other] = [await report(active), await report(standby)];
    seen = [own, other];
    return own?.state.sipd?.state === 'active' && other?.state.whole === true && other.fitness === 100 && own.peer.fitness === 100 && own.peer.gate === 'open' && other.configuration?.inStep === true;
  };
  const orders = [nodes, [nodes[1], nodes[0]]] as const;
  try {
    return await until('a pair that is whole', async () => {
      for (const order of orders) if (await isReady(order)) return order;
      return undefined;
    }, SLOW_MS);
  } catch (error) {
    throw new Error(JSON.stringify(seen), { cause: error });
  }
}

if (process.env['VIEWLINK_WORLD'] === undefined) process.env[BASE] = await base();
if (enterWorld({ beside: true, networkOnly: true })) await run();
