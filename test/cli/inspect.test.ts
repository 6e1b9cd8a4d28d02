/** What vlink makes of health: pure renderings of answers as daemons give them. */
import t from 'tap';
import { DAY_MS, type InspectionFacts } from '../../cli/inspect/facts.ts';
import { inspectionHtml } from '../../cli/inspect/html.ts';
import { inspectionOf } from '../../cli/inspect/report.ts';
import { inspectionText } from '../../cli/inspect/text.ts';
import { short, sparkline } from '../../cli/spark.ts';

const NOW = Date.UTC(2026, 2, 10, 3, 0, 0);
const alarm = { alarmId: 7, rule: 'raid.degraded', subject: 'raid:md2', severity: 'critical', says: 'raid1: 1 of 2 members work', value: 1, raisedAtWallMs: NOW - 7_200_000, clearedAtWallMs: null, acknowledged: { user: '王工', atWallMs: NOW } } as const;
const facts: InspectionFacts = {
  atWallMs: NOW,
  versions: { gateway: '0.1.0' },
  report: {
    node: 'node-a',
    atWallMs: NOW,
    state: 'broken',
    checks: [
      { subject: 'raid:md2', state: 'broken', says: 'raid1: 1 of 2 members work' },
      { subject: 'disk:/var', state: 'good', says: '20 % of 468 GB used' },
      { subject: 'clock', state: 'unknown', says: 'nothing that keeps it right could be asked' },
    ],
  },
  samples: [{ metric: 'viewlink_channel_loss_ratio', labels: { device: 'd', channel: '34020000001310000001' }, value: 0.062 }],
  alarms: [alarm, { ...alarm, alarmId: 6, clearedAtWallMs: NOW - 60_000, raisedAtWallMs: NOW - 120_000 }],
  day: [{ metric: 'viewlink_cpu_busy_ratio', labels: {}, points: [{ atWallMs: NOW - DAY_MS, mean: 0.2, min: 0.1, max: 0.4 }, { atWallMs: NOW - 1800_000, mean: 0.4, min: 0.3, max: 0.8 }] }],
  service: {
    devices: { online: 9, offline: 1, neverRegistered: 0 },
    gone: [{ id: '34020000001110000001', name: '<img src=x onerror="alert(1)">\u001b[2J\u202e东门', reason: 'keepalive-lost', lastSeenAgeMs: 600_000 }],
    channels: { all: 10, online: 9 },
    upstreams: [{ name: 'city', state: 'waiting', reason: '403 Forbidden', sessions: 0 }],
    sources: [],
    store: { state: 'ok', queued: 0, refused: 0, origin: 'whole' },
  },
  configuration: null,
  silent: ['configd: DAEMON_UNREACHABLE'],
};

t.test('the inspection in text: what is wrong first', async t => {
  const text = inspectionText(inspectionOf(facts));
  t.match(text, /^Inspection of node-a: broken\n2026-03-10 03:00:00 UTC\n\nCould not be asked\n/);
  t.ok(text.indexOf('raid:md2') < text.indexOf('disk:/var'));
  t.match(text, /# +7 +critical +raid:md2 +raid1: 1 of 2 members work +2026-03-10 01:00:00 UTC +2 h +王工/);
  t.match(text, /Devices that are gone: 1 of 10; 9 of 10 channels online\n/);
  t.match(text, /# +city +waiting +403 Forbidden/);
  t.match(text, /! +34020000001310000001 +d +6\.20 %/);
  t.match(text, /cpu_busy_ratio +0\.1 +0\.3 +0\.8 +▅ +█/);
  t.notMatch(text, '\u001b', 'a device name steers no terminal');
});

t.test('and as a page: nothing of a name is markup, nothing is fetched', async t => {
  const html = inspectionHtml(inspectionOf(facts));
  t.match(html, '&lt;img src=x onerror=&quot;alert(1)&quot;&gt;');
  t.notMatch(html, /<img|<script|\u001b|\u202e|https?:|url\(|<link/);
  t.match(html, /<tr class="broken"><td>7<\/td>/);
  const tags = [...html.matchAll(/<(\/?)(table|tr|td|th|thead|tbody|h1|h2|body|html)\b/g)];
  for (const name of ['table', 'tr', 'td', 'th', 'h2']) t.equal(tags.filter(([, slash, tag]) => tag === name && slash === '').length, tags.filter(([, slash, tag]) => tag === name && slash === '/').length, `${name} is closed`);
});

t.test('without healthd it says so and goes on', async t => {
  const inspection = inspectionOf({ ...facts, report: null, samples: [], alarms: [], day: [], silent: ['healthd: DAEMON_UNREACHABLE'] });
  t.equal(inspection.mark, 'broken');
  t.match(inspectionText(inspection), /healthd does not answer[^]*Devices that are gone: 1 of 10/);
});

t.test('sparks and short numbers', async t => {
  const points = [0, 1, 2, 3].map(i => ({ atWallMs: i * 1000, mean: i, max: i }));
  t.equal(sparkline(points, 0, 4000, 4), '▁▃▆█');
  t.equal(sparkline(points.slice(0, 1), 0, 4000, 4), '▁   ', 'what was not measured is blank');
  t.equal(sparkline([{ atWallMs: 0, mean: -2, max: -2 }, { atWallMs: 1000, mean: 2, max: 2 }], 0, 2000, 2), '▁█');
  t.equal(sparkline([], 0, 1000, 3), '   ');
  t.same([0, 0.0421, 12.345, 999, 1000, 1_234_567, 2.5e9].map(short), ['0', '0.0421', '12.3', '999', '1 k', '1.23 M', '2.5 G']);
});
