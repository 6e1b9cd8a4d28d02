/** Texts of /proc, /sys and the programs of the machine: whatever stands there is read or left out, with numbers that are numbers. */
import { parseCgroupPath, parseCounter, parseLimit, parseStallUs } from '#core/health/linux/cgroup.ts';
import { parseChronyTracking, parseTimedatectl } from '#core/health/linux/clock.ts';
import { parseIpmiSdr, parseSsacli, parseStorcli } from '#core/health/linux/controllers.ts';
import { parseLoadavg, parsePressure, parseStat } from '#core/health/linux/cpu.ts';
import { parseDiskstats, parseMdstat, parseMountinfo } from '#core/health/linux/disks.ts';
import { parseHwmon } from '#core/health/linux/hwmon.ts';
import { parseFileNr, parseMeminfo } from '#core/health/linux/memory.ts';
import { parseBonding, parseNetDev, parseSnmpUdp, parseSoftnet } from '#core/health/linux/net.ts';
import { parseOpenFilesLimit, parseProcessStat } from '#core/health/linux/process.ts';
import { parseSmart, parseSmartScan } from '#core/health/linux/smart.ts';
import { parseNumber } from '#core/health/linux/text.ts';
import { decodeChunk, encodeChunk, pointsOf, STEPS } from '#core/health/history/points.ts';

const SEEDS = [
  'cpu  10 0 20 300 4 0 1 2 0 0\ncpu0 10 0 20 300 4 0 1 2 0 0\nbtime 1700000000\n',
  'some avg10=0.00 avg60=1.50 avg300=0.10 total=100\nfull avg10=0.00 avg60=0.25 avg300=0.00 total=9\n',
  '4:memory:/x\n0::/viewlink.slice/viewlink-mediad@1.service\n',
  'low 0\nhigh 17\nmax 2\noom 0\noom_kill 0\n',
  'MemTotal: 16000 kB\nMemAvailable: 8000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n',
  '   8       0 sda 100 0 2000 30 50 0 400 20 0 40 50 0 0 0 0\n',
  '36 35 98:0 / /var\\040x ro,noatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro\n',
  'md0 : active raid1 sdb1[1](F) sda1[0]\n      976630464 blocks super 1.2 [2/1] [U_]\n      [=>...] recovery =  9.1% (88/976) finish=71.3min speed=2K/sec\n',
  'Inter-| Receive\n eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n',
  'Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors\nUdp: 1 2 3 4 5 6\n',
  '0000272d 00000001 00000002 00000000\n',
  'Bonding Mode: fault-tolerance (active-backup)\nCurrently Active Slave: eth0\nMII Status: up\n\nSlave Interface: eth0\nMII Status: up\nSpeed: 1000 Mbps\nLink Failure Count: 2\n',
  '42 (a b) c) S 1 1 1 0 -1 4194560 1 0 0 0 7 8 0 0 20 0 11 0 555 1000 200 1 2\n',
  '{"device":{"name":"/dev/nvme0"},"smart_status":{"passed":true},"temperature":{"current":40},"nvme_smart_health_information_log":{"percentage_used":3,"media_errors":0}}',
  '{"Controllers":[{"Response Data":{"VD LIST":[{"DG/VD":"0/0","State":"Optl"}],"PD LIST":[{"EID:Slt":"252:0","State":"Offln"}]}}]}',
  '   logicaldrive 1 (558.7 GB, RAID 1, Interim Recovery Mode)\n',
  'Fan1 RPM | 5880 RPM | ok\nPS2 Status | 0x01 | cr\n',
  'A0000001,ntp.example,2,1700000000.1,0.000123,0.0001,0.0002,1.5,0.1,0.2,0.01,0.002,64.0,Normal\n',
  'NTPSynchronized=yes\n       Server: 10.0.0.1\n       Offset: +1.234ms\n      Stratum: 3\n',
];

const PARSERS: readonly ((text: string) => unknown)[] = [
  parseStat, parseLoadavg, parsePressure, parseMeminfo, parseFileNr, parseDiskstats, parseMountinfo, parseMdstat, parseNetDev, parseSnmpUdp, parseSoftnet, parseBonding, parseProcessStat, parseOpenFilesLimit,
  parseSmart, parseSmartScan, parseStorcli, parseSsacli, parseIpmiSdr, parseChronyTracking, parseTimedatectl, parseNumber,
  parseCgroupPath, parseLimit, text => parseStallUs(text, 'some'), text => parseStallUs(text, 'full'), text => parseCounter(text, 'high'),
  text => parseHwmon(new Map([['name', text], ['temp1_input', text], ['temp1_crit', text], ['fan1_input', text], ['fan1_alarm', text]])),
];

export default {
  name: 'linux-texts',
  seeds: SEEDS.map(text => new TextEncoder().encode(text)),
  run(input: Uint8Array): void {
    const text = new TextDecoder().decode(input);
    for (const parse of PARSERS) numbersIn(parse(text));
    for (const step of STEPS) {
      const chunk = decodeChunk(input, step);
      if (pointsOf(chunk, 0, step).length > step.chunkS / step.stepS) throw new Error('more points than a chunk has');
      if (JSON.stringify(decodeChunk(encodeChunk(chunk), step)) !== JSON.stringify(chunk)) throw new Error('chunk changed');
    }
  },
};

/** What comes out is compared and divided: it must be finite. */
function numbersIn(value: unknown): void {
  if (typeof value === 'number' && !Number.isFinite(value)) throw new Error('not a number came out');
  if (typeof value === 'object' && value !== null) for (const each of Object.values(value)) numbersIn(each);
}
