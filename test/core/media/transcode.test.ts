import t from 'tap';
import { renditionFor, transcodeSchema } from '#core/config/transcode-schema.ts';
import { fLineOfRendition, type Rendition, renditionKey, renditionOfFLine, sizeOf } from '#core/media/rendition.ts';
import { isWholeJpeg, snapshotArgv } from '#core/media/snapshot-plan.ts';
import { TranscodeCapacity } from '#core/media/transcode-capacity.ts';
import { HEALTH_LIMITS, TranscodeHealth } from '#core/media/transcode-health.ts';
import { planTranscode, type TranscodePlan, type TranscodeWishes } from '#core/media/transcode-plan.ts';
import type { MediaTracks } from '#core/media/unit.ts';
import { formatFLine, parseFLine } from '#core/sdp/f-line.ts';
import { ms } from '#core/units.ts';

const NO_BYTES = new Uint8Array(0);
const tracks = (video: 'h264' | 'h265' | 'mpeg4' | 'svac' | null, audio: 'g711a' | 'g711u' | 'aac' | 'g729' | null = null, width = 1920, height = 1080): MediaTracks => ({
  video: video === null ? null : { codec: video, parameterSets: [], width, height },
  audio: audio === null ? null : { codec: audio, sampleRateHz: 8000, channels: 1, config: NO_BYTES },
});
const rendition = (wishes: Partial<Rendition> = {}): Rendition => ({ video: 'h264', size: null, bitrateKbps: null, fps: null, audio: 'copy', ...wishes });
const ALL = new Set(['libx264', 'libx265', 'h264_vaapi', 'h264_nvenc', 'hevc_qsv']);

function plan(wishes: Partial<TranscodeWishes>): TranscodePlan {
  const planned = planTranscode({ rendition: rendition(), tracks: tracks('h264'), hardware: 'none', encoders: ALL, after90k: -1, threads: 2, ...wishes });
  if (!planned.ok) throw new Error(planned.error.why);
  return planned.value;
}
const behind = ({ argv }: TranscodePlan, name: string): string | undefined => argv[argv.indexOf(name) + 1];

t.test('sizes by their names of GB/T 28181, or in pixels', async t => {
  t.same(sizeOf('CIF'), { width: 352, height: 288 });
  t.same(sizeOf('2cif'), { width: 704, height: 288 });
  t.same(sizeOf('1080p'), { width: 1920, height: 1080 });
  t.same(sizeOf('641x361'), { width: 640, height: 360 });
  for (const none of ['', 'source', '8x8', '9999x9999', '640', '640x', 'toString', '0x0']) t.equal(sizeOf(none), undefined, none);
});

t.test('f= lines: what they ask for, and what is answered', async t => {
  const cases: readonly (readonly [string, Partial<Rendition> | undefined])[] = [
    ['v/2/2/15/1/512a/1/8/1', { video: 'h264', size: { width: 352, height: 288 }, fps: 15, bitrateKbps: 512, audio: 'g711a' }],
    ['v/5/6/25/1/4096a///', { video: 'h265', size: { width: 1920, height: 1080 }, fps: 25, bitrateKbps: 4096, audio: 'copy' }],
    ['v/2/640x360/60/2/99999a/6/6/3', { video: 'h264', size: { width: 640, height: 360 }, fps: 25, bitrateKbps: 6144, audio: 'aac' }],
    ['v/2///1/20a///', { video: 'h264', size: null, fps: null, bitrateKbps: 128, audio: 'copy' }],
    ['v/////a/6/6/3', { video: 'copy', audio: 'aac' }],
    ['v/3/6/25/1/4096a/5//', undefined],
    ['v/////a///', undefined],
  ];
  for (const [text, wanted] of cases) {
    const asked = renditionOfFLine(parseFLine(text)!);
    if (wanted === undefined) t.equal(asked, undefined, text);
    else t.match(asked, wanted, text);
  }
  t.equal(formatFLine(fLineOfRendition(renditionOfFLine(parseFLine('v/2/2/15/1/512a/1/8/1')!)!, undefined)), 'v/2/2/15/1/512a/1/8/1');
  t.equal(formatFLine(fLineOfRendition(rendition({ size: { width: 640, height: 360 }, audio: 'none' }), parseFLine('v/5/6/25/1/4096a/6/6/3'))), 'v/2/640x360/25/1/a///');
  t.equal(formatFLine(fLineOfRendition(rendition({ video: 'copy', audio: 'aac' }), parseFLine('v/5/6/25/1/4096a/1/8/1'))), 'v/5/6/25/1/4096a/6/6/3');
});

t.test('which rendition an upstream gets', async t => {
  const config = transcodeSchema.parse({ renditions: [{ name: 'small', size: 'CIF', bitrateKbps: 256 }] });
  const f = parseFLine('v/5///1/a///');
  t.equal(renditionFor({ transcode: '', transcodeByF: false }, f, config), undefined);
  t.match(renditionFor({ transcode: 'small', transcodeByF: false }, f, config), { video: 'h264', bitrateKbps: 256 });
  t.match(renditionFor({ transcode: 'small', transcodeByF: true }, f, config), { video: 'h265' });
  t.match(renditionFor({ transcode: 'small', transcodeByF: true }, undefined, config), { video: 'h264' });
});

t.test('what passes, what is turned, what is left out', async t => {
  const of = (wishes: Partial<Rendition>, from: MediaTracks): string => {
    const { video, audio, inputs } = plan({ rendition: rendition(wishes), tracks: from });
    return `${video} ${audio} ${inputs.map(({ codec }) => codec).join('+')}`;
  };
  t.equal(of({}, tracks('h265', 'aac')), 'encode pass h265');
  t.equal(of({ audio: 'g711a' }, tracks('h265', 'aac')), 'encode encode h265+aac');
  t.equal(of({ video: 'copy', audio: 'aac' }, tracks('h264', 'g711u')), 'pass encode g711u');
  t.equal(of({ video: 'copy', audio: 'aac' }, tracks('h264', 'aac')), 'pass pass ');
  t.equal(of({ audio: 'none' }, tracks('h264', 'aac')), 'encode none h264');
  t.equal(of({ audio: 'g711a' }, tracks('h264', 'g729')), 'encode none h264', 'sound that cannot be carried');
  t.equal(of({ audio: 'g711a' }, tracks(null, 'aac')), 'none encode aac');
  t.equal(of({ video: 'copy' }, tracks('svac')), 'pass none ');
  t.equal(plan({ rendition: rendition({ video: 'copy' }) }).argv.length, 0, 'no process');
});

t.test('refused: codecs that cannot be decoded, pictures that are too large (fault 71), no encoder', async t => {
  const why = (wishes: Partial<TranscodeWishes>): string => {
    const planned = planTranscode({ rendition: rendition(), tracks: tracks('h264'), hardware: 'none', encoders: ALL, after90k: -1, threads: 2, ...wishes });
    return planned.ok ? 'planned' : planned.error.why;
  };
  t.match(why({ tracks: tracks('svac') }), /svac cannot be decoded/);
  t.match(why({ tracks: tracks('h264', null, 16384, 16384) }), /16384x16384 are not decoded/);
  t.match(why({ encoders: new Set() }), /no encoder for h264/);
  t.equal(why({ tracks: tracks('h264', null, 7680, 4320) }), 'planned');
});

t.test('the command is made of our words and numbers', async t => {
  const full = plan({ rendition: rendition({ size: { width: 352, height: 288 }, bitrateKbps: 256, fps: 10, audio: 'g711a' }), tracks: tracks('h265', 'aac'), after90k: 12345 });
  t.ok(full.argv.every(word => /^[A-Za-z0-9_:.,=+()'>*/-]+$/.test(word)), full.argv.join(' '));
  t.equal(behind(full, '-protocol_whitelist'), 'pipe');
  t.equal(behind(full, '-b:v'), '256k');
  t.equal(behind(full, '-g'), '20', 'a key frame every two seconds');
  t.match(behind(full, '-vf'), /^select='gt\(pts\*TB\*90000,12345\+0\.5\)',select='.*t\*10.*',scale=352:288/);
  t.ok(full.argv.includes('pipe:1') && full.argv.includes('pipe:3'));
  t.equal(behind(plan({}), '-b:v'), '4608k', '1080p without a figure');
  t.notMatch(behind(plan({}), '-vf'), 'scale', 'nothing to scale');
  t.match(behind(plan({ tracks: tracks('h264', null, 641, 361) }), '-vf'), /trunc\(iw\/2\)/, 'odd sides');
});

t.test('hardware where it is configured and there, else the processor', async t => {
  t.match(plan({ hardware: 'vaapi' }), { encoder: 'h264_vaapi' });
  t.ok(plan({ hardware: 'vaapi' }).argv.includes('-vaapi_device'));
  t.match(behind(plan({ hardware: 'vaapi' }), '-vf'), /format=nv12,hwupload$/);
  t.match(plan({ hardware: 'nvenc' }), { encoder: 'h264_nvenc' });
  t.match(plan({ hardware: 'nvenc', rendition: rendition({ video: 'h265' }) }), { encoder: 'libx265' });
  t.match(plan({ hardware: 'v4l2m2m' }), { encoder: 'libx264' });
  t.match(plan({ hardware: 'qsv', rendition: rendition({ video: 'h265' }) }), { encoder: 'hevc_qsv' });
});

t.test('the same wish is the same key', async t => {
  t.equal(renditionKey(rendition({ size: { width: 352, height: 288 } })), 'h264,352x288,-,-,copy');
  t.equal(renditionKey(rendition({ video: 'copy', bitrateKbps: 5, audio: 'aac' })), renditionKey(rendition({ video: 'copy', audio: 'aac' })), 'figures of pictures that pass do not count');
});

t.test('capacity: guessed first, then as seen; the first job always gets in', async t => {
  const capacity = new TranscodeCapacity({ cores: 1, maxJobs: 3 });
  const load = { kind: 'h264>libx264', megapixelsPerS: 100 };
  t.equal(capacity.expected(load), 1.5);
  t.equal(capacity.enter('a', load), null, 'although it is too much');
  t.match(capacity.enter('b', load), /it would take 1\.5 cores, and 0 of 1 are left|all 1 cores/);
  capacity.measured('a', 0.2, 100);
  t.equal(capacity.used, 0.2);
  t.equal(capacity.expected(load).toFixed(2), '0.20');
  t.equal(capacity.enter('b', { ...load, megapixelsPerS: 200 }), null, 'half the size tells about the double one');
  t.match(capacity.enter('c', { kind: 'h264>libx264', megapixelsPerS: 300 }), /it would take 0\.6 cores, and 0\.4 of 1 are left/);
  t.equal(capacity.enter('c', { kind: 'sound', megapixelsPerS: 0 }), null);
  t.match(capacity.enter('d', { kind: 'sound', megapixelsPerS: 0 }), /3 transcoders run already/);
  capacity.leave('b');
  capacity.measured('b', 9, 1);
  t.equal(capacity.jobs, 2);
  capacity.measured('a', 0.1, 0);
  t.equal(capacity.used.toFixed(2), '0.22', 'an idle job teaches nothing');
});

t.test('fault 76: starts anew after 100 ms, then 200, 400, 800; not for ever', async t => {
  const health = new TranscodeHealth();
  let now = 0;
  const delays: number[] = [];
  for (;;) {
    health.started(ms(now));
    health.fed(ms(now));
    health.answered();
    health.died(ms(now));
    if (health.state === 'failed') break;
    t.equal(health.onDue(ms(health.deadline - 1)), null);
    delays.push(health.deadline - now);
    now = health.deadline;
    t.equal(health.onDue(ms(now)), 'start');
  }
  t.same(delays, [100, 200, 400, 800, 800, 800, 800]);
  t.ok(delays.every(delay => delay < 1000), 'within a second');
  t.equal(health.starts, HEALTH_LIMITS.maxFailures);
});

t.test('fault 76: what gets input and gives nothing hangs; what gets nothing does not', async t => {
  const health = new TranscodeHealth();
  health.started(ms(0));
  t.equal(health.deadline, Infinity, 'nothing was written');
  health.fed(ms(10));
  health.fed(ms(20));
  t.equal(health.deadline, 10 + HEALTH_LIMITS.firstOutputMs);
  health.answered();
  t.equal(health.state, 'running');
  health.fed(ms(100));
  t.equal(health.onDue(ms(100 + HEALTH_LIMITS.stallMs)), 'hangs');
  health.died(ms(4000));
  health.died(ms(4001));
  t.equal(health.failures, 1, 'dying twice is once');
  t.equal(health.onDue(ms(4100)), 'start');
  health.started(ms(4100));
  health.reshape(ms(4200));
  t.equal(health.deadline, 5100, 'fault 74: a source that changes all the time starts one process a second');
  health.stop();
  t.equal(health.deadline, Infinity);
});

t.test('snapshots', async t => {
  t.ok(snapshotArgv('h265', null).includes('hevc') && !snapshotArgv('h264', null).includes('-vf'));
  t.match(snapshotArgv('h264', 321).join(' '), /scale=322:-2/);
  t.ok(isWholeJpeg(Uint8Array.of(0xff, 0xd8, 1, 0xff, 0xd9)));
  t.notOk(isWholeJpeg(Uint8Array.of(0xff, 0xd8, 1, 2, 3)));
  t.notOk(isWholeJpeg(NO_BYTES));
});
