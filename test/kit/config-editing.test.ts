/** The text of a configuration under edits, and what is kept of it: revisions, secrets, backups, the audit log; power cuts included. */
import fc from 'fast-check';
import { createHash } from 'node:crypto';
import { appendFileSync, cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import t, { type Test } from 'tap';
import type { EditStep, Json } from '#core/config/json.ts';
import { sameValue } from '#core/config/diff.ts';
import type { Migration } from '#core/config/migrations/migration.ts';
import { applyStep } from '#core/config/patch.ts';
import { referenceConfig } from '#core/config/reference.ts';
import { AuditLog } from '#kit/audit-log.ts';
import { openBackup, sealBackup } from '#kit/backup-file.ts';
import { editText, maskText, readText } from '#kit/config-edit.ts';
import { migrateText } from '#kit/config-migrate.ts';
import { ConfigRevisions } from '#kit/config-revisions.ts';
import { parseConfig } from '#kit/config-store.ts';
import type { ConfigDocument } from '#kit/config-text.ts';
import { writeDurably } from '#kit/durable.ts';
import { createLog } from '#kit/log.ts';
import { systemRandom } from '#kit/random.ts';
import { formatKeyRing, newKey, openSecret, parseKeyRing, sealSecret } from '#kit/secret-box.ts';

const log = createLog('test', 'silent');
const VERSION_1 = readFileSync(join(import.meta.dirname, '../vectors/config/version-1.yaml'), 'utf8');
const WANG = { user: 'wang', via: 'cli', address: null } as const;

const read = (text: string): ConfigDocument => { const result = readText(text); if (!result.ok) throw new Error(result.why); return result.read; };
const edited = (text: string, ...steps: readonly EditStep[]): string => { const result = editText(read(text), steps); if (!result.ok) throw new Error(result.why); return result.read.text; };
const set = (path: string, value: Json): EditStep => ({ op: 'set', path, value });
const remove = (path: string): EditStep => ({ op: 'delete', path });
function directory(test: Test): string {
  const made = mkdtempSync(join(tmpdir(), 'vl-editing-'));
  test.teardown(() => rmSync(made, { recursive: true, force: true }));
  return made;
}
/** Lines of one that the other has not. */
const lines = (before: string, after: string): { readonly gone: string[]; readonly come: string[] } => ({ gone: before.split('\n').filter(line => !after.split('\n').includes(line)), come: after.split('\n').filter(line => !before.split('\n').includes(line)) });

t.test('an edit touches its own lines only', async t => {
  t.same(lines(VERSION_1, edited(VERSION_1, set('node.name', 'gw2'))), { gone: ['  name: gw1   # rack 4'], come: ['  name: gw2   # rack 4'] });
  t.same(lines(VERSION_1, edited(VERSION_1, set('upstreams[city].port', 5061))), { gone: [], come: ['    port: 5061'] });
  t.same(lines(VERSION_1, edited(VERSION_1, set('devices.known[34020000001110000001].nat', true))), { gone: [], come: ['      nat: true'] });
  t.same(lines(VERSION_1, edited(VERSION_1, remove('devices.known[34020000001110000002]'))).come, []);
  t.same(lines(VERSION_1, edited(VERSION_1, set('sip.listen[0].port', 5070))).come, ['    - {transport: udp, address: 127.0.0.1, port: 5070}']);
  t.same(lines(VERSION_1, edited(VERSION_1, remove('upstreams[city]'))).come, ['upstreams: []']);
  t.same(lines(VERSION_1, edited(VERSION_1, set('media.loss.nack', false))).come, ['  loss:', '    nack: false']);
  const reference = referenceConfig();
  const more = edited(reference, set('upstreams[city].id', '34010000002000000001'), set('upstreams[city].address', '10.0.0.1'), set('sip.listen[0].address', '10.0.0.2'), set('sip.listen[0].transport', 'udp'));
  t.equal(lines(reference, more).gone.length, 2, 'the two lists that were empty');
  t.match(more, /\nupstreams: +# platforms above us.*\n {2}- name: city\n {4}id: "34010000002000000001"\n {4}address: 10\.0\.0\.1\n/);
  t.same(lines(reference, edited(more, remove('upstreams[city]'), remove('sip.listen'))).come.filter(line => !/^upstreams: \[\]/.test(line)), []);
});

t.test('any steps: the text reads as the data, and what was not touched is there', async t => {
  const paths = ['node.name', 'upstreams[city].port', 'upstreams[city].networks', 'upstreams[b].address', 'devices.known[34020000001110000001].networks', 'devices.known[9].password', 'sip.listen[0].port', 'sip.listen[1]', 'sip.listen', 'media.ports', 'media.ports.first', 'upstreams[city].view.rules[0]', 'upstreams[city].view.rules[0].tags', 'inlets', 'log.level', 'outlets.tokenKey', 'devices.media', 'upstreams', 'channels[34020000001320000001].name'];
  const values: readonly Json[] = ['a', 'a: b # c', '- x', '"', '[', '34020000001110000001', '1e3', 'true', '', ' ', 'é东', '{a}', 5060, 20_000, true, false, [], {}, ['10.0.0.0/8'], 'debug', '10.0.0.9', 'x'.repeat(100), "it's"];
  const step = fc.oneof(fc.record({ op: fc.constant('set' as const), path: fc.constantFrom(...paths), value: fc.constantFrom(...values) }), fc.record({ op: fc.constant('delete' as const), path: fc.constantFrom(...paths) }));
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 6 }), steps => {
      let value = read(VERSION_1).value;
      let text = VERSION_1;
      for (const one of steps) {
        const done = applyStep(value, one);
        if (!done.ok) continue;
        value = done.value;
        text = edited(text, one);
      }
      return sameValue(read(text).value, value) && text.includes('# A gateway as it was configured') && (!text.includes('rack') || text.includes('# rack 4'));
    }),
    { numRuns: 150 },
  );
  const many = Array.from({ length: 120 }, (_, n) => set(`devices.known[3402000000111${String(1000000 + n)}].password`, `p${n}`));
  const bulk = edited(VERSION_1, ...many);
  t.match(bulk, /# the car park/, 'many at once keep comments too');
  t.equal((read(bulk).value as { devices: { known: Json[] } }).devices.known.length, 122);
});

t.test('secrets: masked in the text, sealed with a key, opened by the daemons', async t => {
  const masked = maskText(read(VERSION_1));
  for (const secret of ['"0123"', '00112233445566778899aabbccddeeff', 'password: secret', '0123456789abcdef']) t.notMatch(masked, secret);
  t.same(lines(VERSION_1, masked).gone.length, 4);
  t.match(maskText(read('outlets: {pushes: [{channel: "34020000001320000001", url: "rtmp://10.0.0.1/live/CANARY"}]}\nupstreams:\n  - password: |\n      CANARY\n    name: x\n')), /^(?!.*CANARY)[^]*rtmp:\/\/10\.0\.0\.1\/live\/\*\*\*[^]*\n {4}name: x\n$/);
  const ring = [newKey(systemRandom), newKey(systemRandom)];
  t.same(parseKeyRing(formatKeyRing(ring)).map(({ id, key }) => [id, Buffer.from(key).toString('hex')]), ring.map(({ id, key }) => [id, Buffer.from(key).toString('hex')]));
  const sealed = sealSecret(ring, '口令 x', systemRandom);
  t.equal(openSecret(ring, sealed), '口令 x');
  t.not(sealSecret(ring, '口令 x', systemRandom), sealed);
  t.equal(openSecret(ring.slice(1), sealed), undefined);
  fc.assert(fc.property(fc.integer({ min: 0, max: sealed.length - 1 }), fc.constantFrom('A', 'b', '0', ':', ''), (at, other) => sealed[at] === other || openSecret(ring, sealed.slice(0, at) + other + sealed.slice(at + 1)) === undefined));
  const text = new TextEncoder().encode(`devices:\n  known:\n    - {id: "1", password: "${sealed}"}\n`);
  const opened = parseConfig(text, ring);
  t.equal(opened.ok && opened.config.devices.known[0]!.password, '口令 x');
  t.equal(parseConfig(text, 'unopened').ok, true, 'whoever only judges the rest needs no key');
  t.same(parseConfig(new TextEncoder().encode(masked), 'unopened').ok, true);
  t.match(parseConfig(new TextEncoder().encode(masked.replace('name: 码头', 'nam: x')), 'unopened'), { ok: false, problems: [{ path: 'inlets[0].name' }, { path: 'inlets[0].nam' }] });
  t.ok(parseConfig(new TextEncoder().encode(`outlets: {pushes: [{channel: "34020000001320000001", url: "${sealed}"}]}\n`), 'unopened').ok, 'a URL too');
  t.match(parseConfig(text, []), { ok: false, problems: [{ line: 3, path: 'devices.known[0].password', why: /its key is not here/ }] });
});

t.test('files of every version are read; what moves takes its comments along', async t => {
  const first = parseConfig(new TextEncoder().encode(VERSION_1));
  t.ok(first.ok, first.ok ? '' : JSON.stringify(first.problems));
  t.equal(first.ok && first.config.upstreams[0]!.id, '34010000002000000001');
  t.same(migrateText(read(VERSION_1)), { text: VERSION_1 });
  const renamed: Migration = { to: 2, what: 'test', steps: () => [{ op: 'rename', place: ['node', 'name'], to: 'title' }, { op: 'delete', place: ['log'] }] };
  const moved = migrateText(read(VERSION_1), [renamed]);
  t.match('text' in moved && moved.text, /title: gw1 # rack 4[^]*# the car park[^]*\nversion: 2\n/);
  t.match(parseConfig(new TextEncoder().encode('version: 99\n')), { ok: false, problems: [{ line: 1, path: 'version', why: /update it first/ }] });
});

t.test('two of its own that would listen on the same port', t => {
  const problems = (text: string): readonly string[] => { const result = parseConfig(new TextEncoder().encode(text)); return result.ok ? [] : result.problems.map(({ path, why }) => `${path} ${why}`); };
  const api = 'api: {certificateFile: /c, keyFile: /k, listen: [{address: 10.0.0.1, port: 8080}]}\n';
  t.same(problems(`${api}sip: {listen: [{transport: tcp, address: "::", port: 8080}]}\n`), ['api.listen[0].port tcp port 8080 is a SIP port']);
  t.same(problems(`${api}sip: {listen: [{transport: udp, address: "::", port: 8080}]}\n`), []);
  for (const key of ['httpPort', 'rtspPort', 'rtmpPort']) {
    const ports = Object.entries({ httpPort: 0, rtspPort: 0, rtmpPort: 0, [key]: 8079 }).map(([name, port]) => `${name}: ${port}`).join(', ');
    t.same(problems(`${api}media: {instances: 2}\noutlets: {address: 0.0.0.0, ${ports}}\n`), [`api.listen[0].port meets outlets.${key} with 2 instances`]);
  }
  t.same(problems(`${api}outlets: {address: 10.0.0.2, httpPort: 8080}\n`), []);
  t.same(problems('sip: {listen: [{transport: tcp, address: 10.0.0.1, port: 8080}]}\noutlets: {address: 0.0.0.0, httpPort: 8080}\n'), ['outlets.httpPort tcp port 8080 is a SIP port']);
  t.same(problems('api: {certificateFile: /c, keyFile: /k, listen: [{address: 10.0.0.1, port: 8080}, {address: 0.0.0.0, port: 8080}]}\n').length, 1);
  t.end();
});

t.test('revisions: kept, bounded, and half a one is none', async t => {
  const where = directory(t);
  const store = new ConfigRevisions(where, undefined, log);
  const add = (text: string, to = store): number => to.add({ text, author: WANG, reason: '因为', changes: 1, atWallMs: 5 });
  for (let n = 1; n <= 230; n++) { add(`node: {name: n${n}}\n`); if (n === 10) store.setCurrent(10); }
  t.equal(readdirSync(where).filter(name => name.endsWith('.rev')).length, 201, '200 and the one in force');
  t.equal(store.text(10), 'node: {name: n10}\n');
  t.equal(store.text(11), undefined);
  store.setCurrent(230);

  const path = (n: number): string => join(where, `${String(n).padStart(8, '0')}.rev`);
  truncateSync(path(230), 40);
  writeFileSync(path(229), readFileSync(path(229), 'utf8').replace('n229', 'n22X'));
  writeFileSync(path(228), Buffer.alloc(300));
  writeFileSync(`${path(231)}.new`, '{"revision":231');
  writeFileSync(join(where, 'state.json'), '{"current":2');
  writeFileSync(join(where, 'pending.json'), '{"phase":"wai');
  const again = new ConfigRevisions(where, 'node: {name: n200}\n', log);
  t.equal(again.current, 200, 'the file says which one is in force');
  t.equal(again.pending, null);
  t.same([230, 229, 228].map(n => again.text(n)), [undefined, undefined, undefined]);
  t.notOk(readdirSync(where).some(name => name.endsWith('.new')));
  t.equal(new ConfigRevisions(where, 'something else\n', log).current, 227, 'else the newest that is whole');
  t.equal(add('x: 1\n', again), 228);
  const { author, reason, state } = again.rows(1)[0]!;
  t.same([author, reason, state], [WANG, '因为', 'past']);
  t.throws(() => writeDurably(join(where, 'nowhere/file'), 'x'), { code: 'STORE_FAILED' });
});

t.test('the audit log: cut anywhere it goes on, and says so; files go on from one another', async t => {
  let wall = 1_000_000;
  const ring = [newKey(systemRandom)];
  const open = (where: string, over = {}): AuditLog => new AuditLog(join(where, 'log'), { time: { wallMs: () => wall, bootMs: () => 7 }, log, head: { path: join(where, 'head'), ring: () => ring, random: systemRandom }, ...over });
  const facts = { author: WANG, action: 'test', target: '北门', before: null, after: { a: 1 }, result: 'done', detail: 'x'.repeat(50) } as const;
  const place = directory(t);
  const where = join(place, 'log');
  const audit = open(place, { fileBytes: 2000 });
  for (let n = 0; n < 40; n++) audit.append(facts);
  t.ok(readdirSync(where).length > 3, 'several files');
  t.same(await audit.verify(), { entries: 40, brokenAt: null, why: null });
  t.same(audit.read(-2, 10).map(({ sequence }) => sequence), [39, 40]);
  t.same(audit.read(17, 3).map(({ sequence }) => sequence), [17, 18, 19]);
  const [first, second] = readdirSync(where).sort();
  const text = readFileSync(join(where, second!), 'utf8');
  writeFileSync(join(where, second!), text.replace('"detail":"xx', '"detail":"yx'));
  t.match(await audit.verify(), { brokenAt: /\d+/, why: /hash/ });
  writeFileSync(join(where, second!), text);
  rmSync(join(where, second!));
  t.match(await audit.verify(), { why: /^entries 7 to 12 are missing$/ });
  writeFileSync(join(where, second!), text);
  const oldest = readFileSync(join(where, first!));
  rmSync(join(where, first!));
  t.match(await audit.verify(), { brokenAt: 1, why: /^entries 1 to \d+ are missing$/ }, 'the oldest may go for want of room only');
  writeFileSync(join(where, first!), oldest);
  audit[Symbol.dispose]();

  const last = join(where, readdirSync(where).sort().at(-1)!);
  const whole = readFileSync(last);
  const half = whole.toString().split('\n').at(-2)!;
  for (const length of [1, 30, half.length]) {
    cpSync(place, join(place, '..', `${basename(place)}-${length}`), { recursive: true });
    const copy = join(place, '..', `${basename(place)}-${length}`);
    t.teardown(() => rmSync(copy, { recursive: true, force: true }));
    appendFileSync(join(copy, 'log', basename(last)), half.slice(0, length));
    using torn = open(copy, { fileBytes: 2000 });
    torn.append(facts);
    t.match(await torn.verify(), { brokenAt: null }, `${length} bytes of an entry that was not finished`);
    t.match([torn.counters.repaired, torn.counters.missing, torn.read(1, 1000).some(({ action }) => action === 'audit.repair')], [1, 0, true]);
  }

  const small = open(directory(t), { fileBytes: 1000, totalBytes: 3000 });
  for (let n = 0; n < 30; n++) small.append(facts);
  t.ok(small.counters.droppedEarly > 0, 'that something went before its time is counted');
  t.match(await small.verify(), { brokenAt: null });
  wall += 86_400_000;
  t.match(small.append({ ...facts, after: 'y'.repeat(100_000) }).after, /left out: 100002 characters/);
  small[Symbol.dispose]();
});

t.test('the audit log: what is cut off, changed or made anew is noticed, also after the keys were changed', async t => {
  let ring = [newKey(systemRandom)];
  const open = (where: string): AuditLog => new AuditLog(join(where, 'log'), { time: { wallMs: () => 1, bootMs: () => 7 }, log, head: { path: join(where, 'head'), ring: () => ring, random: systemRandom } });
  const facts = { author: WANG, action: 'test', target: '北门', before: null, after: null, result: 'done', detail: '' } as const;
  const made = (): { readonly where: string; readonly file: string; readonly head: string } => {
    const where = directory(t);
    using audit = open(where);
    for (let n = 0; n < 5; n++) audit.append(facts);
    return { where, file: join(where, 'log', 'audit-000000000001.jsonl'), head: join(where, 'head') };
  };
  const keep = (text: string, count: number): string => `${text.split('\n').slice(0, 1 + count).join('\n')}\n`;

  const cut = made();
  writeFileSync(cut.file, keep(readFileSync(cut.file, 'utf8'), 2));
  using after = open(cut.where);
  t.match(await after.verify(), { brokenAt: 3, why: 'entries 3 to 5 are missing' });
  t.match(after.read(-1, 1), [{ sequence: 6, action: 'audit.missing', result: 'failed', detail: 'entries 3 to 5 are missing' }]);
  t.equal(after.counters.missing, 1);

  const emptied = made();
  rmSync(join(emptied.where, 'log'), { recursive: true });
  using anew = open(emptied.where);
  t.match(await anew.verify(), { brokenAt: 1, why: 'entries 1 to 5 are missing' });

  const ahead = made();
  const before = readFileSync(ahead.head);
  using writer = open(ahead.where);
  writer.append(facts);
  writeFileSync(ahead.head, before);
  t.match(await writer.verify(), { brokenAt: 7, why: /was changed/ });
  using follows = open(ahead.where);
  t.match(await follows.verify(), { entries: 6, brokenAt: null }, 'power went between the entry and the head');
  t.equal(follows.counters.missing, 0);

  const forged = made();
  const plain = (previous: string, body: string): string => createHash('sha256').update(`${previous}\n${body}`).digest('hex');
  const [header, ...rest] = readFileSync(forged.file, 'utf8').trimEnd().split('\n');
  let hash = '0'.repeat(64);
  const written = rest.map(line => {
    const body = line.replace(/,"hash":"[0-9a-f]{64}"\}$/, '}').replace('"wang"', '"mallory"');
    hash = plain(hash, body);
    return `${body.slice(0, -1)},"hash":"${hash}"}`;
  });
  writeFileSync(forged.file, `${[header, ...written].join('\n')}\n`);
  using found = open(forged.where);
  t.match(await found.verify(), { brokenAt: 1, why: /hash/ }, 'whoever has not the key cannot make the chain anew');
  t.match(found.read(-1, 1), [{ action: 'audit.missing', detail: /not those that were written/ }]);

  const rotated = made();
  const [old] = ring;
  ring = [newKey(systemRandom), ...ring];
  using turning = open(rotated.where);
  turning.reseal();
  turning.append(facts);
  ring = ring.filter(key => key !== old);
  using turned = open(rotated.where);
  t.same([await turned.verify(), turned.counters.missing], [{ entries: 6, brokenAt: null, why: null }, 0]);
  writeFileSync(rotated.head, 'x'.repeat(1024));
  using unread = open(rotated.where);
  t.match(unread.read(-1, 1), [{ action: 'audit.missing', detail: /cannot be read: what stands up to entry 6/ }]);
  t.match(await unread.verify(), { brokenAt: 1 });
});

t.test('a backup opens with its passphrase, whole, and with nothing else', async t => {
  const content = JSON.stringify({ 配置: 'x'.repeat(5000) });
  const file = await sealBackup(content, 'correct horse', systemRandom);
  t.equal(await openBackup(file, 'correct horse'), content);
  t.notMatch(Buffer.from(file).toString('latin1'), /xxxx/);
  await t.rejects(openBackup(file, 'correct house'), { code: 'BAD_REQUEST', message: /passphrase is wrong/ });
  for (const at of [20, 40, file.length - 1]) await t.rejects(openBackup(file.map((byte, i) => (i === at ? byte ^ 1 : byte)), 'correct horse'), { code: 'BAD_REQUEST' });
  for (const length of [0, 5, 30, 60]) await t.rejects(openBackup(file.subarray(0, length), 'correct horse'), { message: /cut off/ });
});
