/** VLOST and DEFECT from our own eyes: subscribers hear of pictures that are lost although their device says ON. */
import t from 'tap';
import { openRelayRig } from '../rig/relay-rig.ts';
import { until } from '../rig/until.ts';

await using rig = await openRelayRig({
  cameras: [{ id: '34020000001180000001', channels: 1, quirks: ['never-sends'] }, { id: '34020000001180000002', channels: 1, quirks: ['stops-sending'] }],
  devices: { media: { firstPacketS: 1, silenceS: 2, faultS: 4, lingerS: 0 } },
  upstream: { catalog: { notifyAfterMs: 20 } },
});
const platform = rig.platforms[0]!;
const subscription = platform.subscribe('Catalog', { expiresS: 600 });
await subscription.when('granted', ({ granted }) => granted !== undefined);
await until('the first NOTIFY', () => subscription.notifications.length > 0 || subscription.empty > 0);

await t.test('a camera that answers and sends nothing is VLOST, for a while', async t => {
  await platform.play(rig.idOf(0, 0), { transport: 'udp' }).catch(() => undefined);
  await subscription.when('VLOST', ({ events }) => events.includes(`VLOST ${rig.idOf(0, 0)}`));
  t.match((await rig.rpc.call('counters', {})), { 'picture.vlost': 1 });
  await subscription.when('nobody asked again', ({ events }) => events.includes(`ON ${rig.idOf(0, 0)}`), 20_000);
});

await t.test('one that falls silent too, and it is ON as soon as it flows again', async t => {
  const id = rig.idOf(1, 0);
  const play = await platform.play(id, { transport: 'udp' });
  t.match(await play.waitEnded(20_000), /BYE/);
  await subscription.when('VLOST', ({ events }) => events.includes(`VLOST ${id}`));
  const again = await platform.play(id, { transport: 'udp' });
  await again.waitFrames(5);
  await subscription.when('ON', ({ events }) => events.at(-1) === `ON ${id}`);
  await again.stop();
});
