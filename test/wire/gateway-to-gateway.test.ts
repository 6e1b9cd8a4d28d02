/** Two gateways of ours find each other by what they say of themselves, and repair what the network between them loses; nobody else notices. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { gatewayLeg } from '../../scripts/benches/loss/gateway-leg.ts';
import { ROWS } from '../../scripts/benches/loss/rows.ts';
import { loadFootage } from '../../scripts/media/footage.ts';
import { cleanPictures } from '../../scripts/media/picture-meter.ts';
import { assertReleased, openRelayRig } from '../rig/relay-rig.ts';

t.setTimeout(180_000);

await t.test('5 % lost both ways, 40 ms round trip: every picture is shown', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'viewlink-pair-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const clean = await cleanPictures((await loadFootage('h264')).videoPath);
  const rows = ROWS.filter(({ name }) => name === '5 %');
  const [outcome] = await gatewayLeg({ rows, pictures: 150, directory, clean });
  t.equal(outcome!.damaged, 0);
  t.ok(outcome!.reordered > 10, `${outcome!.reordered} packets came again`);
  t.ok(outcome!.lost <= 1, `${outcome!.lost} lost after repair`);
});

await t.test('a camera is not offered it, and a platform that did not offer it is not answered it', async t => {
  await using rig = await openRelayRig({ cameras: [{ channels: 1 }] });
  const play = await rig.platforms[0]!.play(rig.idOf(0, 0), { transport: 'udp' });
  await play.waitFrames(5);
  t.equal(play.answer!.media.nack, false);
  const [session] = await rig.rpc.call('listSessions', {});
  t.match(session!.bridge!.source, { asked: 0, repaired: 0 });
  await play.stop();
  await assertReleased(rig);
});
