/** Who may ask a daemon for what, with real users: the kernel says who they are. Runs as root, as CI does. */
import fc from 'fast-check';
import { execFile } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { z } from 'zod';
import { ACCESS_OF, ROLES } from '#core/access/roles.ts';
import { isDaemonUser, rolesOfUser, unixAccounts } from '#core/access/unix-accounts.ts';
import { measureDaemon } from '#core/health/measure/daemons.ts';
import { type Ms } from '#core/units.ts';
import { Accounts, type AccountFiles } from '#kit/accounts.ts';
import { createLog } from '#kit/log.ts';
import { peersAreKnown } from '#kit/peer-credentials.ts';
import { processFigures } from '#kit/process-figures.ts';
import { configdAccess, healthdAccess, mediadAccess, sipdAccess } from '#kit/request-access.ts';
import { type RpcAccess } from '#kit/rpc-peers.ts';
import { serveRpc, type RpcHandlers, type RpcSchemas } from '#kit/rpc.ts';

interface GateRequests {
  look(params: Record<string, never>): string;
  reload(params: Record<string, never>): string;
  open(params: Record<string, never>): string;
  replace(params: Record<string, never>): string;
  note(params: { readonly author: { readonly user: string; readonly via: string } }): string;
}
const nothing = z.strictObject({}) as z.ZodType<Record<string, never>>;
const validate: RpcSchemas<GateRequests> = { look: nothing, reload: nothing, open: nothing, replace: nothing, note: z.strictObject({ author: z.strictObject({ user: z.string(), via: z.string() }) }) };
const access: RpcAccess<GateRequests> = { look: 'read', reload: 'configure', open: 'daemons', replace: ['configure', 'security'], note: 'read' };
const log = createLog('test', 'silent');

const PASSWD = ['root:x:0:0::/root:/bin/sh', 'viewlink-sipd:x:61001:61000::/:/bin/false', 'wang:x:61002:61002::/:/bin/sh', 'li:x:61003:61003::/:/bin/sh', 'zhao:x:61004:61010::/:/bin/sh', 'both:x:61005:61005::/:/bin/sh', 'guan:x:61006:61006::/:/bin/sh', 'two:x:61007:61007::/:/bin/sh', ''].join('\n');
const GROUP = ['viewlink:x:61000:', 'viewlink-admin:x:61011:li,both,two', 'viewlink-security:x:61013:guan,two', 'viewlink-viewer:x:61010:wang', 'viewlink-auditor:x:61012:both', ''].join('\n');
const USERS = { nobody: [61999, 61999], daemon: [61001, 61000], wang: [61002, 61002], li: [61003, 61003], guan: [61006, 61006], two: [61007, 61007], zhao: [61004, 61010] } as const;

function room(test: Test): { readonly socket: string; readonly files: AccountFiles } {
  const directory = mkdtempSync(join(tmpdir(), 'vl-access-'));
  chmodSync(directory, 0o755);
  test.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const files = { passwd: join(directory, 'passwd'), group: join(directory, 'group') };
  writeFileSync(files.passwd, PASSWD);
  writeFileSync(files.group, GROUP);
  return { socket: join(directory, 'gate.sock'), files };
}

async function asks(socket: string, user: keyof typeof USERS, ...calls: readonly string[]): Promise<unknown[]> {
  const fixture = join(import.meta.dirname, 'rpc-access-fixture.ts');
  const { stdout } = await promisify(execFile)(process.execPath, [fixture, socket, ...USERS[user].map(String), ...calls], { timeout: 60_000 });
  return stdout.trimEnd().split('\n').map(line => JSON.parse(line) as unknown);
}

t.test('the groups of whoever connects decide what it may ask', async t => {
  t.equal(process.getuid?.(), 0, 'these tests become other users');
  t.ok(peersAreKnown(), 'the addon is built, and users look here as they are outside');
  const { socket, files } = room(t);
  const seen: string[] = [];
  const handler = (method: string) => (): string => (seen.push(method), method);
  const handlers: RpcHandlers<GateRequests> = { look: handler('look'), reload: handler('reload'), open: handler('open'), replace: handler('replace'), note: handler('note') };
  await using _server = await serveRpc<GateRequests>(socket, handlers, { validate, access, accounts: new Accounts(files), log });
  t.equal(statSync(socket).mode & 0o777, 0o666, 'anybody may knock');
  const everything = ['look', 'reload', 'open', 'note={"author":{"user":"wang","via":"cli"}}', 'note={"author":{"user":"wang","via":"api"}}'];
  const [viewer, admin, primary, daemon, nobody] = await Promise.all([asks(socket, 'wang', ...everything), asks(socket, 'li', ...everything), asks(socket, 'zhao', ...everything), asks(socket, 'daemon', ...everything), asks(socket, 'nobody', 'look')]);
  t.match(viewer, [{ ok: 'look' }, { code: 'NOT_PERMITTED', method: 'reload', needs: 'configure', why: 'not permitted to wang' }, { code: 'NOT_PERMITTED', why: 'only the daemons may' }, { ok: 'note' }, { code: 'NOT_PERMITTED', why: 'wang cannot act as somebody else' }]);
  t.match(admin, [{ ok: 'look' }, { ok: 'reload' }, { code: 'NOT_PERMITTED' }, { code: 'NOT_PERMITTED', why: 'li cannot act as somebody else' }, { code: 'NOT_PERMITTED' }]);
  t.match(primary, [{ ok: 'look' }, { code: 'NOT_PERMITTED', needs: 'configure' }], 'the group may be the primary one');
  t.match(daemon, everything.map(call => ({ ok: call.split('=')[0] })), 'the daemons are trusted among each other');
  t.match(nobody, [{ code: 'DAEMON_UNREACHABLE' }], 'without a role nothing is even read');
  const [alone, officer, two] = await Promise.all([asks(socket, 'li', 'replace'), asks(socket, 'guan', 'replace'), asks(socket, 'two', 'replace')]);
  t.match([alone, officer, two], [[{ code: 'NOT_PERMITTED', needs: 'security' }], [{ code: 'NOT_PERMITTED', needs: 'configure' }], [{ ok: 'replace' }]], 'where two rights are needed one is not enough');
  t.equal(seen.filter(method => method === 'reload').length, 2, 'what is refused does not run');
});

t.test('without a table only root and the daemons are served, and the socket stays theirs', async t => {
  const { socket, files } = room(t);
  await using _server = await serveRpc<Pick<GateRequests, 'look'>>(socket, { look: () => 'seen' }, { validate: { look: nothing }, accounts: new Accounts(files), log });
  t.equal(statSync(socket).mode & 0o777, 0o660);
  chmodSync(socket, 0o666);
  t.match(await asks(socket, 'li', 'look'), [{ code: 'NOT_PERMITTED', why: 'only the daemons may' }]);
});

t.test('a daemon that cannot tell who asks it says so, once, and counts it', async t => {
  const { socket } = room(t);
  const withoutAddon = `import Module from 'node:module'; Module._extensions['.node'] = () => { throw new Error('not there'); };`;
  const daemon = `
    const { serveRpc } = await import('#kit/rpc.ts');
    const { createLog } = await import('#kit/log.ts');
    const { processFigures } = await import('#kit/process-figures.ts');
    await using first = await serveRpc(process.env.SOCKET + 'a', {}, { validate: {}, log: createLog('test', 'warn') });
    await using second = await serveRpc(process.env.SOCKET + 'b', {}, { validate: {}, log: createLog('test', 'warn') });
    process.stdout.write(JSON.stringify({ known: processFigures()['rpc.peers-known'] }));`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--import', `data:text/javascript,${encodeURIComponent(withoutAddon)}`, '--input-type=module', '-e', daemon], { cwd: join(import.meta.dirname, '../..'), env: { ...process.env, SOCKET: socket }, timeout: 60_000 });
  const lines = stdout.split('\n').map(line => JSON.parse(line) as object);
  t.match(lines, [{ level: 40, msg: 'rpc.peers-unknown', socket: `${socket}a` }, { known: 0 }]);
  t.equal(lines.length, 2);
  t.equal(processFigures()['rpc.peers-known'], 1, 'here they are known');
  const alarm = (known: number): unknown => measureDaemon({ name: 'sipd', counters: { 'rpc.peers-known': known }, before: null, elapsedS: 0, restarts: 0, restartsLately: 0, openFilesLimit: null, wallMs: 0 }).observations.find(({ rule }) => rule === 'roles.unchecked');
  t.match([alarm(0), alarm(1)], [{ subject: 'daemon:sipd', value: 1, says: /roles are not checked/ }, { value: 0 }]);
});

t.test('accounts: who leaves a group loses its role within a minute; groups that exclude each other leave the lesser one', async t => {
  const { files } = room(t);
  let now = 0 as Ms;
  const accounts = new Accounts(files, { now: () => now, wall: () => 0 as never, schedule: () => ({ [Symbol.dispose]: () => undefined }) });
  const rights = (uid: number, gid = uid) => accounts.rightsOf({ pid: 1, uid, gid });
  t.same([rights(0), rights(61001), rights(61999)], ['all', 'all', []]);
  t.same(rights(61003), ACCESS_OF.admin);
  t.same(rights(61005), ACCESS_OF.auditor, 'admin and auditor: auditor');
  writeFileSync(files.group, GROUP.replace('li,both,two', 'both'));
  now = 59_000 as Ms;
  t.same(rights(61003), ACCESS_OF.admin);
  now = 60_000 as Ms;
  t.same(rights(61003), []);
  rmSync(files.group);
  now = 120_000 as Ms;
  t.same([rights(61002), rights(0)], [[], 'all'], 'no file: nobody but root');
});

t.test('files of accounts: lines that are none do no harm', async t => {
  const accounts = unixAccounts('a:x:1:1\nb:x:-1:1\n:x:2:2\nc\nd:x:3:99999999999\na2:x:1:5\nviewlink-apid:x:9:9\nviewlink-bob:x:10:10', 'viewlink-viewer:x:7:a,,b\nviewlink-admin\n::\nviewlink-root:x:7:a');
  t.same([...accounts.users], [[1, { name: 'a', gid: 1 }], [9, { name: 'viewlink-apid', gid: 9 }], [10, { name: 'viewlink-bob', gid: 10 }]]);
  t.same(rolesOfUser(accounts, 1, []), ['viewer']);
  t.same(rolesOfUser(accounts, 2, [7]), ['viewer'], 'by its group alone');
  t.same([isDaemonUser(accounts, 9), isDaemonUser(accounts, 10), isDaemonUser(accounts, 1)], [true, false, false], 'a name that begins alike is no daemon');
  fc.assert(fc.property(fc.string(), fc.string(), fc.nat(), (passwd, group, uid) => rolesOfUser(unixAccounts(passwd, group), uid, [uid]).every(role => ROLES.includes(role))));
});

t.test('nobody but the daemons opens media, and a viewer changes nothing', async t => {
  const viewer: readonly string[] = ACCESS_OF.viewer;
  const of = (table: Readonly<Record<string, string | readonly string[]>>): string[] => Object.entries(table).filter(([, needs]) => [needs].flat().every(one => viewer.includes(one))).map(([method]) => method);
  t.match(configdAccess, { restore: ['configure', 'security'], factoryReset: ['configure', 'security'] }, 'nobody replaces everything who may change a part of it only');
  t.match(mediadAccess, { openSource: 'daemons', openSink: 'daemons', closeBridge: 'daemons', reload: 'configure' });
  for (const method of [...of(mediadAccess), ...of(sipdAccess), ...of(healthdAccess), ...of(configdAccess)]) t.notMatch(method, /^(open(?!Outlet)|close|reload|set|edit|commit|restore|rollback|acknowledge|load(?!$))/, method);
});
