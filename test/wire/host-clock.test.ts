/** Fault 110: a clock that NTP sets, again and again, and what people read of it afterwards. The daemons see the clock of a file. */
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { AuditEntry } from '#contracts/configd.ts';
import { ConfigdProcess, authorCalled, set } from '../rig/configd-rig.ts';
import { GbDevice } from '../rig/gb-peer.ts';
import { CITY_LOCAL_ID, openRelayRig } from '../rig/relay-rig.ts';
import { until } from '../rig/until.ts';

t.setTimeout(120_000);

const LIBRARY = ['x86_64', 'aarch64'].map(machine => `/usr/lib/${machine}-linux-gnu/faketime/libfaketimeMT.so.1`).find(existsSync)!;
const TWENTY_YEARS_S = 20 * 365 * 86_400;

/** A clock that is off by so many seconds, from the next look on. */
class WallClock {
  readonly directory = mkdtempSync(join(tmpdir(), 'viewlink-clock-'));
  readonly #path = join(this.directory, 'offset');
  readonly env = { LD_PRELOAD: LIBRARY, FAKETIME_TIMESTAMP_FILE: this.#path, FAKETIME_NO_CACHE: '1', FAKETIME_DONT_FAKE_MONOTONIC: '1' };

  constructor(test: Test) {
    test.teardown(() => rmSync(this.directory, { recursive: true, force: true }));
    this.set(0);
  }

  set(offsetS: number): void {
    writeFileSync(`${this.#path}.new`, `${offsetS < 0 ? '' : '+'}${offsetS}\n`);
    renameSync(`${this.#path}.new`, this.#path);
  }
}

/** What NTP does at its worst: small and large, back and forth, and right again. */
const STEPS_S = [0.3, -0.3, 0.001, 2, -2, 0.5, 64, -64, 3600, -3600, 1, -1, TWENTY_YEARS_S, -3600, 0];
const ROUNDS = 3;

await t.test('fault 110: the clock is set back and forth ten times a second: nobody goes offline, nothing is lost', async t => {
  const clock = new WallClock(t);
  await using rig = await openRelayRig({ cameras: [{ channels: 2, keepaliveS: 1 }, { id: '34020000001180000002', keepaliveS: 1 }], upstream: { keepaliveS: 5 }, lab: { env: clock.env } });
  const [city] = rig.platforms;
  const running = await city!.play(rig.idOf(0, 0), { transport: 'udp' });
  const subscription = city!.subscribe('Catalog', { deviceId: CITY_LOCAL_ID });
  await subscription.when('granted', ({ granted }) => granted === 600);
  await running.waitFrames(5);
  for (let round = 0; round < ROUNDS; round++) {
    for (const offsetS of STEPS_S) {
      clock.set(offsetS);
      await new Promise(resolve => setTimeout(resolve, 100));
    }
    const another = await city!.play(rig.idOf(0, 1), { transport: 'udp' });
    await another.waitFrames(3);
    await another.stop();
    await Promise.all(rig.cameras.map(({ device }) => device.registration.again()));
  }
  const beats = async (): Promise<readonly (number | null)[]> => [...(await rig.rpc.call('listDevices', {})), ...(await rig.rpc.call('listUpstreams', {}))].map(({ lastKeepaliveAgeMs }) => lastKeepaliveAgeMs);
  await until('every keepalive is a moment old, by the right clock', async () => (await beats()).every(ageMs => ageMs !== null && ageMs >= 0 && ageMs < 7000), 20_000);
  t.match(await rig.rpc.call('listDevices', {}), [{ state: 'online' }, { state: 'online' }]);
  t.match(await rig.rpc.call('listUpstreams', {}), [{ state: 'online' }]);
  const log = readFileSync(join(rig.gateway.directory, 'sipd.log'), 'utf8');
  for (const event of ['device.offline', 'device.rebooted', 'subscription.ended']) t.notMatch(log, `"${event}"`);
  t.match(await running.stop(), { lost: 0, damaged: 0 });
  t.equal(await subscription.unsubscribe(), 200);
});

await t.test('fault 110: sipd starts anew while the clock is wrong by hours: what platforms subscribed to stays, as long as it was granted for', async t => {
  const clock = new WallClock(t);
  await using rig = await openRelayRig({ cameras: [{ channels: 1 }], lab: { env: clock.env } });
  const { device } = rig.cameras[0]!;
  const [city] = rig.platforms;
  const subscription = city!.subscribe('Alarm', { deviceId: rig.idOf(0, 0), content: '<StartAlarmPriority>0</StartAlarmPriority>' });
  await subscription.when('granted', ({ granted }) => granted === 600);
  for (const offsetS of [7200, -7200, TWENTY_YEARS_S, 0]) {
    clock.set(offsetS);
    await rig.gateway.sipd.crash();
    await rig.reconnect();
    const told = subscription.notifications.length;
    t.equal(await device.sendAlarm({ source: device.channels[0]!.id, alarm: { priority: 2, method: '5', time: '2026-03-10T08:14:02', description: `at ${offsetS}`, longitude: undefined, latitude: undefined, type: undefined, eventType: undefined } }), 200);
    await subscription.when(`told with the clock at ${offsetS}`, ({ notifications }) => notifications.length > told);
  }
  t.same(city!.notices, [], 'none came as to somebody who had not subscribed');
  t.equal(await subscription.unsubscribe(), 200);
});

await t.test('fault 110: a nonce is as old as the monotonic clock says: whoever is half through his log-in gets in', async t => {
  const clock = new WallClock(t);
  await using rig = await openRelayRig({ cameras: [], lab: { env: clock.env } });
  await using device = await GbDevice.open(rig.gateway, { id: '34020000001180000009' });
  for (const [from, to] of [[0, TWENTY_YEARS_S], [TWENTY_YEARS_S, -3600], [-3600, 0.4], [0.4, 0]] as const) {
    clock.set(from);
    const challenge = await device.registerOnce();
    t.equal(challenge.status, 401);
    clock.set(to);
    t.equal((await device.registerOnce({}, device.credentials(challenge))).status, 200, `challenged at ${from}, answered at ${to}`);
  }
});

await t.test('fault 110: the audit log has both clocks, and a commit that waits for confirm waits by the right one', async t => {
  const clock = new WallClock(t);
  const configPath = join(clock.directory, 'gateway.yaml');
  const run = join(clock.directory, 'run');
  writeFileSync(configPath, `sip: {id: '34020000002000000001'}\nrpc: {directory: ${run}}\n`, { mode: 0o600 });
  await using configd = await ConfigdProcess.start({ configPath, stateDirectory: join(clock.directory, 'configd'), socket: join(run, 'configd.sock'), env: clock.env });
  const offsets = [0, TWENTY_YEARS_S, -3600, 0.5, -0.5, 3600];
  const wroteAt: number[] = [];
  for (const [i, offsetS] of offsets.entries()) {
    clock.set(offsetS);
    await configd.edit('wang', set('log.level', i % 2 === 0 ? 'debug' : 'info'));
    wroteAt.push(Date.now());
    t.match(await configd.commit('wang', { reason: `at ${offsetS}` }), { revision: i + 2 });
  }
  const entries = (await configd.call('auditLog', { fromSequence: -100, limit: 100 })).filter(({ action }) => action === 'config.commit');
  t.equal(entries.length, offsets.length);
  const apart = (pick: (entry: AuditEntry) => number, i: number): number => pick(entries[i]!) - pick(entries[0]!);
  for (const [i, offsetS] of offsets.entries()) {
    const reallyMs = wroteAt[i]! - wroteAt[0]!;
    t.ok(Math.abs(apart(entry => entry.monotonicMs, i) - reallyMs) < 5000, `${offsetS}: the monotonic clock went on as if nothing was`);
    t.ok(Math.abs(apart(entry => entry.atWallMs, i) - reallyMs - 1000 * (offsetS - offsets[0]!)) < 5000, `${offsetS}: the wall clock is as it was`);
  }
  t.ok(entries.every(({ monotonicMs }, i) => i === 0 || monotonicMs >= entries[i - 1]!.monotonicMs), 'by one of them the order can be told');
  t.match(await configd.call('auditVerify', {}), { brokenAt: null });

  await configd.edit('wang', set('log.level', 'error'));
  const { revision } = await configd.commit('wang', { confirmMinutes: 10 });
  for (const offsetS of [TWENTY_YEARS_S, -3600, 0]) {
    clock.set(offsetS);
    t.match(await configd.call('status', {}), { revision }, 'it did not return by itself');
    t.match(readFileSync(configPath, 'utf8'), /level: error/);
  }
  t.match(await configd.call('confirm', { author: authorCalled('wang') }), {});
  t.match(await configd.call('status', {}), { revision });
});
