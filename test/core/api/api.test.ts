import { X509Certificate, createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { appoint, reachOf, rolesWithin, withNewLogin } from '#core/access/appointment.ts';
import { LOGIN_RULE, LockOut } from '#core/access/lock-out.ts';
import { LoginGuard } from '#core/access/login-guard.ts';
import { ACCESS_OF, ROLES, type Role } from '#core/access/roles.ts';
import { API_STATUS, API_WORDS, failureOf } from '#core/api/api-errors.ts';
import { EventRing } from '#core/api/event-ring.ts';
import { passwordProblem } from '#core/api/password-rules.ts';
import { RepeatLog } from '#core/api/repeat-log.ts';
import { MAX_TOKENS, MAX_TOKENS_PER_USER, TokenBook } from '#core/api/token-book.ts';
import { isForbiddenTarget, webhookHostProblem } from '#core/api/webhook-target.ts';
import { MAX_QUEUED, WebhookLine, type WebhookOutput } from '#core/api/webhook-line.ts';
import { HTTP_STATUS } from '#core/result.ts';
import { NEVER, ms, wallMs } from '#core/units.ts';
import { certificate, toBeSigned } from '#core/x509/certificate.ts';

t.test('lock-out: five wrong passwords in ten minutes, for ten minutes; a right one forgives what came before', async t => {
  const guard = new LockOut(LOGIN_RULE);
  for (let i = 0; i < 4; i++) t.equal(guard.fail('chen', ms(i * 1000)), false);
  guard.succeed('chen', ms(5000));
  for (let i = 0; i < 4; i++) t.equal(guard.fail('chen', ms(6000 + i)), false);
  t.equal(guard.fail('chen', ms(7000)), true);
  t.equal(guard.lockedForMs('chen', ms(8000)), 599_000);
  guard.succeed('chen', ms(8000));
  t.ok(guard.isLocked('chen', ms(606_999)), 'a right password does not open the lock');
  t.notOk(guard.isLocked('chen', ms(607_001)));
  t.notOk(guard.isLocked('other', ms(8000)));
  for (let i = 0; i < 5; i++) guard.fail('slow', ms(700_000 + i * 601_000));
  t.notOk(guard.isLocked('slow', ms(700_000 + 4 * 601_000)), 'five over a long time are none');
});

t.test('log-ins: who guesses is locked out where he is, and nobody else', async t => {
  const guard = new LoginGuard();
  const from = (address: string, user = 'chen', isKnown = false) => ({ user, address, isKnown });
  for (let i = 0; i < 5; i++) guard.fail(from('10.0.0.1'), ms(i));
  t.ok(guard.lockedForMs(from('10.0.0.1'), ms(10)) > 590_000);
  t.equal(guard.lockedForMs(from('10.0.0.2'), ms(10)), 0);
  t.equal(guard.lockedForMs(from('10.0.0.1', 'li'), ms(10)), 0);
  for (let i = 0; i < 5; i++) guard.fail(from(`2001:db8::${i + 1}`), ms(20));
  t.ok(guard.lockedForMs(from('2001:db8::99'), ms(21)) > 0, 'an IPv6 customer is one');
  for (let i = 0; i < 20; i++) guard.fail(from('10.0.0.3', `user${i}`), ms(30));
  t.ok(guard.lockedForMs(from('10.0.0.3', 'li'), ms(31)) > 0, 'one who goes through the names');
  for (let i = 0; i < 40; i++) guard.fail(from(`10.1.0.${i}`), ms(40));
  t.ok(guard.lockedForMs(from('10.9.9.9'), ms(41)) > 0);
  t.equal(guard.lockedForMs(from('10.9.9.9', 'chen', true), ms(41)), 0, 'where he was before he may');
  t.match(guard.locksOf('chen', ms(41)), { sites: ['10.0.0.1', '2001:db8::/64'] });
  t.equal(guard.unlock('chen', ms(41)), 3);
  for (const address of ['10.0.0.1', '2001:db8::1', '10.9.9.9']) t.equal(guard.lockedForMs(from(address), ms(42)), 0);
  t.ok(guard.lockedForMs(from('10.0.0.3', 'li'), ms(42)) > 0, 'who guesses at others stays out');
  for (let i = 0; i < 60; i++) guard.fail(from('10.0.0.7', 'wu', true), ms(50));
  t.equal(guard.lockedForMs(from('10.0.0.8', 'wu'), ms(51)), 0, 'his own mistakes lock him nowhere else');
});

t.test('nobody makes anybody more than he is: neither by roles nor by log-ins nor by tokens', async t => {
  t.same(appoint(['viewer', 'admin'], [], ['security']), { roles: ['viewer'], waiting: ['admin'] });
  t.same(appoint(['viewer', 'admin'], ['admin'], ['security']), { roles: ['viewer', 'admin'], waiting: [] }, 'what he has he keeps');
  t.same(withNewLogin({ roles: ['admin', 'operator'], waiting: [] }, ['security']), { roles: ['operator'], waiting: ['admin'] });
  t.same(rolesWithin(ACCESS_OF.admin), ['admin', 'operator', 'viewer']);
  const someRoles = fc.subarray([...ROLES]);
  fc.assert(
    fc.property(someRoles, someRoles, someRoles, (own, held, given) => {
      const fresh = withNewLogin(appoint(given, held, own), own);
      const beyond = fresh.roles.flatMap((role: Role) => ACCESS_OF[role]).filter(access => !reachOf(own).includes(access));
      return beyond.length === 0 && fresh.roles.length + fresh.waiting.length === given.length;
    }),
  );
});

t.test('passwords: length first; what everybody tries, and the own name, are none', async t => {
  for (const bad of ['short', 'a'.repeat(12), 'aabbaabbaabb', 'Password1234', 'viewlink-2026', 'chenchenchen123', 'x'.repeat(129), 'line\nbreak-and-more']) t.type(passwordProblem(bad, 'chen'), 'string', bad);
  for (const good of ['correct horse battery', '大门口的摄像机很多很多的', 'k3-Rw.9xQ-zt']) t.equal(passwordProblem(good, 'chen'), null, good);
  t.match(passwordProblem('correct horse battery', 'chen', 'correct horse battery'), /same as before/);
});

t.test('tokens: until their time, revoked with their owner, bounded', async t => {
  const book = new TokenBook<string>();
  book.issue('h1', 'chen', 'one', 900_000, ms(0));
  t.match(book.find('h1', ms(899_999)), { owner: 'one' });
  t.equal(book.find('h1', ms(900_000)), undefined);
  t.equal(book.find('h2', ms(0)), undefined);
  book.issue('h2', 'li', 'two', 900_000, ms(900_001));
  t.equal(book.size, 1, 'what is over is forgotten');
  book.revokeUser('li');
  t.equal(book.find('h2', ms(900_002)), undefined);
  for (let i = 0; i < MAX_TOKENS_PER_USER + 5; i++) book.issue(`own${i}`, 'chen', 'x', 900_000, ms(1_000_000));
  t.equal(book.find('own4', ms(1_000_000)), undefined, 'the oldest of one user');
  t.match(book.find('own5', ms(1_000_000)), { owner: 'x' });
  for (let i = 0; i < MAX_TOKENS + 50; i++) book.issue(`all${i}`, `user${i}`, 'x', 900_000, ms(1_000_000));
  t.equal(book.size, MAX_TOKENS);
});

t.test('event ring: what was missed comes, and what is gone is said to be', async t => {
  const ring = new EventRing<number>('b1', 3);
  t.same(ring.since('b1.0'), { missed: false, events: [] });
  for (let i = 1; i <= 5; i++) t.equal(ring.put(i).id, `b1.${i}`);
  t.same(ring.since(undefined), { missed: false, events: [] });
  t.same(ring.since('b1.4').events, [{ id: 'b1.5', event: 5 }]);
  t.same(ring.since('b1.5'), { missed: false, events: [] });
  t.match(ring.since('b1.2'), { missed: false, events: [{ event: 3 }, { event: 4 }, { event: 5 }] });
  t.match(ring.since('b1.1'), { missed: true, events: [{ event: 3 }, { event: 4 }, { event: 5 }] });
  for (const strange of ['b0.4', '', '4', 'b1.99', 'b1.-1', 'b1.x', `b1.${'9'.repeat(100)}`]) t.match(ring.since(strange), { missed: true, events: { length: 3 } }, strange);
  fc.assert(fc.property(fc.string(), id => ring.since(id).events.length <= 3));
});

t.test('webhook: in order, again until taken, later each time, bounded', async t => {
  const line = new WebhookLine<number>();
  const put = (item: number, now: number): WebhookOutput<number>[] => line.handle({ type: 'put', item }, ms(now));
  const answer = (status: number | undefined, now: number): WebhookOutput<number>[] => line.handle({ type: 'answer', status }, ms(now));
  t.same(put(1, 0), [{ type: 'send', item: 1, attempt: 1 }]);
  t.same(put(2, 0), []);
  t.same(answer(204, 5), [{ type: 'send', item: 2, attempt: 1 }]);
  const waits: number[] = [];
  let now = 5;
  for (let attempt = 1; attempt <= 12; attempt++) {
    t.same(answer(attempt % 2 === 0 ? 429 : undefined, now), []);
    waits.push(line.deadline - now);
    t.same(line.handle({ type: 'tick' }, ms(line.deadline - 1)), [], 'not before');
    now = line.deadline;
    t.same(line.handle({ type: 'tick' }, ms(now)), [{ type: 'send', item: 2, attempt: attempt + 1 }]);
  }
  t.same(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300].map(seconds => seconds * 1000));
  t.same(answer(200, now), [], 'after six hours');
  t.equal(line.deadline, NEVER);
  t.same(answer(200, now), [], 'nobody asked');
  for (let i = 0; i < MAX_QUEUED; i++) put(i, now);
  t.same(put(-1, now), [{ type: 'dropped', why: 'overflow', item: 1 }], 'the oldest that is not under way');
  t.equal(line.queued, MAX_QUEUED);
  t.same(answer(429, now), [], 'asked to come later');
});

t.test('webhook: an event that the receiver will never take does not keep the others from it; what was left goes on', async t => {
  for (const [status, tries, withinMs] of [[404, 4, 7000], [500, 12, 35 * 60_000]] as const) {
    const line = new WebhookLine<string>(['bad', 'good'], ms(1000));
    t.equal(line.deadline, 1000);
    const sent = [line.handle({ type: 'tick' }, ms(1000))];
    let now = 1000;
    for (let i = 1; i < tries; i++) {
      t.same(line.handle({ type: 'answer', status }, ms(now)), []);
      now = line.deadline;
      sent.push(line.handle({ type: 'tick' }, ms(now)));
    }
    t.same(new Set(sent.map(([output]) => output!.item)), new Set(['bad']));
    t.same(line.handle({ type: 'answer', status }, ms(now)), [{ type: 'dropped', why: 'refused', item: 'bad' }, { type: 'send', item: 'good', attempt: 1 }]);
    t.ok(now - 1000 <= withinMs, `${status}: ${(now - 1000) / 1000} s`);
  }
});

t.test('webhook, whatever happens: at most one under way, nothing twice, order kept', async () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.constant('put'), fc.constant('tick'), fc.constantFrom(200, 404, 500, 429, undefined)), { maxLength: 200 }), steps => {
      const line = new WebhookLine<number>();
      let [now, next, done, sending] = [0, 1, 0, false];
      for (const step of steps) {
        now += 700;
        const outputs = step === 'put' ? line.handle({ type: 'put', item: next++ }, ms(now)) : step === 'tick' ? line.handle({ type: 'tick' }, ms(now)) : line.handle({ type: 'answer', status: step as number | undefined }, ms(now));
        if (step !== 'put' && step !== 'tick') sending = false;
        for (const output of outputs) {
          if (output.type === 'dropped') continue;
          if (sending || output.item < done) throw new Error('two under way, or out of order');
          [sending, done] = [true, output.item];
        }
      }
    }),
  );
});

t.test('webhooks go to receivers, not to what answers only us (fault 83)', async t => {
  for (const bad of ['http://169.254.169.254/latest/meta-data', 'http://127.0.0.1:6379/', 'http://[::1]/', 'http://localhost/', 'http://x.localhost:1/', 'http://0.0.0.0/', 'http://2130706433/', 'http://0x7f.1/', 'http://127.1/', 'http://[fe80::1]/', 'http://[::ffff:127.0.0.1]/', 'http://[::ffff:169.254.1.1]/', 'file:///etc/passwd', 'http://a@b/', 'gopher://x/', 'http://', 'http://224.0.0.1/', 'http://0177.0.0.1/', 'http://0xA9FEA9FE/', 'http://127.0.0.1./', 'http://x.1/', 'http://x.0x7f/', 'http://１２７.0.0.1/', 'http://127。0。0。1/', 'http://%31%32%37.0.0.1/', 'http://ⓛocalhost/', 'http://[::ffff:7f00:1]/', 'http://[::127.0.0.1]/', 'http://[64:ff9b::a9fe:a9fe]/', 'http://[2002:7f00:1::]/', 'http://100.100.100.200/', 'http://[fd00:ec2::254]/', 'http://LOCALHOST./'])
    t.type(webhookHostProblem(bad, false), 'string', bad);
  for (const good of ['https://hooks.example.com/viewlink?x=1', 'http://10.1.2.3:8080/x', 'https://[2001:db8::1]/']) t.equal(webhookHostProblem(good, false), null, good);
  for (const good of ['http://127.0.0.1:8080/', 'http://[::1]:1/', 'http://localhost/']) t.equal(webhookHostProblem(good, true), null, good);
  t.type(webhookHostProblem('http://10.1.2.3/', true), 'string');
  t.ok(isForbiddenTarget('not an address', true));
});

t.test('the same again and again is one line a minute, with how many there were', async t => {
  const log = new RepeatLog();
  t.equal(log.take('login x', ms(0)), 0);
  for (let i = 1; i <= 500; i++) t.equal(log.take('login x', ms(i * 100)), undefined);
  t.equal(log.take('login y', ms(100)), 0);
  t.equal(log.take('login x', ms(60_000)), 500);
  t.equal(log.take('login x', ms(130_000)), 0);
  for (let i = 0; i < 5000; i++) log.take(`from ${i}`, ms(130_000));
  t.equal(log.take('login x', ms(130_001)), 0, 'the oldest of too many is forgotten');
});

t.test('failures: every code has a status and words, and nothing of the inside is told', async t => {
  t.same(Object.keys(API_STATUS).sort(), Object.keys(API_WORDS).sort());
  for (const code of Object.keys(HTTP_STATUS)) t.ok(API_STATUS[code as keyof typeof API_STATUS] >= 400);
  t.same(failureOf('DAEMON_UNREACHABLE', { socket: '/run/viewlink/sipd.sock', why: 'ENOENT' }).detail, {});
  t.same(failureOf('CHANNEL_UNKNOWN', { channel: '1', socket: '/x' }).detail, { channel: '1' });
});

t.test('a self-signed certificate is one that others read', async t => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const made = (notAfter: number, addresses: readonly Uint8Array[]): X509Certificate => {
    const signed = toBeSigned({ name: 'gateway-1', addresses, serial: randomBytes(16), notBefore: wallMs(Date.UTC(2026, 1, 28, 23, 59, 58)), notAfter: wallMs(notAfter), publicKey: publicKey.export({ type: 'spki', format: 'der' }) });
    return new X509Certificate(certificate(signed, sign('sha256', signed, privateKey)));
  };
  const near = made(Date.UTC(2036, 11, 31), [Uint8Array.of(10, 1, 2, 3), Uint8Array.from({ length: 16 }, (_, i) => (i === 15 ? 1 : 0))]);
  t.ok(near.verify(publicKey));
  t.equal(near.subject, 'CN=gateway-1');
  t.equal(near.subjectAltName, 'DNS:gateway-1, IP Address:10.1.2.3, IP Address:0:0:0:0:0:0:0:1');
  t.equal(near.validFrom, 'Feb 28 23:59:58 2026 GMT');
  t.equal(made(Date.UTC(2060, 0, 1, 1, 2, 3), Array.from({ length: 40 }, () => Uint8Array.of(127, 0, 0, 1))).validTo, 'Jan  1 01:02:03 2060 GMT');
  t.equal(near.checkHost('gateway-1'), 'gateway-1');
  t.equal(near.fingerprint256.replaceAll(':', '').toLowerCase(), createHash('sha256').update(near.raw).digest('hex'));
});
