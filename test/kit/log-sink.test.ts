/** Fault 108, the disk or journal of the log: whoever logs goes on, and finds out later how much is missing. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { LogSink } from '#kit/log-sink.ts';
import { ManualClock } from '../rig/manual-clock.ts';

const MIB = 1024 * 1024;

/** A pipe that takes 64 KiB, and then no more until somebody reads. */
function pipe(test: Test): { readonly fd: number; readonly read: () => string } {
  const directory = mkdtempSync(join(tmpdir(), 'viewlink-log-'));
  const path = join(directory, 'pipe');
  execFileSync('mkfifo', [path]);
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  test.teardown(() => {
    closeSync(fd);
    rmSync(directory, { recursive: true });
  });
  const bytes = Buffer.alloc(MIB);
  return { fd, read: () => bytes.toString('utf8', 0, readSync(fd, bytes)) };
}

/** What is read until nothing waits. */
function all(sink: LogSink, read: () => string): string {
  let text = '';
  for (let more = true; more; ) {
    more = !sink.drain();
    text += read();
  }
  return text;
}

t.test('fault 108: a reader that stands still costs nobody a line, and nobody waits for it', async t => {
  const { fd, read } = pipe(t);
  const clock = new ManualClock();
  const sink = new LogSink(fd, clock);
  const line = (n: number): string => `{"n":${n},"text":"${'视'.repeat(200)}"}\n`;
  for (let n = 0; n < 1000; n++) sink.write(line(n));
  t.ok(sink.waitingBytes > 64 * 1024, `${sink.waitingBytes} wait`);
  const first = read();
  clock.advance(100);
  t.ok(first.startsWith(line(0)));
  const text = first + all(sink, read);
  t.same(text.split('\n').slice(0, -1).map(each => (JSON.parse(each) as { n: number }).n), Array.from({ length: 1000 }, (_, n) => n), 'every line, whole, in order');
  t.match([sink.waitingBytes, sink.dropped], [0, 0]);
  clock.advance(1000);
  t.equal(clock.scheduled, 0, 'and nothing is tried any more');
});

t.test('fault 108: what is too much is given up, counted and said', async t => {
  const { fd, read } = pipe(t);
  const said: number[] = [];
  const sink = new LogSink(fd, new ManualClock());
  sink.onRecovered = dropped => {
    said.push(dropped);
    sink.write(`${dropped} are missing\n`);
  };
  const line = `${'x'.repeat(999)}\n`;
  for (let n = 0; n < 10_000; n++) sink.write(line);
  t.ok(sink.waitingBytes <= MIB && sink.waitingBytes > MIB - 2000, `${sink.waitingBytes} wait`);
  const { dropped } = sink;
  const text = all(sink, read);
  t.same(said, [dropped]);
  t.equal(text.split('\n').filter(each => each.startsWith('x')).length + dropped, 10_000);
  t.ok(text.endsWith(`${dropped} are missing\n`));
});

t.test('fault 108: a disk that is full, a descriptor that is gone: no line throws', async t => {
  const full = openSync('/dev/full', 'w');
  const sink = new LogSink(full, new ManualClock());
  for (let n = 0; n < 3000; n++) sink.write(`${'x'.repeat(999)}\n`);
  t.ok(sink.waitingBytes <= MIB && sink.dropped > 1900, `${sink.dropped} given up`);
  closeSync(full);
  sink.write('x\n');
  t.equal(sink.drain(), false);
});

const SPEAKER = `
  import { createLog } from '#kit/log.ts';
  const log = createLog('speaker', 'info');
  for (let n = 0; n < 5000; n++) log.info({ n, text: 'x'.repeat(1000) }, 'spoken');
  process.stderr.write('all said');
  process.stdin.once('data', () => { log.info('last words'); process.exit(); });`;

t.test('fault 108: a whole process whose journal stands still goes on; when it reads again it hears how many lines are missing', async t => {
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', SPEAKER], { stdio: ['pipe', 'pipe', 'pipe'] });
  t.teardown(() => child.kill('SIGKILL'));
  t.match(String((await once(child.stderr, 'data'))[0]), 'all said', 'nobody has read a line of it');
  let text = '';
  const heard = Promise.withResolvers<void>();
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString();
    if (text.includes('log.dropped')) heard.resolve();
  });
  await heard.promise;
  child.stdin.write('end\n');
  await once(child, 'close');
  const lines = text.trim().split('\n').map(line => JSON.parse(line) as { msg: string; n?: number; dropped?: number });
  const spoken = lines.filter(({ msg }) => msg === 'spoken');
  t.same(spoken.map(({ n }) => n), spoken.map((_, i) => i), 'the oldest are kept, in order');
  t.equal(spoken.length + lines.find(({ msg }) => msg === 'log.dropped')!.dropped!, 5000);
  t.equal(lines.at(-1)?.msg, 'last words');
});
