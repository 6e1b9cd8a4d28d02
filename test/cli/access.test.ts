/** Who may do what with vlink, and what is written down of it: real users, a forced command of sshd, a real bash. As root, as CI is. */
import { execFile } from 'node:child_process';
import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import t, { type Test } from 'tap';
import { Accounts } from '#kit/accounts.ts';
import { COMMANDS } from '../../cli/commands.ts';
import { ptySession } from '../rig/pty-session.ts';
import { type FakeDaemons, fakeDaemons } from './fake-daemons.ts';
import { type Spoken, vlink } from './spoken.ts';

const ROOT = join(import.meta.dirname, '../..');

const VLINK = join(import.meta.dirname, '../../cli/vlink');
const DEVICE = '34020000001110000001';
const USERS = { wang: 61002, li: 61003, sun: 61004, guan: 61005, zhou: 61006 } as const;
const PASSWD = `root:x:0:0::/root:/bin/sh\nwang:x:61002:61002::/nonexistent:/bin/sh\nli:x:61003:61003::/nonexistent:/bin/sh\nsun:x:61004:61004::/nonexistent:/bin/sh\nguan:x:61005:61005::/nonexistent:/bin/sh\nzhou:x:61006:61006::/nonexistent:/bin/sh\n`;
const GROUP = 'root:x:0:\nviewlink-viewer:x:61010:wang\nviewlink-operator:x:61011:li\nviewlink-security:x:61012:guan,zhou\nviewlink-admin:x:61013:zhou\n';

interface Machine {
  readonly directory: string;
  readonly accounts: Accounts;
}

function machine(test: Test): Machine {
  const directory = mkdtempSync(join(tmpdir(), 'vl-machine-'));
  test.teardown(() => rmSync(directory, { recursive: true, force: true }));
  writeFileSync(join(directory, 'passwd'), PASSWD);
  writeFileSync(join(directory, 'group'), GROUP);
  return { directory, accounts: new Accounts({ passwd: join(directory, 'passwd'), group: join(directory, 'group') }) };
}

/** On a machine of its own: these users and groups, and the daemons where they belong. */
function on({ directory }: Machine, daemons: FakeDaemons, user: keyof typeof USERS | 'root', argv: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Spoken> {
  const uid = user === 'root' ? 0 : USERS[user];
  // The sources stand where only root may look, when they were checked out so: others see them under another directory.
  const execPath = join('/run/checkout', relative(ROOT, process.execPath));
  // What watches the processes of a test by NODE_OPTIONS writes beside the sources, where other users may not.
  const script = 'mount --bind "$1/passwd" /etc/passwd && mount --bind "$1/group" /etc/group && mount -t tmpfs none /run && mkdir /run/viewlink && mount --bind "$2" /run/viewlink && mkdir /run/upper /run/work /run/checkout && mount -t overlay overlay -o "lowerdir=$3,upperdir=/run/upper,workdir=/run/work" /run/checkout && shift 3 && unset NODE_OPTIONS && exec "$@"';
  const command = ['-m', 'sh', '-c', script, 'sh', directory, daemons.directory, ROOT, execPath, '/run/checkout/test/cli/as-user.ts', String(uid), String(uid), ...argv];
  return new Promise(resolve => {
    execFile('unshare', command, { env: { PATH: '/usr/bin:/bin:/usr/sbin:/sbin', ...env }, cwd: directory, timeout: 60_000 }, (error, out, err) => resolve({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : -1, out, err }));
  });
}

t.test('roles come from Unix groups; who may not is told which one he needs', async t => {
  const here = machine(t);
  await using daemons = await fakeDaemons({ accounts: here.accounts });
  const [looks, tries, does, stranger, helped, other] = await Promise.all([
    on(here, daemons, 'wang', ['show', 'devices']),
    on(here, daemons, 'wang', ['catalog', 'refresh', DEVICE]),
    on(here, daemons, 'li', ['catalog', 'refresh', DEVICE], { SSH_CONNECTION: '10.1.2.3 50000 10.1.2.1 22', SUDO_USER: 'root' }),
    on(here, daemons, 'sun', ['show', 'devices']),
    on(here, daemons, 'sun', ['help', 'exit-codes']),
    on(here, daemons, 'wang', ['completion', 'bash', '--json'], {}),
  ]);
  t.match(looks, { code: 0, out: /北门 NVR/, err: '' });
  t.match(tries, { code: 77, out: '', err: 'not permitted: vlink catalog refresh: wang has the role viewer; it needs the group viewlink-admin or viewlink-operator\n' });
  t.match(does, { code: 0, err: '' });
  t.match(stranger, { code: 77, err: /sun has no role; it needs the group viewlink-admin or .*viewlink-viewer\n$/ });
  t.equal(helped.code, 0, 'help is for everybody');
  t.equal(other.code, 64, 'a command without --json says so');
  t.same(daemons.calls, [`refreshCatalog ${DEVICE}`], 'what was refused reached nobody');
  const said = daemons.audits.map(({ author, action, result, detail, target }) => [author.user, author.address, action, target, result, detail].join(' '));
  t.ok(said.includes('wang  cli.catalog.refresh  refused needs operate'), said.join('\n'));
  t.same(said.filter(line => line.startsWith('li')), [`li 10.1.2.3 cli.catalog.refresh ${DEVICE} done begins`, `li 10.1.2.3 cli.catalog.refresh ${DEVICE} done exit code 0`], 'before and after; SUDO_USER makes nobody root');
});

t.test('what replaces everything needs two rights, and one of them is not enough', async t => {
  const here = machine(t);
  await using daemons = await fakeDaemons({ accounts: here.accounts });
  const reset = ['config', 'factory-reset'];
  const [officer, both, help] = await Promise.all([on(here, daemons, 'guan', reset), on(here, daemons, 'zhou', reset), on(here, daemons, 'guan', ['help', 'config', 'restore'])]);
  t.match(officer, { code: 77, err: 'not permitted: vlink config factory-reset: guan has the role security; it needs the group viewlink-admin and viewlink-security\n' });
  t.match(both, { code: 1, err: /give --yes when that is meant/ });
  t.match(help.out, /^Needs: configure and security$/m);
});

t.test('nothing is done that cannot be written down, except by root, and that is delivered later', async t => {
  const here = machine(t);
  {
    await using daemons = await fakeDaemons({ accounts: here.accounts, configd: false });
    t.match(await on(here, daemons, 'li', ['catalog', 'refresh', DEVICE]), { code: 69, err: /^viewlink-configd is not reachable/ });
    t.same(daemons.calls, []);
    t.match(await vlink({ VLINK_CONFIG: daemons.configPath }, 'catalog', 'refresh', DEVICE), { code: 0, err: /^written to .*audit-spool\.jsonl until the audit log can be reached: viewlink-configd is not reachable/ });
    t.same(daemons.calls, [`refreshCatalog ${DEVICE}`]);
    const spool = join(daemons.directory, 'audit-spool.jsonl');
    t.equal(statSync(spool).mode & 0o777, 0o600);
    t.equal(readFileSync(spool, 'utf8').trimEnd().split('\n').length, 2);
    writeFileSync(join(here.directory, 'kept'), `${readFileSync(spool, 'utf8')}{"torn`);
  }
  await using daemons = await fakeDaemons({ accounts: here.accounts });
  writeFileSync(join(daemons.directory, 'audit-spool.jsonl'), readFileSync(join(here.directory, 'kept')));
  t.match(await vlink({ VLINK_CONFIG: daemons.configPath }, 'catalog', 'refresh', 'x'), { code: 0, err: '' });
  t.match(daemons.audits.map(({ detail }) => detail), [/^begins; delivered late, it was 20/, /^exit code 0; delivered late/, 'begins', 'exit code 0'], 'in order, and a torn line is passed over');
  t.same(readdirSync(daemons.directory).filter(name => name.startsWith('audit-spool')), []);
  const forged = join(daemons.directory, 'audit-spool.jsonl');
  const known = daemons.audits.length;
  writeFileSync(forged, `${JSON.stringify({ atWallMs: 1, entry: { ...daemons.audits[0], author: { user: 'root', via: 'cli', address: null }, action: 'cli.forged' } })}\n`);
  chownSync(forged, 65_534, 65_534);
  t.match(await vlink({ VLINK_CONFIG: daemons.configPath }, 'catalog', 'refresh', DEVICE), { code: 0, err: /1 entries are not of whom they name: not delivered/ });
  t.notOk(daemons.audits.slice(known).some(({ action }) => action === 'cli.forged'));
});

t.test('secrets are not written down', async t => {
  await using daemons = await fakeDaemons();
  const say = (...argv: readonly string[]) => vlink({ VLINK_CONFIG: daemons.configPath }, ...argv);
  await say('sim', 'camera', '--platform', '10.0.0.1:5060', '--password', 'CANARY1 CANARY2', '--id', '1', '--token=CANARY3', '--help');
  await say('config', 'set', 'upstreams', 'city', 'password', 'CANARY4', 'CANARY5');
  await say('config', 'set', 'upstreams[city].ha1', 'CANARY6');
  await say('play', 'x', '--only', 'flv');
  const targets = daemons.audits.filter(({ detail }) => detail === 'begins').map(({ target }) => target);
  t.same(targets, ['--platform 10.0.0.1:5060 --password *** --id 1 --token=*** --help', 'upstreams city password *** ***', 'upstreams[city].ha1 ***', 'x']);
  t.notMatch(JSON.stringify(daemons.audits), 'CANARY');
  t.match(daemons.audits.find(({ action }) => action === 'cli.play'), { after: { only: 'flv' } }, 'other options are');
  for (const command of COMMANDS) for (const [name, { secret, type }] of Object.entries(command.args)) if (type !== 'flag' && /pass(word|phrase)|secret$/i.test(name)) t.equal(secret, true, `${command.path} ${name}`);
  t.same(COMMANDS.filter(({ access }) => access === undefined).map(({ path }) => path), []);
});

t.test('a forced command: a line of vlink, and no shell', async t => {
  const here = machine(t);
  await using daemons = await fakeDaemons({ accounts: here.accounts });
  const sshEnv = (line: string): Readonly<Record<string, string>> => ({ SSH_ORIGINAL_COMMAND: line, SSH_CONNECTION: '10.1.2.3 5 10.1.2.1 22' });
  const marker = join(here.directory, 'reached');
  const [filtered, quoted, believed, viewer] = await Promise.all([
    on(here, daemons, 'li', ['--ssh'], sshEnv('vlink sh dev | include offline | count')),
    on(here, daemons, 'li', ['--ssh'], sshEnv(`catalog refresh "; touch ${marker}; $(touch ${marker})"`)),
    on(here, daemons, 'li', ['--ssh'], { ...sshEnv('show devices'), VLINK_RUN_DIR: '/nowhere', VLINK_CONFIG: '/nowhere' }),
    on(here, daemons, 'wang', ['--ssh'], sshEnv('catalog refresh 1')),
  ]);
  t.match(filtered, { code: 0, out: '1\n' });
  t.match(quoted, { code: 0 });
  t.match(daemons.calls, [/^refreshCatalog ; touch .*; \$\(touch /], 'a name like any other');
  t.match(believed, { code: 0, out: /北门 NVR/ }, 'the environment says nothing');
  t.match(viewer, { code: 77, err: /wang has the role viewer/ });
  const refused: readonly (readonly [string, number, RegExp])[] = [
    [`show devices; touch ${marker}`, 64, /no command show devices;/],
    [`show devices && touch ${marker}`, 64, /too many arguments/],
    [`show devices | sh -c "touch ${marker}"`, 64, /no filter sh; there is include, exclude, count, json, no-more/],
    [`show devices > ${marker}`, 64, /too many arguments/],
    ['/bin/sh', 64, /no command \/bin\/sh/],
    ['scp -f /etc/passwd', 64, /no command scp/],
    ['show devices\nreboot', 64, /a control character/],
    ['show devices --run-dir /tmp', 77, /--run-dir: not in a restricted session/],
    ['show devices --config /tmp/x', 77, /--config: not in a restricted session/],
    ['support-bundle /etc/cron.d/x', 77, /a file is a plain name/],
    ['support-bundle .bashrc', 77, /a file is a plain name/],
    ['view city --config ../x', 77, /a file is a plain name/],
    ['sim camera --help', 77, /not in a restricted session/],
    ['', 64, /no terminal and no command/],
  ];
  for (const [line, code, why] of refused) t.match(await vlink(sshEnv(line), '--ssh'), { code, err: why }, line);
  t.match(await vlink(sshEnv('vlink show version'), '--ssh'), { code: 0, out: /ViewLink Gateway/ });
  t.notOk(existsSync(marker), 'no shell has seen any of it');
});

t.test('under a forced command with a terminal: the shell; and bash completes what vlink knows', async t => {
  await using daemons = await fakeDaemons();
  const home = mkdtempSync(join(tmpdir(), 'vl-home-'));
  t.teardown(() => rmSync(home, { recursive: true, force: true }));
  const env = { PATH: `${join(VLINK, '..')}:/usr/bin:/bin`, HOME: home, TERM: 'xterm', LANG: 'zh_CN.UTF-8', VLINK_CONFIG: daemons.configPath };
  const bash = await ptySession({
    argv: ['/bin/bash', '--norc', '--noprofile', '-i'],
    env: { ...env, PS1: '$ ' },
    steps: [
      { send: 'eval "$(vlink completion bash)"; echo rea""dy\r', expect: 'ready' },
      { send: 'vlink show dev\t', expect: 'vlink show devices ' },
      { send: '\x15vlink catalog refresh 3402\t', expect: 'refresh 3402\\x07?000000111000000' },
      { send: '\t\t', expect: '34020000001110000001 +34020000001110000002' },
      { send: '\x15vlink why --pr\t', expect: 'why --probe ' },
      { send: '\x15exit\r' },
    ],
  });
  t.notMatch(bash.steps.at(-1), /not seen\]/);
  t.equal(bash.code, 0);
  const shell = await ptySession({ argv: [VLINK, '--ssh', '--idle', '5'], env, steps: [{ expect: '> \\x1b\\[\\d+G$' }, { send: 'help keys\r', expect: 'Ctrl-D.*> \\x1b\\[\\d+G$' }, { send: 'exit\r' }] });
  t.notMatch(shell.steps.at(-1), /not seen\]/);
  t.equal(shell.code, 0);
  t.notOk(existsSync(join(home, '.vlink_history')), 'HOME is not believed there');
  t.match(await vlink({ SSH_CONNECTION: '' }, '--ssh', '--idle', 'x'), { code: 64 });
});
