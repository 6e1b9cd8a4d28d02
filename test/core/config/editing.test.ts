/** Paths, steps, differences, completion, migrations, and the automaton of a commit. */
import fc from 'fast-check';
import t from 'tap';
import { ConfigCommit, type CommitInput, type CommitOutput } from '#core/config/commit.ts';
import { completeConfig, isSecretPath } from '#core/config/complete.ts';
import { asSteps, difference, overlapOf, shown } from '#core/config/difference.ts';
import { sameValue } from '#core/config/diff.ts';
import type { Json } from '#core/config/json.ts';
import { migrate } from '#core/config/migrate.ts';
import type { Migration } from '#core/config/migrations/migration.ts';
import { applyStep, readValue } from '#core/config/patch.ts';
import { formatPath, parsePath, type PathStep, readPath } from '#core/config/path.ts';
import { msUntilReturn } from '#core/config/pending.ts';
import { everyNode, SCHEMA_TREE, type SchemaNode } from '#core/config/schema-tree.ts';
import { ms } from '#core/units.ts';

const CITY = { name: 'city', id: '34010000002000000001', address: '10.0.0.1', localId: '34020000002000000009', password: 'x' };
const VALUE: Json = { upstreams: [CITY], devices: { known: [{ id: '34020000001110000001', password: 'x' }, { id: '7', password: 'y' }] }, sip: { listen: [{ transport: 'udp', address: '10.0.0.2' }] } };

/** Any good value of a leaf, and unfinished objects and lists of them. */
const valueOf = (node: SchemaNode): fc.Arbitrary<Json> => {
  if (node.kind === 'list') return fc.array(valueOf(node.item), { maxLength: 3 });
  if (node.kind === 'object') return fc.record(Object.fromEntries([...node.fields].map(([key, field]) => [key, valueOf(field)])), { requiredKeys: [] }) as fc.Arbitrary<Json>;
  if (node.type === 'boolean') return fc.boolean();
  if (node.type !== 'string') return fc.integer({ min: Math.ceil(node.min ?? 0), max: Math.floor(node.max ?? 1000) });
  return node.words.length > 0 ? fc.constantFrom(...node.words) : fc.stringMatching(/^[0-9a-z.]{0,12}$/);
};
const SMALL = ['node', 'sip', 'upstreams', 'media', 'outlets', 'inlets'].map(key => SCHEMA_TREE.fields.get(key)!);
const documents = fc.record(Object.fromEntries(SMALL.map(node => [node.at, valueOf(node)])), { requiredKeys: [] }) as fc.Arbitrary<Json>;

t.test('paths: both ways, words as well, and what is none', async t => {
  const steps: readonly PathStep[] = [{ key: 'devices' }, { key: 'known' }, { entry: '34020000001110000001' }, { key: 'password' }];
  t.same(parsePath('devices.known[34020000001110000001].password'), { ok: true, value: steps });
  for (const text of ['devices.known[34020000001110000001].password', 'devices known 34020000001110000001 password', 'devices.known 34020000001110000001.password', 'devices.known["34020000001110000001"].password']) {
    const bound = readPath(text);
    t.same(typeof bound === 'string' ? bound : formatPath(bound.steps), 'devices.known[34020000001110000001].password', text);
  }
  for (const [text, why] of [['upstreams.', /missing/], ['a..b', /no such key/], ['a[', /expected \[KEY\]/], ['upstreams[city].port.x', /nothing stands below/], ['node[x]', /no list/], ['nope', /known here: version, node/], ['x'.repeat(2000), /1024/], ['__proto__', /no such key/], ['constructor', /no such key/]] as const) t.match(readPath(text), why, text);
  const step = fc.oneof(fc.record({ key: fc.stringMatching(/^[A-Za-z0-9_-]{1,8}$/) }), fc.record({ entry: fc.string({ minLength: 1, maxLength: 8 }) }));
  fc.assert(fc.property(fc.array(step, { maxLength: 8 }), one => { const read = parsePath(formatPath(one)); return read.ok && sameValue(read.value, one.map(each => ({ ...each }))); }), { numRuns: 500 });
  fc.assert(fc.property(fc.string({ maxLength: 40 }), text => typeof parsePath(text).ok === 'boolean'));
});

t.test('steps: by key and by index; what the schema cannot hold is refused in a sentence without the value', async t => {
  const after = (path: string, value: Json): Json => { const result = applyStep(VALUE, { op: 'set', path, value }); if (!result.ok) throw new Error(result.why); return result.value; };
  t.match(after('upstreams[city].port', 5061), { upstreams: [{ name: 'city', port: 5061 }] });
  t.match(after('upstreams[0].port', 5061), { upstreams: [{ name: 'city', port: 5061 }] });
  t.match(after('devices.known[7].nat', true), { devices: { known: [{}, { id: '7', nat: true }] } }, 'a key goes before an index');
  t.match(after('upstreams[county].port', 5062), { upstreams: [CITY, { name: 'county', port: 5062 }] }, 'a new entry has its key');
  t.match(after('sip.listen[1].address', '10.0.0.3'), { sip: { listen: [{}, { address: '10.0.0.3' }] } });
  t.match(after('media.ports.first', 20_000), { media: { ports: { first: 20_000 } } }, 'with what is around it');
  const refusal = (op: 'set' | 'delete', path: string, value: Json = null): string => { const result = applyStep(VALUE, op === 'set' ? { op, path, value } : { op, path }); return result.ok ? 'done' : result.why; };
  t.match(refusal('set', 'upstreams[city].port', 99_999), /upstreams\[city\]\.port: .*65535/);
  t.match(refusal('set', 'sip.listen[5].address', '10.0.0.3'), /a new one is number 1/);
  t.match(refusal('set', 'upstreams[city]', { ...CITY, name: 'other' }), /its name is not city/);
  t.match(refusal('set', 'upstreams[city].password', '***'), /give the secret itself/);
  t.notMatch(refusal('set', 'upstreams[city].ha1', 'CANARY'), /CANARY/);
  t.match(refusal('delete', 'upstreams[nowhere].port'), /upstreams\[nowhere\] is not set/);
  t.match(refusal('set', '', 1), /a path is missing/);
  t.same([readValue(SCHEMA_TREE.fields.get('log')!, '{"level":"info"}'), readValue(readNode('upstreams[x].port'), '5060'), readValue(readNode('upstreams[x].enabled'), 'false'), readValue(readNode('upstreams[x].networks'), '10.0.0.0/8, 10.1.1.1'), readValue(readNode('upstreams[x].id'), '34020000002000000001')], [{ level: 'info' }, 5060, false, ['10.0.0.0/8', '10.1.1.1'], '34020000002000000001']);
});

const readNode = (path: string): SchemaNode => { const bound = readPath(path); if (typeof bound === 'string') throw new Error(bound); return bound.node; };

t.test('a difference is what makes the one of the other', async t => {
  t.same(difference(VALUE, VALUE), []);
  fc.assert(
    fc.property(documents, documents, (before, after) => {
      const made = asSteps(difference(before, after)).reduce<Json>((value, step) => { const result = applyStep(value, step, { stored: true }); if (!result.ok) throw new Error(`${step.path}: ${result.why}`); return result.value; }, before);
      return difference(made, after).length === 0;
    }),
    { numRuns: 300 },
  );
  const changes = difference(VALUE, { ...(VALUE as object), upstreams: [{ ...CITY, password: 'z', port: 1 }], sip: {} });
  t.same(changes.map(shown).map(({ path, kind, before, after }) => [path, kind, before, after]), [['sip.listen', 'removed', [{ transport: 'udp', address: '10.0.0.2' }], null], ['upstreams[city].port', 'added', null, 1], ['upstreams[city].password', 'changed', '***', '***']]);
  t.equal(overlapOf(changes, difference(VALUE, { ...(VALUE as object), node: { name: 'x' } })), null);
  t.ok(overlapOf(changes, difference(VALUE, { ...(VALUE as object), upstreams: [] })), 'the whole entry and a key of it');
});

t.test('every default fits where it is one, and every leaf can be typed', async t => {
  for (const node of everyNode(SCHEMA_TREE)) if (node.defaultValue !== undefined) t.ok(node.schema.safeParse(node.defaultValue).success, node.at);
  for (const node of everyNode(SCHEMA_TREE)) if (node.kind === 'leaf' && node.words.length > 0) t.ok(node.schema.safeParse(node.words[0]).success, node.at);
});

t.test('completion: keys, entries, words, bounds, help in both languages', async t => {
  const words = (...path: string[]): string[] => completeConfig(path, VALUE).map(({ word }) => word);
  t.match(words(), ['version', 'node', 'sip']);
  t.same(words('upstreams'), ['city', '<name>']);
  t.same(words('sip', 'listen'), ['0', '1']);
  t.same(words('upstreams', 'city', 'enabled'), ['true', 'false']);
  t.same(words('upstreams[city].transport'), ['udp', 'tcp']);
  t.same(words('devices', 'known', '7', 'password'), ['<secret>']);
  t.same(words('nowhere'), []);
  t.match(completeConfig(['upstreams', 'new', 'port'], VALUE)[0], { word: '<integer>', help: 'its SIP port (1 to 65535; default 5060)' });
  t.match(completeConfig(['upstreams', 'new', 'port'], VALUE, 'zh')[0], { help: /上级的 SIP 端口/ });
  t.ok(isSecretPath(['upstreams', 'city', 'password']) && !isSecretPath(['upstreams', 'city', 'port']) && !isSecretPath(['nowhere']));
});

t.test('migrations: in order, from the first version on; a newer file is refused', async t => {
  const renamed: Migration = { to: 2, what: 'a name', steps: () => [{ op: 'rename', place: ['node', 'title'], to: 'name' }] };
  const split: Migration = { to: 3, what: 'a level', steps: value => ((value as { verbose?: boolean }).verbose === true ? [{ op: 'delete', place: ['verbose'] }, { op: 'set', place: ['log', 'level'], value: 'debug' }] : []) };
  t.match(migrate({ node: { title: 'a' }, verbose: true }, [renamed, split]), { value: { node: { name: 'a' }, log: { level: 'debug' }, version: 3 } });
  t.match(migrate({ version: 2, node: { name: 'a' } }, [renamed, split]), { value: { version: 3, node: { name: 'a' } } });
  t.same(migrate({ version: 3 }, [renamed, split]), { value: { version: 3 }, steps: [] });
  t.match(migrate({ version: 4 }, [renamed, split]), /version 4 of the schema; this software knows versions up to 3/);
  for (const version of [0, 1.5, 'two', []]) t.match(migrate({ version }), /version: expected/);
});

/** The automaton with everybody answering as `answers` says; what it did, in order. */
function play(daemons: readonly string[], answers: Readonly<Record<string, string | null>>, confirmWithinMs: number | null = null): { readonly did: string[]; readonly commit: ConfigCommit; feed(input: CommitInput, now?: number): void } {
  const did: string[] = [];
  const begun = ConfigCommit.begin({ daemons, confirmWithinMs });
  const answerTo = (output: CommitOutput): CommitInput | null => {
    did.push([output.type, 'daemon' in output ? output.daemon : 'which' in output ? output.which : 'how' in output ? output.how : ''].join(' ').trim());
    if (output.type === 'check') return { type: 'checked', daemon: output.daemon, refused: answers[`check ${output.daemon}`] ?? null };
    if (output.type === 'apply') return { type: 'applied', daemon: output.daemon, refused: did.filter(one => one === `apply ${output.daemon}`).length === 1 ? (answers[`apply ${output.daemon}`] ?? null) : null };
    if (output.type !== 'write') return null;
    const why = answers[`write ${output.which}`];
    return why === undefined || why === null ? { type: 'written' } : { type: 'write-failed', why };
  };
  const follow = (outputs: readonly CommitOutput[], now: number): void => {
    for (const output of outputs) {
      const input = answerTo(output);
      if (input !== null) follow(begun.commit.handle(input, ms(now)), now);
    }
  };
  follow(begun.outputs, 0);
  return { did, commit: begun.commit, feed: (input, now = 0) => follow(begun.commit.handle(input, ms(now)), now) };
}

t.test('a commit: all, or none, or back', async t => {
  t.same(play(['m', 's'], {}).did, ['check m', 'check s', 'write new', 'apply m', 'apply s', 'ended committed']);
  t.same(play([], {}).did, ['write new', 'ended committed'], 'nobody runs');
  t.same(play(['m', 's'], { 'check s': 'no' }).did, ['check m', 'check s', 'ended aborted']);
  t.same(play(['m'], { 'write new': 'ENOSPC' }).did, ['check m', 'write new', 'ended aborted']);
  const refused = play(['m', 's', 'z'], { 'apply s': 'died' });
  t.same(refused.did, ['check m', 'check s', 'check z', 'write new', 'apply m', 'apply s', 'write old', 'apply m', 'apply s', 'apply z', 'ended returned']);
  t.same(refused.commit.refusals, [{ daemon: 's', why: 'died' }]);

  const waiting = play(['m'], {}, 60_000);
  t.same(waiting.did.slice(-1), ['waiting']);
  t.equal(waiting.commit.deadline, 60_000);
  waiting.feed({ type: 'tick' }, 59_999);
  t.equal(waiting.commit.phase, 'waiting');
  waiting.feed({ type: 'tick' }, 60_000);
  t.same(waiting.did.slice(-3), ['write old', 'apply m', 'ended returned']);
  waiting.feed({ type: 'confirm' }, 60_001);
  t.equal(waiting.did.at(-1), 'ended returned', 'too late');
  const confirmed = play(['m'], {}, 60_000);
  confirmed.feed({ type: 'confirm' }, 1);
  t.same([confirmed.did.at(-1), confirmed.commit.deadline], ['ended committed', Infinity]);

  const stuck = play(['m'], { 'write old': 'EROFS' }, 1000);
  stuck.feed({ type: 'return', why: 'now' }, 10);
  t.same([stuck.commit.phase, stuck.commit.deadline], ['stuck', 5010]);
  stuck.commit.meet(['m', 'n']);
  stuck.feed({ type: 'tick' }, 5010);
  t.same(stuck.did.slice(-1), ['write old'], 'it tries again');
  t.same(stuck.commit.deadline, 10_010);
  t.same(ConfigCommit.resume(['m'], ms(5), ms(5), 'late').outputs, [{ type: 'write', which: 'old' }]);
  t.same(ConfigCommit.resume(['m'], ms(6), ms(5), 'late').outputs, []);
});

t.test('how long it waits still, by whichever clock can be believed', async t => {
  const pending = { phase: 'waiting', revision: 2, returnsTo: 1, deadlineWallMs: 1_060_000, deadlineBootMs: 160_000, armedWallMs: 1_000_000, bootId: 'a' } as const;
  t.equal(msUntilReturn(pending, { wallMs: 1_010_000, bootMs: 110_000, bootId: 'a' }), 50_000);
  t.equal(msUntilReturn(pending, { wallMs: 9_000_000, bootMs: 110_000, bootId: 'a' }), 50_000, 'the wall clock was set: nothing changes');
  t.equal(msUntilReturn(pending, { wallMs: 1_010_000, bootMs: 3000, bootId: 'b' }), 50_000, 'after a reboot it goes on');
  t.ok(msUntilReturn(pending, { wallMs: 2_000_000, bootMs: 3000, bootId: 'b' }) < 0);
  t.equal(msUntilReturn(pending, { wallMs: 500, bootMs: 3000, bootId: 'b' }), 0, 'after a reboot into 1970');
  t.ok(msUntilReturn({ ...pending, bootId: '' }, { wallMs: 2_000_000, bootMs: 110_000, bootId: '' }) < 0, 'where the system does not say which boot it is');
  t.equal(msUntilReturn({ ...pending, phase: 'applying' }, { wallMs: 1_010_000, bootMs: 110_000, bootId: 'a' }), 0);
});

t.test('an entry named like an index is not the entry with that index', async t => {
  const made = applyStep({ upstreams: [{ name: '.' }] }, { op: 'set', path: 'upstreams[0]', value: { name: '0' } }, { stored: true });
  t.same(made.ok && made.value, { upstreams: [{ name: '.' }, { name: '0' }] });
});
