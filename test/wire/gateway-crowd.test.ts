/** Fault 98 under many streams. With 128 of them, and how long each is away: scripts/bench crash. */
import t from 'tap';
import { smallPictures } from '../../scripts/benches/failover/small-pictures.ts';
import { Crowd } from '../../scripts/lab/crowd.ts';

const STREAMS = 32;
const INSTANCES = 2;

t.setTimeout(150_000);

await t.test(`fault 98: every daemon is killed in turn under ${STREAMS} streams: none of them loses a packet, but those over a media process that dies, which end`, async t => {
  await using crowd = await Crowd.open({ streams: STREAMS, instances: INSTANCES, pictures: smallPictures() });
  t.same([...crowd.daemons.keys()], ['mediad-1', 'mediad-2', 'sipd', 'configd', 'healthd', 'apid']);
  for (const name of ['sipd', 'configd', 'healthd', 'apid', 'mediad-2', 'sipd']) {
    const { ended, stayed, lostPackets, damagedPictures } = await crowd.strike(name);
    t.same([lostPackets, damagedPictures], [0, 0], `${name}: the others lose nothing`);
    t.equal(ended + stayed, STREAMS, `${name}: nobody else ends`);
    // Shared out by load, so about half of them each.
    if (name === 'mediad-2') t.ok(ended > 0 && stayed >= STREAMS / INSTANCES / 2, `${name}: ${ended} streams`);
    else t.equal(ended, 0);
  }
  await using rpc = await crowd.lab.rpc();
  t.equal((await rpc.call('listSessions', {})).length, STREAMS);
  t.same([...crowd.daemons.values()].map(({ restarts }) => restarts), [0, 1, 2, 1, 1, 1]);
});
