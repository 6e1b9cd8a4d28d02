import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { groupOf, ROLES } from '#core/access/roles.ts';
import { START_LIMIT_MS } from '#core/config/comeback.ts';

const REPOSITORY = join(import.meta.dirname, '../..');
const UNITS = join(REPOSITORY, 'systemd');
const LIBRARY = '/usr/lib/viewlink';
/** Exposure on the scale of systemd-analyze security, in tenths. Telemetry sees what the others need not. */
const EXPOSURE_LIMIT = 12;
const EXPOSURE_LIMITS: Readonly<Record<string, number>> = { 'viewlink-healthd.service': 18 };
/** Root, each for one thing: units are started anew, drives are asked how they are, addresses are moved; and a Redis that is not root. No code of ours runs there. */
const HELPERS: Readonly<Record<string, number>> = { 'viewlink-again@.service': 20, 'viewlink-drives.service': 20, 'viewlink-pair-state.service': 12, 'viewlink-pair-addresses.service': 27 };
/** Enabled by hand, on both nodes of a pair. */
const OF_A_PAIR = ['viewlink-clusterd.service'];
const OTHERS_OF_A_PAIR = ['viewlink-pair-state.service', 'viewlink-pair-addresses.service'];

const unitFiles = readdirSync(UNITS).filter(name => /\.(service|target|slice|path|timer)$/.test(name));
const services = unitFiles.filter(name => name.endsWith('.service'));
const instanceOf = (name: string): string => name.replace('@.', '@1.');
const read = (name: string): string => readFileSync(join(UNITS, name), 'utf8');
/** Units that stay: one for each daemon. */
const daemons = services.filter(name => read(name).includes('\nType=notify\n'));

/** A root with our units, systemd's own, and a file behind every path that a unit names. */
function installedRoot(test: Test, edit: (name: string, text: string) => string = (_name, text) => text): string {
  const root = mkdtempSync(join(tmpdir(), 'vl-units-'));
  test.teardown(() => rmSync(root, { recursive: true, force: true }));
  mkdirSync(join(root, 'usr/lib/systemd'), { recursive: true });
  cpSync('/lib/systemd/system', join(root, 'usr/lib/systemd/system'), { recursive: true, verbatimSymlinks: true });
  symlinkSync('usr/lib', join(root, 'lib'));
  for (const path of ['/bin/kill', '/bin/sleep', '/bin/sh', '/usr/bin/redis-server', '/usr/sbin/keepalived', `${LIBRARY}/bin/node`]) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), '#!/bin/sh\n');
    chmodSync(join(root, path), 0o755);
  }
  mkdirSync(join(root, 'etc/systemd/system'), { recursive: true });
  for (const name of unitFiles) writeFileSync(join(root, 'etc/systemd/system', name), edit(name, read(name)));
  return root;
}

function analyze(...args: readonly string[]): { readonly status: number | null; readonly stderr: string; readonly stdout: string } {
  const { status, stderr, stdout, error } = spawnSync('systemd-analyze', args, { encoding: 'utf8', env: { ...process.env, SYSTEMD_COLORS: '0', LC_ALL: 'C' } });
  if (error !== undefined) throw error;
  return { status, stderr, stdout };
}

const verify = (root: string): ReturnType<typeof analyze> => analyze('verify', `--root=${root}`, ...unitFiles.map(instanceOf));

t.test('systemd has nothing to say about our units', async t => {
  const { status, stderr } = verify(installedRoot(t));
  t.equal(stderr, '');
  t.equal(status, 0);
});

t.test('and it would say something about a slip', async t => {
  const slips: readonly (readonly [string, (text: string) => string])[] = [
    ['unknown key', text => text.replace('[Service]\n', '[Service]\nWatchdogSeconds=10\n')],
    ['missing program', text => text.replaceAll(`${LIBRARY}/bin/node`, `${LIBRARY}/bin/nodejs`)],
    ['not a time', text => text.replace('WatchdogSec=10', 'WatchdogSec=ten')],
  ];
  for (const [name, slip] of slips) {
    const { stderr } = verify(installedRoot(t, (_file, text) => slip(text)));
    t.not(stderr, '', name);
  }
});

t.test('every service is hardened', async t => {
  for (const name of services) {
    const directory = mkdtempSync(join(tmpdir(), 'vl-units-'));
    t.teardown(() => rmSync(directory, { recursive: true, force: true }));
    const path = join(directory, instanceOf(name));
    writeFileSync(path, read(name));
    const limit = EXPOSURE_LIMITS[name] ?? HELPERS[name] ?? EXPOSURE_LIMIT;
    const { status, stdout, stderr } = analyze('security', '--offline=yes', `--threshold=${limit}`, path);
    t.equal(status, 0, `${name}: at most ${limit / 10}: ${/exposure level.*/.exec(stdout)?.[0] ?? stderr}`);
    for (const line of ['NoNewPrivileges=yes', 'ProtectSystem=strict', 'UMask=0077', 'LimitCORE=0']) t.ok(read(name).split('\n').includes(line), `${name}: ${line}`);
  }
});

t.test('every daemon is watched, comes back, rests between tries, and ends with the target', async t => {
  // configd waits for a daemon as long as systemd does, also where it cannot ask.
  const demanded = [`TimeoutStartSec=${START_LIMIT_MS / 1000}`, 'NotifyAccess=main', 'WatchdogSec=10', 'Restart=always', 'RestartSec=200ms', 'StartLimitIntervalSec=30', 'StartLimitBurst=8', 'OnFailure=viewlink-again@%n.service', 'KillMode=mixed', 'Slice=viewlink.slice', 'PartOf=viewlink.target', 'LoadCredentialEncrypted=viewlink-secrets'];
  for (const name of daemons) for (const line of demanded) t.ok(read(name).split('\n').includes(line), `${name}: ${line}`);
  // Without them a pair is none: an interface that comes late must not end them for good.
  for (const name of OTHERS_OF_A_PAIR) for (const line of demanded.filter(each => /^(?:Restart|StartLimit|OnFailure|Slice|PartOf)/.test(each))) t.ok(read(name).split('\n').includes(line), `${name}: ${line}`);
});

t.test('paths of the units are paths of the repository', async t => {
  for (const name of services) {
    const program = new RegExp(`${LIBRARY}/(daemons/[^ ]+)`).exec(read(name))?.[1];
    if (name in HELPERS) t.equal(program, undefined, name);
    else t.ok(program !== undefined && existsSync(join(REPOSITORY, program)), `${name}: ${program ?? 'none'}`);
  }
});

t.test('one uid per daemon, declared where sysusers finds it; one group', async t => {
  const declared = read('viewlink.sysusers.conf');
  const users = daemons.map(name => /^User=(.+)$/m.exec(read(name))?.[1]);
  t.equal(new Set(users).size, daemons.length);
  for (const user of users) t.match(declared, new RegExp(`^u ${user ?? 'none'} `, 'm'));
  for (const name of daemons) t.match(read(name), /^Group=viewlink$/m);
  t.match(declared, /^g viewlink /m);
  for (const role of ROLES) t.match(declared, new RegExp(`^g ${groupOf(role)} `, 'm'));
});

t.test('the target wants every daemon', async t => {
  for (const name of daemons) t.equal(read('viewlink.target').includes(instanceOf(basename(name))), !OF_A_PAIR.includes(name), name);
});

t.test('sysusers and tmpfiles read our files', async t => {
  const root = mkdtempSync(join(tmpdir(), 'vl-users-'));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  mkdirSync(join(root, 'etc'), { recursive: true });
  const users = spawnSync('systemd-sysusers', [`--root=${root}`, join(UNITS, 'viewlink.sysusers.conf')], { encoding: 'utf8' });
  t.equal(users.status, 0, users.stderr);
  const group = readFileSync(join(root, 'etc/group'), 'utf8');
  const members = /^viewlink:[^:]*:[^:]*:(.*)$/m.exec(group)?.[1]?.split(',') ?? [];
  for (const name of daemons) t.ok(members.includes(/^User=(.+)$/m.exec(read(name))?.[1] ?? ''), name);
  const files = spawnSync('systemd-tmpfiles', ['--create', `--root=${root}`, join(UNITS, 'viewlink.tmpfiles.conf')], { encoding: 'utf8' });
  t.equal(files.error, undefined);
  t.notMatch(files.stderr, /tmpfiles\.conf:\d+/, 'no line that it does not understand');
});
