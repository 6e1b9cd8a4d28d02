import { readdirSync } from 'node:fs';
import t from 'tap';
import { LEGS } from '../../scripts/demonstration/plays.ts';
import type { Mischief } from '../../scripts/simulators/platform/mischief.ts';
import { assertReleased, openRelayRig } from '../rig/relay-rig.ts';
import { until } from '../rig/until.ts';

t.setTimeout(180_000);

const SESSIONS = 2000;
const AT_ONCE = 12;
/** Every so many sessions one that ends in a way of its own. */
const ENDINGS: readonly (Mischief | undefined)[] = [undefined, undefined, 'cancel-crossing', undefined, 'cancel-after-100', undefined, 'no-bye-answer', undefined, 'bye-glare', undefined];

const descriptors = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;

await t.test(`${SESSIONS} sessions over all legs, some of them cut short, leave nothing behind`, async t => {
  const id = (index: number): string => `3402000000118000030${index}`;
  await using rig = await openRelayRig({
    cameras: LEGS.map((_, camera) => ({
      id: id(camera),
      channelList: Array.from({ length: AT_ONCE }, (_, channel) => ({ id: `34020000001320003${camera}${String(channel).padStart(2, '0')}`, name: `c${channel}`, online: true })),
    })),
    devices: { media: { lingerS: 0 }, known: LEGS.map((transport, index) => ({ id: id(index), password: 'lab-device-secret', transport })) },
    media: { ports: { mode: 'range', first: 12_000, last: 17_999 } },
  });
  const platform = rig.platforms[0]!;
  const mediad = await rig.gateway.mediadRpc();
  const pids = [rig.gateway.sipd.pid, rig.gateway.mediads[0]!.pid];
  const play = async (number: number): Promise<'played' | 'cut'> => {
    const mischief = ENDINGS[number % ENDINGS.length];
    const options = { transport: LEGS[Math.floor(number / 3) % 3]!, mischief: mischief === undefined ? [] : [mischief] };
    try {
      const running = await platform.play(rig.idOf(number % 3, Math.floor(number / 9) % AT_ONCE), options);
      await running.waitPackets(1);
      await running.stop();
      return 'played';
    } catch (error) {
      if (mischief === undefined) throw error;
      return 'cut';
    }
  };
  const worker = async (first: number, count: number): Promise<('played' | 'cut')[]> => {
    const results: ('played' | 'cut')[] = [];
    for (let number = first; number < first + count; number += 1) results.push(await play(number));
    return results;
  };
  await worker(0, 30);
  await assertReleased(rig);
  await until('ports rested', async () => (await mediad.call('load', {})).portsFree === 3000, 15_000);
  const before = { descriptors: pids.map(descriptors), portsFree: (await mediad.call('load', {})).portsFree };

  const results = (await Promise.all(Array.from({ length: AT_ONCE }, (_, index) => worker(index * 1000, Math.ceil(SESSIONS / AT_ONCE))))).flat();
  t.ok(results.filter(result => result === 'played').length > SESSIONS * 0.7, `${results.filter(result => result === 'played').length} of ${results.length} played`);
  await assertReleased(rig, 10_000);
  await until('every port is back', async () => (await mediad.call('load', {})).portsFree === before.portsFree, 15_000);
  for (const [index, pid] of pids.entries()) await until(`descriptors of ${pid} are back`, () => descriptors(pid) <= before.descriptors[index]! + 2, 15_000);
  const counters = await rig.rpc.call('counters', {});
  t.equal(counters['relay.sources'] !== undefined && counters['relay.sources'] > 100, true, `${counters['relay.sources']} sources were opened`);
  t.pass('dialogs, bridges, ports and descriptors are back where they were');
  await mediad[Symbol.asyncDispose]();
});
