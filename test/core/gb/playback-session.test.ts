/** A recording through us, in virtual time. */
import t from 'tap';
import type { MansrtspRequest } from '#core/gb/mansrtsp.ts';
import { PlaybackSession } from '#core/gb/playback-session.ts';
import { NEVER, ms } from '#core/units.ts';

const OPTIONS = { durationS: 600, speed: 1, silenceMs: 15_000, maxPauseMs: 300_000 };
const play = (parts: Partial<MansrtspRequest> = {}): MansrtspRequest => ({ kind: 'request', method: 'PLAY', cseq: 1, range: undefined, scale: undefined, ...parts });
const pause = play({ method: 'PAUSE' });

t.test('where it stands: time, speed, seeks and pauses', async t => {
  const session = new PlaybackSession(OPTIONS, ms(0));
  t.equal(session.position(ms(10_000)).positionS, 10);
  session.steered(play({ scale: 4 }), ms(10_000));
  t.same(session.position(ms(20_000)), { state: 'playing', positionS: 50, scale: 4 });
  session.steered(play({ range: { from: 300, to: undefined } }), ms(20_000));
  t.equal(session.position(ms(21_000)).positionS, 304, 'its speed is kept');
  session.steered(pause, ms(21_000));
  t.same(session.position(ms(99_000)), { state: 'paused', positionS: 304, scale: 4 });
  session.steered(play({ scale: -1, range: { from: 'now', to: undefined } }), ms(99_000));
  t.equal(session.position(ms(103_000)).positionS, 300);
});

t.test('silence is no failure while it is paused, and not at once afterwards', async t => {
  const session = new PlaybackSession(OPTIONS, ms(0));
  session.steered(pause, ms(5000));
  t.same(session.silent(15_000, ms(20_000)), []);
  session.steered(play({ range: { from: 'now', to: undefined } }), ms(60_000));
  t.same(session.silent(70_000, ms(61_000)), [], 'it has its time once more');
  t.equal(session.deadline, 75_000);
  session.flowing();
  t.equal(session.deadline, NEVER, 'and took it');
  t.same(session.silent(15_000, ms(100_000)), [{ type: 'fail', silentMs: 15_000 }]);
  session.steered(play(), ms(200_000));
  t.same(session.silent(15_000, ms(201_000)), []);
  t.same(session.tick(ms(215_000)), [{ type: 'fail', silentMs: 15_000 }], 'nothing came of it');
});

t.test('a pause has an end', async t => {
  const session = new PlaybackSession(OPTIONS, ms(0));
  session.steered(pause, ms(1000));
  t.equal(session.deadline, 301_000);
  t.match(session.tick(ms(301_000)), [{ type: 'hang-up' }]);
});

t.test('the end is told once, and hung up on when nobody does', async t => {
  const session = new PlaybackSession(OPTIONS, ms(0));
  t.same(session.ended(ms(600_000)), [{ type: 'tell-end' }]);
  t.same(session.ended(ms(600_001)), []);
  t.same(session.silent(15_000, ms(605_000)), []);
  t.match(session.tick(ms(610_000)), [{ type: 'hang-up' }]);
});

t.test('silence near the end is the end, whatever the speed', async t => {
  const real = new PlaybackSession(OPTIONS, ms(0));
  t.same(real.silent(15_000, ms(612_000)), [{ type: 'tell-end' }]);
  const early = new PlaybackSession(OPTIONS, ms(0));
  t.match(early.silent(15_000, ms(300_000)), [{ type: 'fail' }]);
  const download = new PlaybackSession({ ...OPTIONS, speed: 8 }, ms(0));
  t.same(download.silent(15_000, ms(75_000 + 15_000)), [{ type: 'tell-end' }]);
  const backwards = new PlaybackSession(OPTIONS, ms(0));
  backwards.steered(play({ scale: -2, range: { from: 100, to: undefined } }), ms(1000));
  t.same(backwards.silent(15_000, ms(66_000)), [{ type: 'tell-end' }]);
  const unknown = new PlaybackSession({ ...OPTIONS, durationS: 0 }, ms(0));
  t.match(unknown.silent(15_000, ms(66_000)), [{ type: 'fail' }]);
});

t.test('what is lost in the middle is not its end', async t => {
  t.same(new PlaybackSession(OPTIONS, ms(0)).lost(ms(300_000)), []);
  t.same(new PlaybackSession(OPTIONS, ms(0)).lost(ms(598_000)), [{ type: 'tell-end' }]);
  const paused = new PlaybackSession(OPTIONS, ms(0));
  paused.steered(pause, ms(599_000));
  t.same(paused.lost(ms(599_500)), [], 'nor while it is paused');
});

t.test('taken up after a restart', async t => {
  const paused = new PlaybackSession(OPTIONS, ms(0), { state: 'paused', positionS: 12, scale: 2 });
  t.same(paused.silent(15_000, ms(100)), []);
  t.same(paused.position(ms(5000)), { state: 'paused', positionS: 12, scale: 2 });
  const over = new PlaybackSession(OPTIONS, ms(0), { state: 'over', positionS: 600, scale: 1 });
  t.match(over.tick(ms(10_000)), [{ type: 'hang-up' }]);
});

t.test('TEARDOWN is no news to who said it', async t => {
  const session = new PlaybackSession(OPTIONS, ms(0));
  session.steered(play({ method: 'TEARDOWN' }), ms(1000));
  t.same(session.ended(ms(1100)), [], 'the recorder hangs up');
  t.match(session.tick(ms(11_000)), [{ type: 'hang-up' }]);
});
