/**
 * The package on a plain Debian 12, for real: installed, begun, hurt, upgraded, removed and purged under systemd as process 1.
 * One machine, one story; each part stands on the ones before. Needs root.
 */
import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Author, CommitResult, ConfigdRequests, Json } from '#contracts/configd.ts';
import { connectRpc } from '#kit/rpc.ts';
import { runTool } from '../rig/run-tool.ts';
import { debianRoot, Machine, packageOfTree } from '../rig/nspawn.ts';
import { until } from '../rig/until.ts';

/** In the order in which they start. */
const DAEMONS = ['viewlink-configd', 'viewlink-mediad@1', 'viewlink-sipd', 'viewlink-healthd', 'viewlink-apid'];
const AUTHOR: Author = { user: 'root', via: 'cli', address: null };
const CONFIGURATION = ['sip:', '  listen:', '    - { transport: udp, address: 127.0.0.1, port: 5060 }', '    - { transport: tcp, address: 127.0.0.1, port: 5060 }', ''].join('\n');
/** A daemon that was killed is back within (faults.md R4). */
const BACK_MS = 1000;
/** On a machine that is busy with something else. */
const BACK_BARE_STARTS = 20;
const SLOW_MS = 60_000;

const [archive, deb] = await Promise.all([debianRoot(), packageOfTree()]);
const lintian = runTool('lintian', ['--fail-on', 'error', '--tag-display-limit', '0', deb], 240_000);
const machine = await Machine.boot(archive);
t.teardown(() => machine[Symbol.asyncDispose]());

const property = async (unit: string, name: string): Promise<string> => (await machine.ask('systemctl', 'show', '--value', `--property=${name}`, unit)).trim();
const isActive = async (unit: string): Promise<boolean> => (await property(unit, 'ActiveState')) === 'active';
const pidOf = async (unit: string): Promise<string> => property(unit, 'MainPID');
const put = (path: string, text: string): void => writeFileSync(join(machine.root, path), text);
const signal = (unit: string, name: string): Promise<string> => machine.ask('systemctl', 'kill', '--kill-whom=main', `--signal=${name}`, unit);
const journal = (...args: readonly string[]): Promise<string> => machine.ask('journalctl', '--boot', '--no-pager', '--output=cat', ...args);

/** Every file outside of what the machine itself keeps, with mode and owner. */
async function tree(): Promise<readonly string[]> {
  const own = ['/proc', '/sys', '/dev', '/run', '/tmp', '/var/tmp', '/var/log', '/var/cache', '/var/lib/dpkg', '/var/lib/systemd'];
  const out = await machine.ask('find', '/', '-xdev', '(', ...own.flatMap((path, i) => [...(i === 0 ? [] : ['-o']), '-path', path]), ')', '-prune', '-o', '-printf', '%p %m %U:%G %l\\n');
  // Users stay, so that no file falls to another one.
  return out.split('\n').filter(line => !/^\/(etc\/(passwd|shadow|group|gshadow|subuid|subgid)-? |etc |root )/.test(line)).sort();
}

/** Milliseconds that the node of the package takes to do nothing: what the machine is worth at this moment. */
async function bareStart(): Promise<number> {
  const { tookMs } = await machine.run('/usr/lib/viewlink/bin/node', '-e', '0');
  return tookMs;
}

/** Another process than before: for a moment after its end a unit is active and has none. */
async function isAnew(unit: string, before: string): Promise<boolean> {
  const pid = await pidOf(unit);
  return pid !== '0' && pid !== before && (await isActive(unit));
}

/** By the clock of systemd: from the end of what was killed to the readiness of what came after. */
async function killed(t: Test, unit: string): Promise<void> {
  const backMs: number[] = [];
  const bareMs: number[] = [];
  for (let i = 0; i < 3; i++) {
    bareMs.push(await bareStart());
    const before = await pidOf(unit);
    await signal(unit, 'KILL');
    await until(`${unit} back`, () => isAnew(unit, before), SLOW_MS);
    backMs.push((Number(await property(unit, 'ActiveEnterTimestampMonotonic')) - Number(await property(unit, 'ActiveExitTimestampMonotonic'))) / 1000);
  }
  const [best, limit] = [Math.min(...backMs), Math.max(BACK_MS, BACK_BARE_STARTS * Math.min(...bareMs))];
  t.ok(best < limit, `${unit}: back after ${backMs.map(Math.round).join(', ')} ms; bare Node ${bareMs.join(', ')} ms`);
}

let before: readonly string[] = [];

t.test('without a configuration it is installed, enabled and silent', async t => {
  before = await tree();
  copyFileSync(deb, join(machine.root, 'viewlink.deb'));
  const { code, stdout, stderr } = await machine.run('dpkg', '--install', '/viewlink.deb');
  t.equal(code, 0, stderr);
  t.match(stdout, /no configuration yet, nothing was started/);
  t.equal((await machine.run('systemctl', 'is-enabled', 'viewlink.target')).stdout, 'enabled\n');
  for (const unit of DAEMONS) t.equal(await property(unit, 'ActiveState'), 'inactive', unit);
  t.equal((await machine.run('systemctl', 'is-system-running')).stdout, 'running\n');
  t.equal((await machine.run('sshd', '-t')).code, 0, 'sshd takes its part');
});

t.test('begun, it has factory settings: all units are active and nothing listens', async t => {
  const listening = await machine.ask('ss', '-Hlntu');
  await machine.ask('systemctl', 'start', 'viewlink.target');
  for (const unit of DAEMONS) await until(unit, () => isActive(unit), SLOW_MS);
  t.equal(await machine.ask('cat', '/etc/viewlink/gateway.yaml'), await machine.ask('cat', '/usr/share/viewlink/gateway.yaml'));
  t.equal(await machine.ask('ss', '-Hlntu'), listening);
  t.match(await machine.ask('nft', 'list', 'tables'), /^$/, 'and nothing is dropped');
  await machine.ask('systemctl', 'stop', 'viewlink.target');
  for (const unit of DAEMONS) await until(unit, async () => !(await isActive(unit)), SLOW_MS);
});

t.test('with a configuration, each listens as its own user', async t => {
  for (const [name, group] of [['wen', 'viewlink-viewer'], ['guo', 'users']] as const) await machine.ask('useradd', '--create-home', '--groups', group, name);
  put('gateway.yaml', CONFIGURATION);
  await machine.ask('install', '-o', 'viewlink-configd', '-g', 'viewlink', '-m', '640', '/gateway.yaml', '/etc/viewlink/gateway.yaml');
  await machine.ask('systemctl', 'start', 'viewlink.target');
  for (const unit of DAEMONS) await until(unit, () => isActive(unit), SLOW_MS);
  t.equal((await machine.run('systemctl', 'is-system-running')).stdout, 'running\n');
  const users = new Set<string>();
  for (const unit of DAEMONS) {
    const status = await machine.ask('cat', `/proc/${await pidOf(unit)}/status`);
    users.add(/^Uid:\s+(\d+)/m.exec(status)![1]!);
    t.match(status, /^CapEff:\s+0+$/m, `${unit}: no capability`);
    t.match(status, /^NoNewPrivs:\s+1$/m, unit);
    t.match(status, /^Seccomp:\s+2$/m, unit);
    t.equal(await property(unit, 'WatchdogUSec'), '10s', unit);
    t.equal(await property(unit, 'Slice'), 'viewlink.slice', unit);
  }
  t.equal(users.size, DAEMONS.length);
});

t.test('directories belong to whom they should', async t => {
  const wanted: readonly (readonly [string, string])[] = [
    ['/run/viewlink', '2771 root:viewlink'],
    ['/etc/viewlink', '2750 viewlink-configd:viewlink'],
    ['/etc/viewlink/gateway.yaml', '640 viewlink-configd:viewlink'],
    ['/var/lib/viewlink', '3770 root:viewlink'],
    ['/var/lib/viewlink/sipd.sqlite3', '600 viewlink-sipd:viewlink'],
    ['/var/lib/viewlink/apid', '700 viewlink-apid:viewlink'],
    ['/var/cache/viewlink/sipd', '750 viewlink-sipd:viewlink'],
    ['/var/cache/viewlink/mediad', '750 viewlink-mediad:viewlink'],
  ];
  for (const [path, mode] of wanted) t.equal((await machine.ask('stat', '-c', '%a %U:%G', path)).trim(), mode, path);
});

t.test('vlink answers whom its role lets', async t => {
  const as = (user: string, ...words: readonly string[]): ReturnType<Machine['run']> => machine.run('runuser', '-u', user, '--', 'vlink', ...words);
  t.equal((await machine.run('vlink', 'show', 'devices')).stdout, 'no devices\n');
  const viewer = await as('wen', 'show', 'devices');
  t.equal(viewer.stdout, 'no devices\n', viewer.stderr);
  t.not((await as('wen', 'catalog', 'refresh', '34020000001320000001')).code, 0, 'a viewer steers nothing');
  t.not((await as('guo', 'show', 'devices')).code, 0, 'without a role nothing is shown');
  t.not((await machine.run('runuser', '-u', 'wen', '--', 'cat', '/etc/viewlink/gateway.yaml')).code, 0, 'credentials are not read');
  await machine.ask('runuser', '-u', 'wen', '--', 'sh', '-c', 'mkdir -m 700 ~/.ssh && ssh-keygen -q -t ed25519 -N "" -f ~/.ssh/id_ed25519 && cp ~/.ssh/id_ed25519.pub ~/.ssh/authorized_keys');
  const ssh = (...words: readonly string[]): ReturnType<Machine['run']> => machine.run('runuser', '-u', 'wen', '--', 'ssh', '-o', 'StrictHostKeyChecking=no', '-o', 'BatchMode=yes', ...words);
  const remote = await ssh('127.0.0.1', 'show devices');
  t.equal(remote.stdout, 'no devices\n', remote.stderr);
  t.notMatch((await ssh('127.0.0.1', 'id; cat /etc/passwd')).stdout, /uid=|root:/, 'no shell');
  t.not((await ssh('-W', '127.0.0.1:22', '127.0.0.1')).code, 0, 'no way through');
  const forced = await machine.ask('sshd', '-T', '-C', 'user=wen,host=x,addr=192.0.2.1');
  t.match(forced, /^forcecommand \/usr\/bin\/vlink --ssh$/m);
  t.match(forced, /^allowtcpforwarding no$/m);
  t.match(await machine.ask('sshd', '-T', '-C', 'user=guo,host=x,addr=192.0.2.1'), /^forcecommand none$/m, 'others keep their shell');
});

/** The file that was written past configd. */
async function adopted(t: Test): Promise<void> {
  await using client = await connectRpc<ConfigdRequests>(machine.path('/run/viewlink/configd.sock'));
  t.ok((await client.call('adopt', { author: AUTHOR, reason: 'test' }, { timeoutMs: SLOW_MS })).revision !== null);
}

/** As somebody at `vlink configure` does it. */
async function attempt(author: Author, confirmMinutes: number | null, ...values: readonly (readonly [path: string, value: Json])[]): Promise<CommitResult> {
  await using client = await connectRpc<ConfigdRequests>(machine.path('/run/viewlink/configd.sock'));
  await client.call('edit', { author, steps: values.map(([path, value]) => ({ op: 'set' as const, path, value })) });
  return await client.call('commit', { author, reason: 'test', confirmMinutes }, { timeoutMs: SLOW_MS });
}

async function commit(t: Test, ...rest: Parameters<typeof attempt> extends [Author, ...infer Rest] ? Rest : never): Promise<void> {
  const { revision, issues, refusals } = await attempt(AUTHOR, ...rest);
  t.ok(revision !== null, JSON.stringify({ issues, refusals }));
}

t.test('what is committed is what the packet filter does, and who is shut out is shut out there', async t => {
  const rules = async (): Promise<string> => (await machine.run('nft', 'list', 'table', 'inet', 'viewlink')).stdout;
  await adopted(t);
  const afar = await attempt({ ...AUTHOR, address: '203.0.113.5' }, null, ['host.firewall', true], ['host.management', ['10.9.0.0/24']]);
  t.match(afar, { revision: null, issues: [{ why: /could not come back from 203\.0\.113\.5/ }] });
  await commit(t, null, ['host.firewall', true], ['host.management', ['10.9.0.0/24']]);
  await until('the rules', async () => /chain input \{[^]*policy drop;[^]*@management4/.test(await rules()), SLOW_MS);
  await until('the end of it', async () => (await property('viewlink-firewall', 'ActiveState')) === 'inactive', SLOW_MS);
  t.equal(await property('viewlink-firewall', 'Result'), 'success');
  const ban = (site: string): string => JSON.stringify({ site, reason: 'scanner', count: 2, times: 1, first: '', last: '', untilWallMs: 8_000_000_000_000, firstWallMs: 1, lastWallMs: 1 });
  await machine.ask('runuser', '-u', 'viewlink-sipd', '--', 'sh', '-c', `printf '%s\n' '${ban('203.0.113.7')}' '${ban('10.9.0.1')}' '${ban('0.0.0.0/0')}' > /run/viewlink/bans.new && mv /run/viewlink/bans.new /run/viewlink/bans`);
  await until('the ban', async () => (await rules()).includes('203.0.113.7'), SLOW_MS);
  t.notMatch(await rules(), /10\.9\.0\.1 timeout|0\.0\.0\.0\/0/, 'management is never shut out, and no whole network');
  await commit(t, null, ['host.firewall', false]);
  await until('no rules', async () => (await rules()) === '', SLOW_MS);
});

t.test('nothing of it complains', async t => {
  // The kernel of a test machine may know no filter for cgroups; on others there is nothing to say.
  const lines = (await journal('--priority=warning', '--unit=viewlink*')).split('\n').filter(line => line !== '' && !/does not support BPF.cgroup firewalling/.test(line) && line !== '-- No entries --');
  t.same(lines, []);
  for (const unit of DAEMONS) t.notMatch(await journal(`_SYSTEMD_INVOCATION_ID=${await property(unit, 'InvocationID')}`), /"level":(40|50|60)/, unit);
});

t.test('a commit that nobody confirms returns, though configd is gone', async t => {
  const level = async (): Promise<boolean> => (await machine.ask('cat', '/etc/viewlink/gateway.yaml')).includes('level: debug');
  t.equal(await property('viewlink-revert.timer', 'ActiveState'), 'active');
  await commit(t, 0.02, ['log.level', 'debug']);
  await machine.ask('systemctl', 'stop', 'viewlink-configd');
  if (await level()) {
    // The timer starts it every 20 s; here nobody waits for it.
    await until('the return', async () => (await machine.run('systemctl', 'start', 'viewlink-revert@late')).code === 0 && !(await level()), SLOW_MS);
  }
  t.notOk(await level(), 'the file is as it was');
  await machine.ask('systemctl', 'start', 'viewlink-configd');
  await until('configd', () => isActive('viewlink-configd'), SLOW_MS);
  t.equal(await property('viewlink-revert@late', 'Result'), 'success');
});

t.test('a reload is no restart', async t => {
  const pid = await pidOf('viewlink-sipd');
  await machine.ask('systemctl', 'reload', 'viewlink-sipd');
  await until('the reload', async () => (await journal('--unit=viewlink-sipd')).includes('service.reloaded'), SLOW_MS);
  t.equal(await pidOf('viewlink-sipd'), pid);
  t.ok(await isActive('viewlink-sipd'));
});

t.test('a daemon that cannot start with what is committed: back at once, and not after the time that a start may take', async t => {
  const dropIn = '/run/systemd/system/viewlink-sipd.service.d';
  await machine.ask('sh', '-c', `mkdir -p ${dropIn}; printf '[Service]\\nExecStartPre=/bin/false\\n' > ${dropIn}/never.conf; systemctl daemon-reload`);
  const before = await machine.ask('cat', '/etc/viewlink/gateway.yaml');
  const { revision, refusals } = await attempt(AUTHOR, null, ['sip.userAgent', 'Other']);
  t.match({ revision, refusals }, { revision: null, refusals: [{ daemon: 'sipd', why: /needs a restart of viewlink-sipd/ }] }, 'it was not said that it may start anew');
  const began = performance.now();
  await using client = await connectRpc<ConfigdRequests>(machine.path('/run/viewlink/configd.sock'));
  const result = await client.call('commit', { author: AUTHOR, reason: 'test', confirmMinutes: null, restart: true }, { timeoutMs: 2 * SLOW_MS });
  t.match(result, { revision: null, refusals: [{ daemon: 'sipd', why: /^ended as it started/ }] });
  t.ok(performance.now() - began < SLOW_MS, 'systemd told configd');
  t.equal(await machine.ask('cat', '/etc/viewlink/gateway.yaml'), before);
  await client.call('discard', { author: AUTHOR });
  await machine.ask('sh', '-c', `rm ${dropIn}/never.conf; systemctl daemon-reload; systemctl restart viewlink-sipd`);
  await until('sipd', () => isActive('viewlink-sipd'), SLOW_MS);
});

t.test('killed, each is back at once, and the others do not notice', async t => {
  const other = await pidOf('viewlink-mediad@1');
  await killed(t, 'viewlink-sipd');
  t.equal(await pidOf('viewlink-mediad@1'), other);
  await killed(t, 'viewlink-mediad@1');
  t.ok(await isActive('viewlink-sipd'));
});

t.test('one that stands still is ended by the watchdog and started anew', async t => {
  const unit = 'viewlink-sipd';
  await machine.ask('mkdir', '-p', `/run/systemd/system/${unit}.service.d`);
  await machine.ask('sh', '-c', `printf '[Service]\\nWatchdogSec=2\\n' > /run/systemd/system/${unit}.service.d/quick.conf; systemctl daemon-reload; systemctl restart ${unit}`);
  const before = await pidOf(unit);
  await signal(unit, 'STOP');
  await until('the watchdog', () => isAnew(unit, before), SLOW_MS);
  t.match(await journal(`--unit=${unit}`), /Watchdog timeout[^]*Failed with result 'watchdog'/);
  await machine.ask('sh', '-c', `rm /run/systemd/system/${unit}.service.d/quick.conf; systemctl daemon-reload; systemctl restart ${unit}`);
});

t.test('with a broken configuration it rests and tries again, and with the mended one it is back', async t => {
  const again = '/run/systemd/system/viewlink-again@.service.d';
  await machine.ask('sh', '-c', `mkdir -p ${again}; printf '[Service]\\nEnvironment=REST_S=1\\n' > ${again}/quick.conf; systemctl daemon-reload`);
  await machine.ask('sh', '-c', 'echo "sip: 7" > /etc/viewlink/gateway.yaml');
  await signal('viewlink-sipd', 'KILL');
  const tries = async (): Promise<number> => (await journal('--unit=viewlink-sipd')).split('service.not-started').length - 1;
  await until('three tries', async () => (await tries()) >= 3, 2 * SLOW_MS);
  t.equal(await property('viewlink-sipd', 'ExecMainStatus'), '2', 'it says that the configuration is wrong');
  put('etc/viewlink/gateway.yaml', CONFIGURATION);
  await until('its return', () => isActive('viewlink-sipd'), 2 * SLOW_MS);
  await machine.ask('sh', '-c', `rm -r ${again}; systemctl daemon-reload`);
  await until('a healthy machine', async () => (await machine.run('systemctl', 'is-system-running')).stdout === 'running\n', SLOW_MS);
});

t.test('an upgrade leaves the configuration alone and goes on with the new version', async t => {
  const pids = await Promise.all(DAEMONS.map(pidOf));
  const { code, stderr } = await machine.run('dpkg', '--install', '/viewlink.deb');
  t.equal(code, 0, stderr);
  for (const [i, unit] of DAEMONS.entries()) await until(unit, async () => (await isActive(unit)) && (await pidOf(unit)) !== pids[i], SLOW_MS);
  t.equal(await machine.ask('cat', '/etc/viewlink/gateway.yaml'), CONFIGURATION);
});

t.test('stopped, the newest goes first and nothing is left', async t => {
  await machine.ask('systemctl', 'stop', 'viewlink.target');
  for (const unit of DAEMONS) await until(unit, async () => (await property(unit, 'ActiveState')) === 'inactive', SLOW_MS);
  const stopped = await Promise.all(['viewlink-configd', 'viewlink-mediad@1', 'viewlink-sipd'].map(async unit => Number(await property(unit, 'InactiveEnterTimestampMonotonic'))));
  t.same(stopped, [...stopped].sort((a, b) => b - a), 'in the reverse order of their start');
  t.same((await machine.ask('ps', '-eo', 'user:32=')).split('\n').filter(user => user.startsWith('viewlink')), []);
});

t.test('removed and purged, nothing of it is left', async t => {
  await machine.ask('systemctl', 'start', 'viewlink.target');
  await machine.ask('nft', 'add', 'table', 'inet', 'viewlink');
  await machine.ask('dpkg', '--remove', 'viewlink-gateway');
  t.equal(await machine.ask('nft', 'list', 'tables'), '', 'nothing goes on being dropped');
  t.same((await machine.ask('ps', '-eo', 'user:32=')).split('\n').filter(user => user.startsWith('viewlink')), []);
  t.equal((await machine.run('test', '-e', '/etc/viewlink/gateway.yaml')).code, 0, 'removed, its configuration is kept');
  await machine.ask('dpkg', '--purge', 'viewlink-gateway');
  await machine.ask('sh', '-c', 'userdel --remove wen; userdel --remove guo; rm /viewlink.deb /gateway.yaml');
  t.same(await tree(), before);
  t.equal((await machine.run('systemctl', 'is-system-running')).stdout, 'running\n');
});

t.test('lintian finds no error', async t => {
  const { code, stdout } = await lintian;
  t.equal(code, 0, stdout);
});
