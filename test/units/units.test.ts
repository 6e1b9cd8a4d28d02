import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import t, { type Test } from 'tap';

const REPOSITORY = join(import.meta.dirname, '../..');
const UNITS = join(REPOSITORY, 'systemd');
const LIBRARY = '/usr/lib/viewlink';
/** Exposure of 2.0 on the scale of systemd-analyze security, which takes tenths. */
const EXPOSURE_LIMIT = 20;

const unitFiles = readdirSync(UNITS).filter(name => /\.(service|target)$/.test(name));
const services = unitFiles.filter(name => name.endsWith('.service'));
const instanceOf = (name: string): string => name.replace('@.', '@1.');
const read = (name: string): string => readFileSync(join(UNITS, name), 'utf8');

/** A root with our units, systemd's own, and a file behind every path that a unit names. */
function installedRoot(test: Test, edit: (name: string, text: string) => string = (_name, text) => text): string {
  const root = mkdtempSync(join(tmpdir(), 'vl-units-'));
  test.teardown(() => rmSync(root, { recursive: true, force: true }));
  mkdirSync(join(root, 'usr/lib/systemd'), { recursive: true });
  cpSync('/lib/systemd/system', join(root, 'usr/lib/systemd/system'), { recursive: true, verbatimSymlinks: true });
  symlinkSync('usr/lib', join(root, 'lib'));
  for (const path of ['/bin/kill', `${LIBRARY}/bin/node`]) {
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

t.test('every service is hardened and watched', async t => {
  const demanded = ['Type=notify', 'WatchdogSec=10', 'Restart=always', 'RestartSec=200ms', 'NoNewPrivileges=yes', 'CapabilityBoundingSet=', 'ProtectSystem=strict', 'UMask=0077', 'LimitCORE=0', 'PartOf=viewlink.target'];
  for (const name of services) {
    const directory = mkdtempSync(join(tmpdir(), 'vl-units-'));
    t.teardown(() => rmSync(directory, { recursive: true, force: true }));
    const path = join(directory, instanceOf(name));
    writeFileSync(path, read(name));
    const { status, stdout, stderr } = analyze('security', '--offline=yes', `--threshold=${EXPOSURE_LIMIT}`, path);
    t.equal(status, 0, `${name}: ${/exposure level.*/.exec(stdout)?.[0] ?? stderr}`);
    const lines = read(name).split('\n');
    for (const line of demanded) t.ok(lines.includes(line), `${name}: ${line}`);
  }
});

t.test('paths of the units are paths of the repository', async t => {
  for (const name of services) {
    const program = new RegExp(`${LIBRARY}/(daemons/[^ ]+)`).exec(read(name))?.[1];
    t.ok(program !== undefined && existsSync(join(REPOSITORY, program)), `${name}: ${program ?? 'none'}`);
  }
});

t.test('one uid per daemon, declared where sysusers finds it; one group', async t => {
  const declared = read('viewlink.sysusers.conf');
  const users = services.map(name => /^User=(.+)$/m.exec(read(name))?.[1]);
  t.equal(new Set(users).size, services.length);
  for (const user of users) t.match(declared, new RegExp(`^u ${user ?? 'none'} `, 'm'));
  for (const name of services) t.match(read(name), /^Group=viewlink$/m);
  t.match(declared, /^g viewlink /m);
});

t.test('the target wants every service', async t => {
  for (const name of services) t.match(read('viewlink.target'), instanceOf(basename(name)));
});

t.test('sysusers and tmpfiles read our files', async t => {
  const root = mkdtempSync(join(tmpdir(), 'vl-users-'));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  mkdirSync(join(root, 'etc'), { recursive: true });
  const users = spawnSync('systemd-sysusers', [`--root=${root}`, join(UNITS, 'viewlink.sysusers.conf')], { encoding: 'utf8' });
  t.equal(users.status, 0, users.stderr);
  const group = readFileSync(join(root, 'etc/group'), 'utf8');
  t.match(group, /^viewlink:.*viewlink-(mediad|sipd),viewlink-(mediad|sipd)$/m);
  const files = spawnSync('systemd-tmpfiles', ['--create', `--root=${root}`, join(UNITS, 'viewlink.tmpfiles.conf')], { encoding: 'utf8' });
  t.equal(files.error, undefined);
  t.notMatch(files.stderr, /tmpfiles\.conf:\d+/, 'no line that it does not understand');
});
