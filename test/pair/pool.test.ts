/** Two nodes that both carry media: where sessions go, and what becomes of them when a node dies, comes back, or gives the role over. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { MediadRequests } from '#contracts/mediad.ts';
import { connectRpc } from '#kit/rpc.ts';
import { type PairScene, gapSince, openPairScene } from '../../scripts/lab/pair-scene.ts';
import { BOTH_CARRY_MEDIA, MEDIA_ADDRESSES, type PairLab, type PairNode, SIP_ADDRESS, enterWorld } from '../../scripts/lab/pair.ts';
import type { Play } from '../../scripts/simulators/platform/play.ts';
import { until } from '../rig/until.ts';

const SESSIONS = 8;
const NEW_SESSIONS = 4;
const TCP_SESSIONS = 2;
const RTSP_PORT = 8554;
const REST_MS = 1500;
/** Longest time without a picture of a session that is moved, on a machine that does much else; scripts/bench failover says what it really takes. */
const GAP_MS = 5000;

const addressOf = (node: PairNode): string => MEDIA_ADDRESSES[node.index]!;
const sentFrom = (plays: readonly Play[], node: PairNode): Play[] => plays.filter(({ report }) => report.mediaFrom?.startsWith(`${addressOf(node)}:`) === true);
const missed = (plays: readonly Play[]): number => plays.reduce((sum, { report }) => sum + report.lost + report.damaged, 0);

/** Every session goes on as it was, without a question to anybody; `still` lose nothing at all. */
async function goesOn(test: Test, { camera }: PairScene, plays: readonly Play[], still: readonly Play[], what: () => Promise<void>): Promise<void> {
  const before = plays.map(({ markers, report }) => ({ atMs: markers.at(-1)!.atMs, packets: report.packets, from: report.mediaFrom }));
  const missedBefore = missed(still);
  const { invites } = camera.device.counters;
  await what();
  await Promise.all(plays.map((play, i) => play.waitPackets(Math.max(before[i]!.packets, play.report.packets) + 300)));
  const gaps = plays.map((play, i) => gapSince(play, before[i]!.atMs));
  const moved = plays.filter(play => !still.includes(play));
  test.comment(`longest without a picture: ${Math.round(Math.max(...gaps))} ms; of those that stay: ${Math.round(Math.max(0, ...still.map(play => gaps[plays.indexOf(play)]!)))} ms; ${moved.length} moved`);
  test.ok(Math.max(...gaps) <= GAP_MS, 'media goes on');
  test.equal(missed(still) - missedBefore, 0, 'those that stay lose nothing');
  for (const [i, play] of plays.entries()) test.match(play.report, { ended: undefined, ssrcMismatch: 0, restarts: 0, payloadTypeMismatch: 0, mediaFrom: before[i]!.from });
  test.equal(camera.device.counters.invites, invites, 'no camera was asked again');
}

async function isHome(lab: PairLab): Promise<boolean> {
  const reports = await Promise.all(lab.nodes.map(node => node.report()));
  return reports.every(report => report?.media.every(({ node, on }) => on === node) === true) && lab.nodes.every(node => node.addresses.includes(addressOf(node)));
}

/** For longer than sipd asks them: one that has just started has much to do, and is given nothing. */
async function areAtRest(lab: PairLab): Promise<boolean> {
  for (const since = performance.now(); performance.now() - since < REST_MS; await new Promise(resolve => setTimeout(resolve, 100))) {
    for (const { directory } of lab.nodes) {
      await using mediad = await connectRpc<MediadRequests>(join(directory, 'run', 'mediad-1.sock'));
      if ((await mediad.call('load', {})).cpu >= 0.05) return false;
    }
  }
  return true;
}

async function nodesOf(lab: PairLab): Promise<(string | null)[]> {
  await using rpc = await (await lab.active()).sipd();
  return (await rpc.call('listSessions', {})).map(({ node }) => node);
}

/** Rejects where nobody listens. */
async function connects(port: number): Promise<void> {
  const socket = connect({ host: SIP_ADDRESS, port });
  await once(socket, 'connect');
  socket.destroy();
}

async function run(): Promise<void> {
  t.setTimeout(240_000);
  await t.test('a pair that carries media on both nodes', async t => {
    await using scene = await openPairScene(SESSIONS + NEW_SESSIONS + TCP_SESSIONS, { cluster: BOTH_CARRY_MEDIA, config: { outlets: { address: SIP_ADDRESS, rtspPort: RTSP_PORT } } });
    const { lab, platform, ids } = scene;
    const standby = await lab.ready(60_000);
    const first = lab.other(standby);
    await until('each has its media address', () => isHome(lab), 20_000);
    await until('both media processes rest from their start', () => areAtRest(lab), 30_000);
    let plays = await Promise.all(ids.slice(0, SESSIONS).map(id => platform.play(id, { transport: 'udp' })));
    await Promise.all(plays.map(play => play.waitFrames(10)));

    await t.test('sessions are spread over both nodes, each with the address of its own', async t => {
      // How many is a matter of load, and of how long ago a process has started.
      for (const node of lab.nodes) t.ok(sentFrom(plays, node).length > 0, `${node.name} carries ${sentFrom(plays, node).length}`);
      for (const play of plays) t.equal(play.answer?.connectionAddress, play.report.mediaFrom!.split(':')[0]);
      const nodes = await nodesOf(lab);
      for (const node of lab.nodes) t.equal(nodes.filter(each => each === node.name).length, sentFrom(plays, node).length, 'as vlink show sessions says');
    });

    await t.test('the standby loses its power: its sessions go on here, the others lose nothing', async t => {
      await goesOn(t, scene, plays, sentFrom(plays, first), async () => {
        lab.kill(standby);
        await until('its media address is here', () => first.addresses.includes(addressOf(standby)), 10_000);
      });
      t.equal(await lab.active(), first);
      t.same([...new Set(await nodesOf(lab))], [first.name]);
    });

    await t.test('it comes back: its address and its sessions go home, and it gets new ones', async t => {
      await goesOn(t, scene, plays, sentFrom(plays, first), async () => {
        await lab.revive(standby);
        t.equal(await lab.ready(60_000), standby);
        await until('each has its media address', () => isHome(lab), 20_000);
        await until('its sessions are on it', async () => (await nodesOf(lab)).filter(node => node === standby.name).length === sentFrom(plays, standby).length, 10_000);
      });
      const ended = sentFrom(plays, standby);
      await Promise.all(ended.map(play => play.stop()));
      plays = plays.filter(play => !ended.includes(play));
      await until('both have come to rest', () => areAtRest(lab), 60_000);
      for (const id of ids.slice(SESSIONS, -TCP_SESSIONS)) plays.push(await platform.play(id, { transport: 'udp' }));
      await Promise.all(plays.slice(-NEW_SESSIONS).map(play => play.waitFrames(5)));
      t.ok(sentFrom(plays, standby).length > 0, 'it has nothing to do, and gets what is new');
    });

    await t.test('a planned switch moves SIP alone: no session loses a packet, and outlets are where SIP is', async t => {
      await connects(RTSP_PORT);
      await goesOn(t, scene, plays, plays, async () => {
        await using clusterd = await first.clusterd();
        await clusterd.call('switchOver', {});
        await until('the other one is active', async () => (await standby.report())?.state.sipd?.state === 'active', 10_000);
      });
      t.equal(await isHome(lab), true);
      await connects(RTSP_PORT);
      await lab.ready(60_000);
    });

    await t.test('fault 98: sipd of the active node is killed, then clusterd: no session loses a packet, whoever serves then', async t => {
      for (const daemon of ['sipd', 'clusterd']) {
        const active = await lab.active();
        await goesOn(t, scene, plays, plays, async () => {
          await active.daemon(daemon).crash();
          await lab.active(30_000);
        });
        await lab.ready(60_000);
      }
      t.equal(await isHome(lab), true);
    });

    await t.test('the active node loses its power: the other one goes on with its sessions, and its own lose nothing', async t => {
      const active = await lab.active();
      const other = lab.other(active);
      const tcp = [await platform.play(ids.at(-1)!, { transport: 'tcp-active' }), await platform.play(ids.at(-2)!, { transport: 'tcp-passive' })];
      await Promise.all(tcp.map(play => play.waitFrames(5)));
      await goesOn(t, scene, plays, sentFrom(plays, other), async () => {
        lab.kill(active);
        t.equal(await lab.active(), other);
        await until('its media address is here', () => other.addresses.includes(addressOf(active)), 10_000);
      });
      const packets = tcp.map(({ report }) => report.packets);
      await Promise.all(tcp.map((play, i) => play.waitPackets(packets[i]! + 300)));
      for (const { report } of tcp) t.match(report, { ended: undefined, ssrcMismatch: 0 }, 'those over TCP go on, wherever they were');
      plays.push(...tcp);
      await Promise.all(plays.map(play => play.stop()));
      for (const { report } of plays) t.equal(report.byeAnswered, true);
      await until('every camera was told', () => [...scene.camera.device.sessions].length === 0);
    });
  });
}

if (enterWorld()) await run();
