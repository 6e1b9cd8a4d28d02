/** Fault 111 in the databases of users and alarms: emptied, a page flipped, the log deleted. That of sipd: test/kit/state-store.test.ts. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { systemClock as clock } from '#kit/clock.ts';
import { createLog } from '#kit/log.ts';
import { type UserRow, UserStore } from '../../daemons/apid/user-store.ts';
import { AlarmBook } from '../../daemons/healthd/alarm-book.ts';

const log = createLog('test', 'silent');
const ROOT = join(import.meta.dirname, '../..');

function directory(test: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'viewlink-damage-'));
  test.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Runs it in a process of its own, which ends as by a power cut. */
async function killed(script: string): Promise<void> {
  const head = `
    import { systemClock as clock } from '#kit/clock.ts';
    import { createLog } from '#kit/log.ts';
    import { UserStore } from '${ROOT}/daemons/apid/user-store.ts';
    import { AlarmBook } from '${ROOT}/daemons/healthd/alarm-book.ts';
    const log = createLog('child', 'silent');`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', `${head}\n${script}\nprocess.kill(process.pid, 'SIGKILL');`], { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'] });
  const [, signal] = (await once(child, 'exit')) as [unknown, string | null];
  if (signal !== 'SIGKILL') throw new Error(`it ended with ${signal}`);
}

const user = (name: string): UserRow => ({ name, kind: 'person', roles: ['viewer'], waiting: null, channels: ['*'], passwordHash: 'h', mustChangePassword: false, disabled: false, certificateSha256: null, createdAtWallMs: 1, lastLoginWallMs: null });
const raise = (subject: string) => ({ type: 'raise', rule: 'disk.full', subject, severity: 'warning', value: 90, says: '90 %' }) as const;

const DAMAGES: readonly (readonly [name: string, damage: (file: string) => void])[] = [
  ['zero length', file => truncateSync(file, 0)],
  ['gone', unlinkSync],
  ['not a database', file => writeFileSync(file, 'hello '.repeat(3000))],
  ['pages flipped', file => writeFileSync(file, readFileSync(file).fill(0xff, 4096))],
];

await t.test('fault 111: users: damaged, emptied or gone: those of the last verified backup', async t => {
  for (const [name, damage] of DAMAGES) {
    const path = directory(t);
    {
      using store = new UserStore(path, clock, log);
      for (let n = 0; n < 50; n++) store.put(user(`user-${n}`));
      t.equal(await store.backup.make(), true);
      store.put(user('later'));
    }
    damage(join(path, 'users.db'));
    using store = new UserStore(path, clock, log);
    t.equal(store.users().length, 50, name);
    store.put(user('later'));
    t.equal(store.users().length, 51);
  }
});

await t.test('fault 111: users: the log is deleted under a file that was not closed: who was shut out stays out', async t => {
  const path = directory(t);
  await killed(`
    const store = new UserStore(${JSON.stringify(path)}, clock, log);
    const user = ${JSON.stringify(user('wang'))};
    store.put(user);
    await store.backup.make();
    store.put({ ...user, disabled: true });
    store.put({ ...user, name: 'li' });`);
  if (existsSync(join(path, 'users.db-wal'))) unlinkSync(join(path, 'users.db-wal'));
  using store = new UserStore(path, clock, log);
  t.match(store.users(), [{ name: 'li' }, { name: 'wang', disabled: true }]);
});

await t.test('fault 111: alarms: damaged, emptied or gone: those of the last verified backup, and said', async t => {
  for (const [name, damage] of DAMAGES) {
    const path = directory(t);
    {
      using book = new AlarmBook(path, { clock, log });
      for (let n = 0; n < 50; n++) book.apply(raise(`disk:/${n}`));
      book.acknowledge(7, 'wang');
      t.equal(await book.backup.make(), true);
      book.apply(raise('disk:/later'));
    }
    damage(join(path, 'alarms.sqlite3'));
    using book = new AlarmBook(path, { clock, log });
    t.equal(book.origin, 'from-backup', name);
    t.equal(book.active.length, 50);
    t.match(book.list(true, 100).find(({ alarmId }) => alarmId === 7), { acknowledged: { user: 'wang' } });
    t.notOk(book.isFailing);
  }
});

await t.test('fault 111: alarms: the log is deleted under a file that was not closed', async t => {
  const path = directory(t);
  await killed(`
    const book = new AlarmBook(${JSON.stringify(path)}, { clock, log });
    const raise = subject => book.apply({ type: 'raise', rule: 'disk.full', subject, severity: 'warning', value: 90, says: '90 %' });
    raise('disk:/early');
    book.acknowledge(1, 'wang');
    if (!(await book.backup.make())) throw new Error('no backup');
    raise('disk:/late');`);
  unlinkSync(join(path, 'alarms.sqlite3-wal'));
  using book = new AlarmBook(path, { clock, log });
  t.equal(book.origin, 'from-backup');
  t.match(book.active, [{ subject: 'disk:/early', acknowledged: { user: 'wang' } }]);
});
