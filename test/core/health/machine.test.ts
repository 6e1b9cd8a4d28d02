/** Machines of real shapes (test/vectors/sysroot): what is read of them and what is made of it; and that nothing else can be. */
import fc from 'fast-check';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type Check, checksOf, overall } from '#core/health/checks.ts';
import { parseChronyTracking, parseTimedatectl } from '#core/health/linux/clock.ts';
import { parseSsacli, parseStorcli } from '#core/health/linux/controllers.ts';
import { parsePressure, parseStat } from '#core/health/linux/cpu.ts';
import { parseDiskstats, parseMdstat, parseMountinfo } from '#core/health/linux/disks.ts';
import { parseFileNr } from '#core/health/linux/memory.ts';
import { parseNetDev, parseSnmpUdp, parseSoftnet } from '#core/health/linux/net.ts';
import { parseOpenFilesLimit, parseProcessStat } from '#core/health/linux/process.ts';
import { parseSmart } from '#core/health/linux/smart.ts';
import { wallMs } from '#core/units.ts';
import { measureClock } from '#core/health/measure/hardware.ts';
import { measureService } from '#core/health/measure/service.ts';
import { measureBridges, type BridgeTotals } from '#core/health/measure/media.ts';
import type { Measured } from '#core/health/model.ts';
import { METRICS } from '#core/health/metrics.ts';
import { RULES, type RuleName } from '#core/health/rule-table.ts';
import { ms } from '#core/units.ts';
import { systemClock } from '#kit/clock.ts';
import { InventoryCollector } from '../../../daemons/healthd/collect-inventory.ts';
import { NodeCollector } from '../../../daemons/healthd/collect-node.ts';
import { Sysroot } from '../../../daemons/healthd/sysroot.ts';
import { filesOf, layOut, putFile } from '../../rig/sysroot-tree.ts';

const limits = (rule: string) => RULES[rule as RuleName];
const text = (machine: string, path: string): string => filesOf(machine).get(path)!;

function rootOf(test: Test, ...machines: readonly string[]): string {
  const root = mkdtempSync(join(tmpdir(), 'vl-sysroot-'));
  test.teardown(() => rmSync(root, { recursive: true, force: true }));
  layOut(root, ...machines);
  return root;
}

interface Look {
  readonly measured: readonly Measured[];
  readonly checks: ReadonlyMap<string, Check>;
}

async function look(root: string): Promise<Look> {
  const sysroot = new Sysroot(root);
  const node = new NodeCollector(sysroot);
  node.everyTenSeconds(ms(0));
  const measured = [node.everyTenSeconds(ms(10_000)), await new InventoryCollector({ sysroot, clock: systemClock, certificates: () => [] }).read()];
  const checks = checksOf(measured.flatMap(({ observations }) => observations), limits);
  return { measured, checks: new Map(checks.map(check => [check.subject, check])) };
}

const wrong = ({ checks }: Look): string[] => [...checks.values()].filter(({ state }) => state === 'broken' || state === 'degraded').map(({ state, subject }) => `${state} ${subject}`);
const sample = ({ measured }: Look, metric: string, labels: object = {}): number | undefined => measured.flatMap(({ samples }) => samples).find(each => each.metric === metric && JSON.stringify(each.labels) === JSON.stringify(labels))?.value;

t.test('a server that is well, and a virtual machine that has next to nothing', async t => {
  const server = await look(rootOf(t, 'server-2u'));
  t.same(wrong(server), []);
  t.equal(overall([...server.checks.values()]), 'good');
  t.match(server.checks.get('raid:md2')!.says, /raid1: all 2 members work/);
  t.match(server.checks.get('drive:/dev/sda')!.says, /3 % of its life used/, 'normalized wear counts down from 100');
  t.equal(sample(server, 'viewlink_disk_used_ratio', { mount: '/var' })?.toFixed(4), (95 / 445).toFixed(4), 'as df counts it');
  t.equal(sample(server, 'viewlink_power_watts', { sensor: 'power_meter power1' }), 214);
  t.notOk([...server.checks.keys()].some(subject => /eno3|docker0|fan5|AUXTIN0/.test(subject)), 'what is off, virtual, or not plugged in is no subject');
  const vm = await look(rootOf(t, 'vm'));
  t.same(wrong(vm), []);
  t.equal(vm.checks.get('temperature:thermal_zone0 acpitz')?.state, 'good');
  t.equal(sample(vm, 'viewlink_memory_available_bytes'), 812345 * 1024, 'an old kernel has no MemAvailable');
  t.equal(sample(vm, 'viewlink_nic_speed_bits_per_second', { nic: 'ens3' }), undefined);
  t.same((await look(rootOf(t))).checks.size, 0, 'a root with nothing in it');
});

t.test('a degraded server says what', async t => {
  const found = await look(rootOf(t, 'server-2u', 'degraded'));
  t.same(wrong(found), ['broken nic:eno2', 'broken raid:md1', 'broken raid:md2', 'degraded bond:bond0', 'degraded disk:/var', 'degraded drive:/dev/sda']);
  t.match(found.checks.get('raid:md2')!.says, /1 of 2 members work, failed: sdb3, recovery at 9.1 %/);
  t.match(found.checks.get('raid:md1')!.says, /resync delayed/);
  t.match(found.checks.get('drive:/dev/sda')!.says, /88 % of its life used; 11 sectors lost/);
  t.match(found.checks.get('bond:bond0')!.says, /no link: eno2, eno1 carries/);
});

t.test('a server that is nearly broken', async t => {
  const found = await look(rootOf(t, 'server-2u', 'nearly-broken'));
  const subjects = wrong(found);
  for (const subject of ['disk:/var', 'drive:/dev/nvme0', 'fan:nct6775 fan2', 'ipmi:PS2 Status', 'memory', 'nic:bond0', 'raid:md2', 'raid:md3', 'raid:ssacli logicaldrive 1', 'raid:storcli c0 0/239', 'temperature:coretemp Package id 0']) t.ok(subjects.includes(`broken ${subject}`), subject);
  t.match(found.checks.get('disk:/var')!.says, /takes no more writes/);
  t.match(found.checks.get('raid:md3')!.says, /2 of 4 members work, failed: sdd1 sdb1/);
  t.match(found.checks.get('raid:md2')!.says, /not running/);
});

t.test('what root has left goes before what we could ask ourselves', async t => {
  const root = rootOf(t, 'server-2u');
  putFile(root, '/run/viewlink-drives/sdb.json', '{"device":{"name":"/dev/sdb"},"smart_status":{"passed":false}}');
  putFile(root, '/run/viewlink-drives/ipmitool', 'PS1 Status | 0x09 | cr\n');
  const found = await look(root);
  t.same(wrong(found), ['broken drive:/dev/sdb', 'broken ipmi:PS1 Status']);
  t.notOk(found.checks.has('drive:/dev/sda'));
});

t.test('a file that is torn or gone takes only what stands in it', async t => {
  const root = rootOf(t, 'server-2u');
  for (const path of filesOf('server-2u').keys()) {
    if (!path.startsWith('/proc') && !path.startsWith('/sys')) continue;
    putFile(root, path, path.length % 2 === 0 ? null : '\u0000\ufffd 12 [2/1 x: -\n');
  }
  const found = await look(root);
  t.same(wrong(found), [], 'nothing is made up');
  t.ok(found.checks.has('drive:/dev/sda'), 'the rest is there');
});

t.test('every metric has help, every rule a subject that uses it', async t => {
  const used = new Set<string>();
  for (const machines of [['server-2u'], ['vm'], ['server-2u', 'nearly-broken']]) for (const { samples } of (await look(rootOf(t, ...machines))).measured) for (const { metric } of samples) used.add(metric);
  t.same([...used].filter(metric => METRICS[metric] === undefined), []);
  for (const [metric, { type }] of Object.entries(METRICS)) t.equal(type === 'counter', metric.endsWith('_total'), metric);
});

t.test('texts: single fields', async t => {
  t.match(parseStat(text('server-2u', '/proc/stat')), { all: { busy: 402310 + 1203 + 98123 + 1203, iowait: 4012 }, bootTimeS: 1772000000 });
  t.same(parsePressure('some avg10=0.00 avg60=1.50 avg300=0 total=1\n'), { some60: 1.5, full60: null });
  t.same(parseFileNr('2464\t0\t9223372036854775807\n'), { open: 2464, limit: Number.MAX_SAFE_INTEGER });
  t.same(parseMountinfo(text('server-2u', '/proc/self/mountinfo')).map(({ path }) => path), ['/', '/boot', '/var', '/srv/recordings'], 'on disks, each device once, by its shortest path');
  t.same(parseDiskstats(text('server-2u', '/proc/diskstats')).map(({ name }) => name), ['sda', 'sdb', 'md2', 'nvme0n1']);
  t.match(parseMdstat(text('degraded', '/proc/mdstat'))[2], { name: 'md0', active: true, wanted: 2, working: 2 }, 'auto-read-only');
  t.match(parseNetDev(text('server-2u', '/proc/net/dev')).find(({ name }) => name === 'eno1'), { receiveBytes: 91234567890, receiveDrops: 12, transmitPackets: 61234567 });
  t.same(parseSnmpUdp(text('server-2u', '/proc/net/snmp')), { receiveBufferErrors: 17, sendBufferErrors: 0, inErrors: 17 });
  t.same(parseSoftnet(text('server-2u', '/proc/net/softnet_stat')), { dropped: 0, squeezed: 0x12f + 0x2f });
  t.match(parseProcessStat('42 (a b) c) S 1 1 1 0 -1 4194560 1 0 0 0 7 8 0 0 20 0 11 0 555 1000 200 1 2\n'), { name: 'a b) c', cpuTicks: 15, threads: 11, startedAtTicks: 555, residentBytes: 200 * 4096 });
  t.equal(parseOpenFilesLimit('Limit                     Soft Limit           Hard Limit           Units     \nMax open files            4096                 524288               files     \n'), 4096);
  t.match(parseSmart('{"device":{"name":"/dev/sdb"},"rotation_rate":7200,"ata_smart_attributes":{"table":[{"id":173,"value":1,"raw":{"value":9}}]}}'), { wearPercent: null, passed: null }, 'a disk that turns has no such life');
  t.match(parseChronyTracking(text('server-2u', '/answers/chronyc -c tracking')), { synchronised: true, stratum: 3 });
  t.equal(parseChronyTracking(text('server-2u', '/answers/chronyc -c tracking'))?.heardAtWallMs, 1_772_345_678_123.4568);
  const said = (silentS: number): string | undefined => {
    const state = parseChronyTracking(text('server-2u', '/answers/chronyc -c tracking'));
    return measureClock({ atWallMs: state!.heardAtWallMs! + silentS * 1000, state, steppedMs: 0, steps: 0 }).observations.find(({ rule }) => rule === 'clock.unsynchronised')?.says;
  };
  t.same([-3600, 3600, 7 * 86_400].map(said), ['kept right by ntp1.example', 'kept right by ntp1.example', 'nothing keeps it right: ntp1.example was heard 168 h ago'], 'seven days without its source, although chrony says that all is well');
  t.match(parseTimedatectl(`${text('vm', '/answers/timedatectl show')}\n${text('vm', '/answers/timedatectl timesync-status')}`), { synchronised: true, offsetMs: -2.345, stratum: 3 });
  t.match(parseTimedatectl('NTPSynchronized=no\n   Offset: +1min 2.5s\n'), { synchronised: false, offsetMs: 62_500 });
  t.same(parseSsacli(text('nearly-broken', '/answers/ssacli ctrl all show config')).map(({ good }) => good), [false, true, false, true]);
  t.same(parseStorcli('{"Controllers":[{"Response Data":{"PD LIST":[{"EID:Slt":"252:1","State":"UBad"}]}}]}'), [{ name: 'c0 252:1', good: false, state: 'UBad' }]);
});

t.test('texts: whatever numbers a kernel writes come back', async t => {
  const count = fc.integer({ min: 0, max: 2 ** 48 });
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.stringMatching(/^[a-z][a-z0-9]{0,9}$/), fc.array(count, { minLength: 16, maxLength: 16 })), { maxLength: 20 }), rows => {
      const read = parseNetDev(`a|b\n c|d\n${rows.map(([name, numbers]) => `  ${name}: ${numbers.join(' ')}`).join('\n')}\n`);
      t.same(read.map(({ name, receiveBytes, transmitDrops }) => [name, receiveBytes, transmitDrops]), rows.map(([name, numbers]) => [name, numbers[0], numbers[11]]));
    }),
  );
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 16 }), fc.integer({ min: 0, max: 16 }), fc.float({ min: 0, max: 100, noNaN: true }), (wanted, missing, percent) => {
      const working = Math.max(0, wanted - missing);
      const shown = percent.toFixed(1);
      const [read] = parseMdstat(`md127 : active raid1 ${Array.from({ length: wanted }, (_, i) => `sd${String.fromCharCode(97 + i)}1[${i}]`).join(' ')}\n      100 blocks [${wanted}/${working}] [x]\n      [>..]  resync = ${shown}% (1/100)\n`);
      t.match(read, { wanted, working, repair: { what: 'resync', percent: Number(shown) } });
    }),
  );
});

t.test('devices: each that is gone, or one for all', async t => {
  const NOON = wallMs(Date.UTC(2026, 2, 10, 4));
  const row = (i: number) => ({ id: `3402000000111000${String(i).padStart(4, '0')}`, name: '东门', reason: 'keepalive-lost', lastSeenAgeMs: 240_000 });
  const facts = (online: number, offline: number) => ({ devices: { online, offline, neverRegistered: 1 }, gone: Array.from({ length: Math.min(100, offline) }, (_, i) => row(i)), channels: { all: 0, online: 0 }, upstreams: [], sources: [], store: { state: 'ok', queued: 0, refused: 0, origin: 'whole' } });
  const rules = (measured: Measured): string[] => measured.observations.filter(({ value }) => value !== 0).map(({ rule }) => rule);
  t.same(rules(measureService(facts(97, 3), NOON)), ['device.offline', 'device.offline', 'device.offline']);
  t.same([facts(97, 3), facts(5000, 5000), facts(10_000, 60)].map(each => measureService(each, NOON).complete?.includes('device.offline')), [true, false, false], 'only a whole list tells that the others are there');
  t.equal(measureService(facts(97, 1), NOON).observations.find(({ rule }) => rule === 'device.offline')?.says, '东门: keepalive-lost, last heard 2026-03-10T11:56:00', 'a time: an alarm is read long after it was raised');
  const many = measureService(facts(5000, 5000), NOON).observations;
  t.same(many.filter(({ value }) => value !== 0).map(({ rule, value, says }) => [rule, value, says]), [['devices.mass-offline', 5000, '5000 online, 5000 offline (50 %), 1 never registered']]);
  t.same(rules(measureService(facts(10_000, 60), NOON)), [], 'of ten thousand some are always away: neither a mass nor sixty alarms');
});

t.test('bridges: rates between two readings, the busiest channels kept', async t => {
  const bridge = (i: number, scale: number): BridgeTotals => ({ bridgeId: `b${i}`, packets: 1000 * scale, lost: i === 0 ? 100 * (scale - 1) : 0, bytes: 125_000 * i * scale, frozenMs: i === 1 ? 2500 * scale : 0, frozenNow: i === 1, sinks: [{ sinkId: `s${i}`, bytes: 125_000 * scale }] });
  const at = (scale: number): BridgeTotals[] => Array.from({ length: 10 }, (_, i) => bridge(i, scale));
  const owners = new Map(at(1).map(({ bridgeId }, i) => [bridgeId, { deviceId: 'd', channelId: `c${i}`, name: '东门', upstreams: [{ name: 'city', sinkId: `s${i}` }] }]));
  const found = measureBridges({ instance: '1', now: at(2), before: new Map(at(1).map(each => [each.bridgeId, each])), owners, elapsedS: 10 }, 3);
  const of = (metric: string): unknown[] => found.samples.filter(each => each.metric === metric).map(({ labels, value }) => [labels['channel'], value]);
  t.same(of('viewlink_channel_bits_per_second'), [['c9', 900_000], ['c8', 800_000], ['c7', 700_000]]);
  t.equal(found.samples.find(({ metric }) => metric === 'viewlink_media_loss_ratio')?.value, 100 / 10_100);
  t.equal(found.upstreamBps.get('city'), 1_000_000);
  t.same(measureBridges({ instance: '1', now: at(1), before: new Map(), owners, elapsedS: 10 }, 3).samples.filter(({ metric }) => metric.startsWith('viewlink_channel')), [], 'one reading is no rate');
});
