/** Users and tokens of the API on two nodes: each takes changes, and both come to the same. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { z } from 'zod';
import type { UserChanges } from '#contracts/apid.ts';
import type { ClusterReport, NodeRole } from '#contracts/clusterd.ts';
import { type MergedRow, sharedJson, takesPlace, withOwnField } from '#core/api/user-merge.ts';
import { gatewaySchema } from '#core/config/schema.ts';
import { systemClock as clock } from '#kit/clock.ts';
import { Counters } from '#kit/counters.ts';
import { createLog } from '#kit/log.ts';
import { systemRandom as random } from '#kit/random.ts';
import { serveRpc } from '#kit/rpc.ts';
import { UserFollower } from '../../daemons/apid/user-follower.ts';
import { type UserRow, UserStore } from '../../daemons/apid/user-store.ts';
import { until } from '../rig/until.ts';

const silent = createLog('test', 'silent');
const nothing = z.strictObject({}) as z.ZodType<Record<string, never>>;
const directory = mkdtempSync(join(tmpdir(), 'viewlink-users-'));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));

interface PeerRequests {
  userChanges(params: { readonly sinceSeq: number }): UserChanges;
}
interface ClusterRequests {
  report(params: Record<string, never>): ClusterReport;
}

class Node {
  readonly name: string;
  readonly run: string;
  readonly store: UserStore;
  role: NodeRole = 'standby';
  readonly ended: string[] = [];
  replaced = 0;
  follower!: UserFollower;
  other!: Node;

  constructor(name: string) {
    this.name = name;
    this.run = join(directory, name, 'run');
    mkdirSync(join(this.run, 'peer'), { recursive: true });
    this.store = new UserStore(join(directory, name, 'state'), clock, silent);
    t.teardown(() => this.store[Symbol.dispose]());
  }

  async open(other: Node): Promise<void> {
    this.other = other;
    const report = (): ClusterReport => ({ role: this.role, peer: { alive: true, role: this.other.role } }) as ClusterReport;
    const clusterd = await serveRpc<ClusterRequests>(join(this.run, 'clusterd.sock'), { report }, { validate: { report: nothing }, log: silent });
    t.teardown(() => clusterd[Symbol.asyncDispose]());
    // What the other node reaches of us.
    const peer = await serveRpc<PeerRequests>(join(other.run, 'peer/apid.sock'), { userChanges: ({ sinceSeq }) => this.store.journal.changes(sinceSeq) }, { validate: { userChanges: z.strictObject({ sinceSeq: z.int() }) }, log: silent });
    t.teardown(() => peer[Symbol.asyncDispose]());
    this.follower = new UserFollower({ journal: this.store.journal, clock, random, counters: new Counters(), log: silent, onChanged: users => void this.ended.push(...users), onReplaced: () => void (this.replaced += 1) });
    t.teardown(() => this.follower[Symbol.asyncDispose]());
  }

  async follow(): Promise<void> {
    const pair = { nodes: [{ name: 'a', link: '10.98.0.1', lan: '10.97.0.1' }, { name: 'b', link: '10.98.0.2', lan: '10.97.0.2' }], key: 'k'.repeat(40) };
    await this.follower.configure(gatewaySchema.parse({ node: { name: this.name }, cluster: pair, rpc: { directory: this.run } }));
  }

  get names(): string {
    return this.store.users().map(({ name, disabled }) => (disabled ? `(${name})` : name)).join();
  }
}

const user = (name: string, more: Partial<UserRow> = {}): UserRow => ({ name, kind: 'person', roles: ['viewer'], waiting: null, channels: ['*'], passwordHash: `hash of ${name}`, mustChangePassword: false, disabled: false, certificateSha256: null, createdAtWallMs: 1, lastLoginWallMs: null, ...more });
const token = (hash: string, name: string) => ({ hash, kind: 'api', user: name, label: hash, accesses: null, reach: null, used: false, createdAtWallMs: 1, expiresAtWallMs: null }) as const;

const [a, b] = [new Node('a'), new Node('b')];
a.role = 'active';

t.test('the node that joins takes the users of the active one for its own', async t => {
  a.store.put(user('officer', { roles: ['security'] }));
  a.store.put(user('gone-before'));
  a.store.delete('gone-before');
  for (let i = 0; i < 5; i++) b.store.put(user('stranger', { channels: [`${i}`] }));
  await a.open(b);
  await b.open(a);
  await Promise.all([a.follow(), b.follow()]);
  await until('b has them', () => b.names === 'officer');
  t.equal(b.replaced, 1);
  t.equal(a.names, 'officer');
});

t.test('whoever is made, changed or shut out at one node is so at the other within two seconds', async t => {
  b.store.put(user('wang', { lastLoginWallMs: 7 }));
  a.store.putToken(token('t1', 'officer'), 1);
  await until('both have both', () => a.names === 'officer,wang' && b.store.token('t1') !== undefined, 2000);
  t.equal(a.store.user('wang')!.lastLoginWallMs, null, 'when he logged in there is known there');
  t.equal(b.store.user('wang')!.lastLoginWallMs, 7);
  a.ended.length = b.ended.length = 0;
  a.store.put({ ...a.store.user('wang')!, disabled: true });
  a.store.deleteToken('t1');
  await until('he is shut out there too', () => b.names === 'officer,(wang)' && b.store.token('t1') === undefined, 2000);
  t.same([...b.ended].sort(), ['officer', 'wang'], 'and what they were logged in to ends');
  t.equal(b.store.user('wang')!.lastLoginWallMs, 7);
  a.store.delete('wang');
  await until('he is gone', () => b.names === 'officer', 2000);
});

t.test('a log-in is no change: it never opens what was shut at the other node', async t => {
  const { seq } = b.store.journal.changes(0);
  b.store.put({ ...b.store.user('officer')!, lastLoginWallMs: 99 });
  b.store.putToken({ ...token('r1', 'officer'), kind: 'refresh', expiresAtWallMs: 9e15 }, 1);
  t.same(b.store.journal.changes(seq).rows, []);
});

t.test('fault 107: the other node is of the next release: what only that one knows of a user survives here, and permits nothing', async t => {
  const ofTomorrow = (name: string, more: object = {}): UserRow => ({ ...user(name, { roles: ['viewer'] }), clearance: 'two', ...more }) as UserRow;
  const rolesAt = (node: Node, name: string): readonly string[] => (JSON.parse(node.store.journal.changes(0).rows.find(({ place }) => place === `user ${name}`)!.json!) as { roles: string[] }).roles;
  const chen = ofTomorrow('chen', { roles: ['viewer', 'archivist'] });
  // As its own store would write it.
  a.store.journal.take({ line: a.store.journal.line, seq: a.store.journal.peerSeq, last: true, rows: [{ place: 'user chen', version: 1, json: sharedJson(JSON.stringify(chen)) }] });
  await until('he is here', () => b.store.user('chen') !== undefined, 10_000);
  t.same(b.store.journal.take({ line: b.store.journal.line, seq: b.store.journal.peerSeq, last: true, rows: [{ place: 'group keepers', version: 1, json: '{"members":["chen"]}' }] }), { users: [], clashes: [] }, 'rows of a kind that is not known here');
  t.same([b.store.user('chen')!.roles, rolesAt(b, 'chen')], [['viewer'], ['viewer', 'archivist']]);
  t.same(b.store.users().flatMap(({ roles }) => roles), ['viewer', 'security']);
  const { seq } = b.store.journal.changes(0);
  b.store.put({ ...b.store.user('chen')!, lastLoginWallMs: 5 });
  t.same(b.store.journal.changes(seq).rows, [], 'his log-in is no change of him');
  b.store.put({ ...b.store.user('chen')!, disabled: true });
  await until('he is shut out there', () => a.names.includes('(chen)'), 10_000);
  t.match(a.store.user('chen'), { disabled: true, clearance: 'two' });
  t.same(rolesAt(a, 'chen'), ['viewer', 'archivist']);
  b.store.put({ ...b.store.user('chen')!, roles: ['operator'] });
  await until('his new roles are there', () => a.store.user('chen')!.roles.join() === 'operator', 10_000);
  t.same(rolesAt(a, 'chen'), ['operator'], 'who gives him others takes those');
  a.store.delete('chen');
  await until('he is gone', () => b.store.user('chen') === undefined, 10_000);
});

t.test('fault 107: the other node is of the release before: what its users lack is filled in', async t => {
  const { waiting: _, ...before } = user('zhao');
  b.store.journal.take({ line: b.store.journal.line, seq: b.store.journal.peerSeq, last: true, rows: [{ place: 'user zhao', version: 1, json: sharedJson(JSON.stringify(before)) }] });
  t.match(b.store.user('zhao'), { waiting: null, roles: ['viewer'] });
  await until('and he goes on', () => a.store.user('zhao') !== undefined, 10_000);
  b.store.delete('zhao');
  await until('he is gone', () => a.store.user('zhao') === undefined, 10_000);
});

t.test('a certificate that was given at both nodes belongs to nobody twice', async t => {
  const sha = 'c'.repeat(64);
  await b.follower[Symbol.asyncDispose]();
  a.store.put(user('p1', { certificateSha256: sha }));
  b.store.put(user('p2', { certificateSha256: sha }));
  const { users, clashes } = b.store.journal.take(a.store.journal.changes(b.store.journal.peerSeq));
  t.same([users, clashes], [['p1'], ['p1']]);
  t.equal(b.store.byCertificate(sha)!.name, 'p2');
});

t.test('merging: whatever the order, the same is left, and of equals the stricter one', async t => {
  const row = fc.record({ place: fc.constant('user x'), version: fc.integer({ min: 1, max: 3 }), json: fc.constantFrom(null, '{"disabled":true}', '{"disabled":false}', '{"disabled":false,"roles":[]}') });
  const left = (rows: readonly MergedRow[]): MergedRow | undefined => rows.reduce<MergedRow | undefined>((ours, theirs) => (takesPlace(theirs, ours) ? theirs : ours), undefined);
  fc.assert(fc.property(fc.array(row, { minLength: 1, maxLength: 6 }), rows => JSON.stringify(left(rows)) === JSON.stringify(left([...rows].reverse()))));
  t.equal(left([{ place: 'u', version: 1, json: '{"disabled":true}' }, { place: 'u', version: 1, json: '{"disabled":false}' }])!.json, '{"disabled":true}');
  t.equal(left([{ place: 'u', version: 1, json: null }, { place: 'u', version: 2, json: '{}' }])!.json, '{}');
  t.equal(sharedJson('{"name":"x","lastLoginWallMs":5}'), '{"name":"x"}');
  t.equal(withOwnField('{"name":"x"}', '{"lastLoginWallMs":5}'), '{"name":"x","lastLoginWallMs":5}');
  t.equal(sharedJson('no JSON'), 'no JSON');
});
