/** A recording that goes on on another node. */
import t from 'tap';
import { mayResume, restOf, shiftedRange, wentOn } from '#core/gb/playback-resume.ts';
import { PlaybackSession } from '#core/gb/playback-session.ts';
import { ms, wallMs } from '#core/units.ts';

const ASKED = { kind: 'Playback', startS: 1000, stopS: 4600, type: '0', downloadSpeed: undefined } as const;
const at = (positionS: number, scale = 1, state: 'playing' | 'paused' | 'over' = 'playing') => ({ state, positionS, scale });

t.test('where it is by now', async t => {
  t.same(wentOn({ ...at(10), atWallMs: 5000 }, ASKED, wallMs(25_000)), at(30));
  t.same(wentOn({ ...at(10, 4), atWallMs: 5000 }, ASKED, wallMs(25_000)), at(90, 4));
  t.same(wentOn({ ...at(10, -1), atWallMs: 5000 }, ASKED, wallMs(25_000)), at(0, -1), 'not before its begin');
  t.same(wentOn({ ...at(10), atWallMs: 5000 }, { downloadSpeed: 8 }, wallMs(15_000)), at(90));
  t.same(wentOn({ ...at(10, 2, 'paused'), atWallMs: 5000 }, ASKED, wallMs(25_000)), at(10, 2, 'paused'));
  t.same(wentOn({ ...at(10), atWallMs: 5000 }, ASKED, wallMs(0)), at(10), 'the clock of the other node is ahead');
  t.same(wentOn(at(10), ASKED, wallMs(25_000)), at(10), 'a row of an older release');
});

t.test('what the recorder is asked for: the rest, and a little of what was sent', async t => {
  t.same(restOf(ASKED, at(100.9)), { ...ASKED, startS: 1098 });
  t.same(restOf(ASKED, at(1)), ASKED, 'not what lies before the begin');
  t.same(restOf(ASKED, at(100, 4)), { ...ASKED, startS: 1092 }, 'more of it where it goes faster');
  t.same(restOf(ASKED, at(100, 1, 'paused')), { ...ASKED, startS: 1098 });
  t.equal(restOf(ASKED, at(3598)), null, 'that was the end');
  t.equal(restOf(ASKED, at(100, -1)), null);
  t.equal(restOf(ASKED, at(100, 1, 'over')), null);
  t.equal(restOf({ ...ASKED, kind: 'Download' }, at(100)), null);
  t.equal(restOf({ ...ASKED, startS: 0, stopS: 0 }, at(0)), null, 'nobody knows its end');
  t.same([mayResume(ASKED, undefined), mayResume(ASKED, at(0, -1)), mayResume({ kind: 'Download' }, at(0))], [true, false, false]);
});

t.test('times of the platform, said to the recorder, and back', async t => {
  t.same(shiftedRange({ from: 300, to: undefined }, 98), { from: 202, to: undefined });
  t.same(shiftedRange({ from: 'now', to: 400 }, 98), { from: 'now', to: 302 });
  t.same(shiftedRange({ from: 202, to: 302 }, -98), { from: 300, to: 400 });
  t.equal(shiftedRange({ from: 97, to: undefined }, 98), undefined, 'it was not asked for that');
  t.equal(shiftedRange({ from: 'now', to: 97 }, 98), undefined);
});

t.test('its session goes on from where the recorder begins', async t => {
  const session = new PlaybackSession({ durationS: 3600, speed: 1, silenceMs: 15_000, maxPauseMs: 300_000 }, ms(0), at(100));
  session.resumed(98, ms(3000));
  t.equal(session.position(ms(4000)).positionS, 99);
  t.same(session.silent(15_000, ms(4000)), [], 'it has its time once more');
  const paused = new PlaybackSession({ durationS: 3600, speed: 1, silenceMs: 15_000, maxPauseMs: 300_000 }, ms(0), at(100, 1, 'paused'));
  paused.resumed(98, ms(3000));
  t.equal(paused.position(ms(4000)).positionS, 100, 'it stands where it stood');
});
