/** Two gateways that stand alone become a pair by one code, through vlink as people type it; one dies, and another machine takes its place. */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { stringify } from 'yaml';
import { formatPairingCode, parsePairingCode } from '#core/cluster/pairing-code.ts';
import type { ClusterdRequests, PairingReport } from '#contracts/clusterd.ts';
import type { MediadRequests } from '#contracts/mediad.ts';
import { Closer } from '#kit/closer.ts';
import { type RpcClient, connectRpc } from '#kit/rpc.ts';
import { DaemonProcess } from '../../scripts/lab/daemon-process.ts';
import { LAB_ID, LAB_PASSWORD } from '../../scripts/lab/gateway.ts';
import { PairNode, enterWorld, wire } from '../../scripts/lab/pair.ts';
import { until } from '../rig/until.ts';

const VLINK = new URL('../../cli/vlink.ts', import.meta.url).pathname;
const CODE = /[0-9A-Z]{5}(?:-[0-9A-Z]{5}){5}/;
const SECRET = 'upstream-secret-7';

interface Said {
  readonly code: number;
  readonly text: string;
}

/** As an engineer types it on that node. */
function vlink({ directory }: PairNode, ...words: readonly string[]): Promise<Said> {
  return new Promise(resolve => {
    execFile(process.execPath, [VLINK, '--config', join(directory, 'gateway.yaml'), ...words], { timeout: 160_000, env: { ...process.env, NODE_OPTIONS: '', VLINK_LANG: 'en' } }, (error, stdout, stderr) => resolve({ code: error === null ? 0 : Number(error.code ?? 1), text: stdout + stderr }));
  });
}

const AUTHOR = { user: 'root', via: 'cli', address: null } as const;
const NODE = { name: null, link: null, lan: null, media: null };

/** The reason of a refusal, without another vlink for each. */
async function refusal(node: PairNode, ask: (client: RpcClient<ClusterdRequests>) => Promise<unknown>): Promise<string> {
  await using client = await node.clusterd();
  return await ask(client).then(() => 'not refused', (error: unknown) => (error as Error).message);
}
const joins = (code: string, over: Partial<Record<keyof typeof NODE, string>> = {}) => (client: RpcClient<ClusterdRequests>): Promise<unknown> => client.call('join', { ...NODE, ...over, address: '10.98.0.1', port: null, code, author: AUTHOR });
const forgets = (node: string) => (client: RpcClient<ClusterdRequests>): Promise<unknown> => client.call('forget', { node, force: false, author: AUTHOR });
const pairs = (over: Partial<Record<keyof typeof NODE | 'address', string>> = {}) => (client: RpcClient<ClusterdRequests>): Promise<unknown> => client.call('pair', { minutes: 5, terms: { ...NODE, address: null, ...over }, author: AUTHOR });

const local = ({ directory }: PairNode): object => ({ state: { directory: join(directory, 'state') }, rpc: { directory: join(directory, 'run') } });

async function begin(node: PairNode, config: object, names: readonly string[], closer: Closer): Promise<void> {
  const { directory, namespace, daemons } = node;
  const path = join(directory, 'gateway.yaml');
  mkdirSync(join(directory, 'state'), { recursive: true });
  writeFileSync(path, stringify(config), { mode: 0o640 });
  for (const name of names) {
    const more = name === 'mediad' ? ['--instance', '1'] : name === 'configd' ? ['--state', join(directory, 'configd')] : [];
    daemons.set(name, closer.use(await DaemonProcess.start({ name: `${name} of ${node.name}`, entry: `daemons/${name}/main.ts`, args: ['--config', path, ...more], readyEvent: `${name}.ready`, logPath: join(directory, `${name}.log`), within: ['ip', 'netns', 'exec', namespace] })));
  }
}

const blank = (node: PairNode): object => ({ node: { name: 'fresh' }, ...local(node) });

async function asksMedia(node: PairNode): Promise<number> {
  await using client = await connectRpc<MediadRequests>(join(node.directory, 'run/peer/mediad-1.sock'));
  return Object.keys(await client.call('counters', {})).length;
}

async function pairing(node: PairNode): Promise<PairingReport> {
  await using client = await node.clusterd();
  return await client.call('pairing', {});
}

async function counters(node: PairNode): Promise<Readonly<Record<string, number>>> {
  await using client = await node.clusterd();
  return await client.call('counters', {});
}

const shown = async (node: PairNode): Promise<string> => (await vlink(node, 'cluster', 'show')).text;

async function run(): Promise<void> {
  t.setTimeout(170_000);
  await t.test('pairing', async t => {
    await using closer = new Closer();
    const directory = mkdtempSync(join(tmpdir(), 'viewlink-pairing-'));
    closer.defer(() => rmSync(directory, { recursive: true, force: true }));
    const world = process.env['VIEWLINK_WORLD']!;
    const [a, b] = [new PairNode(0, world, directory), new PairNode(1, world, directory)] as const;
    wire([a, b], closer);
    const upstreams = [{ name: 'city', id: '33010000002000000001', address: '10.97.0.254', port: 5099, localId: '33010000002000000099', password: SECRET }];
    await begin(a, { node: { name: 'gw-1' }, sip: { id: LAB_ID, listen: [{ transport: 'udp', address: '10.97.0.1', port: 5060 }] }, devices: { admit: [{ networks: ['10.97.0.0/24'], password: LAB_PASSWORD }] }, upstreams, ...local(a) }, ['configd', 'mediad', 'sipd', 'clusterd'], closer);
    await begin(b, blank(b), ['configd', 'mediad', 'clusterd'], closer);
    let code = '';

    await t.test('who stands alone says so, and what is missing for a pair', async t => {
      t.match(await vlink(a, 'cluster', 'show'), { code: 1, text: /gw-1 stands alone: it is in no pair/ });
      t.match(await vlink(a, 'cluster', 'pair'), { code: 64, text: /--link .*, --lan .*, --address/ });
      t.match(await refusal(a, pairs({ link: '10.98.0.7', lan: '10.97.0.1', address: '10.97.0.100/24' })), /10\.98\.0\.7 is no address of this machine/);
      t.match(await refusal(b, forgets('gw-1')), /paired with nobody/);
      t.match(await vlink(b, 'cluster', 'join', '10.98.0.1', formatPairingCode({ secret: '0'.repeat(20), fingerprint: '0'.repeat(9) })), { code: 69, text: /no window is open there/ });
    });

    await t.test('five wrong codes close the window; a code with a typing error is none of them', async t => {
      const opened = await vlink(a, 'cluster', 'pair', '--link', '10.98.0.1', '--lan', '10.97.0.1', '--address', '10.97.0.100/24', '--minutes', '5');
      t.equal(opened.code, 0, opened.text);
      code = CODE.exec(opened.text)![0];
      t.match(opened.text, /vlink cluster join 10\.98\.0\.1 /);
      t.match(await shown(a), /pairing: waits for another node, another [45]/);
      const mistyped = code.slice(0, -1) + (code.endsWith('0') ? '1' : '0');
      t.match(await vlink(b, 'cluster', 'join', '10.98.0.1', mistyped), { code: 64, text: /mistyped/ });
      const parsed = parsePairingCode(code);
      if (!parsed.ok) throw new Error('unreadable');
      const wrong = (i: number): string => formatPairingCode({ ...parsed.value, secret: String(i).repeat(20) });
      t.match(await vlink(b, 'cluster', 'join', '10.98.0.1', wrong(1)), { code: 77, text: /wrong code/ });
      for (const i of [2, 3, 4, 5]) t.match(await refusal(b, joins(wrong(i))), /wrong code/);
      t.match(await vlink(b, 'cluster', 'join', '10.98.0.1', code), { code: 77, text: /five wrong codes closed the window/ });
      t.match(await shown(a), /five WRONG codes closed it, wrong codes: 5/);
    });

    await t.test('with the right one they become a pair', async t => {
      const opened = await vlink(a, 'cluster', 'pair', '--link', '10.98.0.1', '--lan', '10.97.0.1', '--address', '10.97.0.100/24', '--json');
      const old = code;
      code = (JSON.parse(opened.text) as { readonly code: string }).code;
      t.match(await refusal(b, joins(old)), /another node answers there, or another code was made/);
      t.match(await refusal(b, joins(code)), /say --name and --lan/, 'and the code is still good');
      const joined = await vlink(b, 'cluster', 'join', '10.98.0.1', code, '--name', 'gw-2', '--lan', '10.97.0.2');
      t.equal(joined.code, 0, joined.text);
      for (const [node, peer] of [[a, 'gw-2'], [b, 'gw-1']] as const) {
        const report = await until(`${node.name} sees ${peer}`, async () => {
          const found = await node.report();
          return found?.peer.gate === 'open' && found.peer.hearsUs ? found : undefined;
        }, 60_000);
        t.match(report, { peer: { node: peer, alive: true }, addresses: ['10.97.0.100/24'] });
        t.match(await shown(node), new RegExp(`${peer} is (standby|active|isolated)`));
      }
      for (const [node, name] of [[a, 'gw-1'], [b, 'gw-2']] as const) {
        const text = readFileSync(join(node.directory, 'gateway.yaml'), 'utf8');
        t.match(text, new RegExp(`name: ${name}\\n`));
        t.ok(text.includes(join(node.directory, 'run')), 'its own directories');
        t.match(text, /address: 10\.97\.0\.100/, 'SIP is on the address of the pair');
        t.ok(text.includes('city') && !text.includes(SECRET) && !text.includes(LAB_PASSWORD), 'secrets are sealed');
      }
      t.match(await refusal(b, joins(code)), /paired with gw-1: vlink cluster forget gw-1 comes first/);
    });

    await t.test('the daemons of the other node are reached, until it dies: within a second nobody waits for them', async t => {
      t.ok((await asksMedia(a)) > 0);
      t.ok((await asksMedia(b)) > 0);
      const closed = Promise.withResolvers<number>();
      await using client = await connectRpc<MediadRequests>(join(a.directory, 'run/peer/mediad-1.sock'), { onClose: () => closed.resolve(performance.now()) });
      await client.call('counters', {});
      const killedAt = performance.now();
      // As a power cut does: no process is left to say good-bye, and nothing answers for it.
      b.link(false);
      b.cable(false);
      for (const daemon of b.daemons.values()) daemon.halt();
      const tookMs = (await closed.promise) - killedAt;
      t.ok(tookMs < 1500, `${Math.round(tookMs)} ms`);
      await t.rejects(asksMedia(a), { code: 'DAEMON_UNREACHABLE' });
    });

    await t.test('another machine in its place: forget, pair, join, show', async t => {
      t.match(await refusal(a, pairs()), /forget gw-2 comes first/);
      t.match(await refusal(a, forgets('gw-3')), /paired with gw-2, not with gw-3/);
      const { keyId } = await pairing(a);
      const forgotten = await vlink(a, 'cluster', 'forget', 'gw-2');
      t.match(forgotten, { code: 0, text: /a new key of the pair comes into force[^]*done;/ }, forgotten.text);
      t.not((await pairing(a)).keyId, keyId);
      t.match(await shown(a), /gw-2 is not heard/);
      const before = readFileSync(join(a.directory, 'gateway.yaml'), 'utf8');

      // Whoever has it now switches it on, at the same cables.
      b.link(true);
      b.cable(true);
      for (const name of ['configd', 'clusterd']) await b.daemon(name).again();
      const refused = async (): Promise<number> => (await counters(a))['cluster.heartbeats.refused'] ?? 0;
      await until('it is heard, and not believed', async () => (await refused()) > 20, 30_000);
      t.match((await a.report())?.peer, { alive: false, gate: 'unpaired' });
      t.equal((await pairing(b)).keyId, keyId, 'nothing of the new one came to it');
      t.match((await b.report())?.peer, { alive: false });
      await t.rejects(asksMedia(b), { code: 'DAEMON_UNREACHABLE' });
      for (const daemon of b.daemons.values()) daemon.halt();
      rmSync(b.directory, { recursive: true });
      await begin(b, blank(b), ['configd', 'mediad', 'clusterd'], closer);
      const opened = await vlink(a, 'cluster', 'pair');
      t.equal(opened.code, 0, opened.text);
      const [again] = CODE.exec(opened.text)!;
      t.match(await refusal(b, joins(again, { name: 'gw-9' })), /cluster\.nodes says gw-2 where the new node says gw-9/);
      const joined = await vlink(b, 'cluster', 'join', '10.98.0.1', again);
      t.equal(joined.code, 0, joined.text);
      await until('they reach each other', async () => (await a.report())?.peer.gate === 'open' && (await b.report())?.peer.gate === 'open', 60_000);
      t.ok((await asksMedia(a)) > 0);
      t.match(await refusal(a, forgets('gw-2')), /gw-2 is alive/);
      t.equal(readFileSync(join(a.directory, 'gateway.yaml'), 'utf8'), before, 'nothing of the configuration here had to change for that');
    });

    await t.test('the codes stand in no log, nor do keys', async t => {
      const logs = [a, b].flatMap(({ directory: place }) => ['configd', 'clusterd', 'mediad'].map(name => readFileSync(join(place, `${name}.log`), 'utf8'))).join('');
      const audit = (await vlink(a, 'audit', 'show', '--json')).text;
      t.match(audit, /cluster\.pair/);
      for (const secret of [code, code.replaceAll('-', ''), SECRET, 'PRIVATE KEY']) t.notOk(logs.includes(secret) || audit.includes(secret));
    });
  });
}

if (enterWorld()) await run();
