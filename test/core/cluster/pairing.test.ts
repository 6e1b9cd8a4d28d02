import fc from 'fast-check';
import t from 'tap';
import { fingerprintDigits, formatPairingCode, parsePairingCode, secretDigits } from '#core/cluster/pairing-code.ts';
import { newNodeSteps, pairSteps } from '#core/cluster/pairing-config.ts';
import { formatLine, helloSchema, misfit, parseLine, refusedLine, refusedSchema } from '#core/cluster/pairing-lines.ts';
import { type PairingInput, PairingWindow } from '#core/cluster/pairing.ts';
import { gatewaySchema } from '#core/config/schema.ts';
import { NEVER, ms, wallMs } from '#core/units.ts';

const DIGITS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const MINUTE = 60_000;
const numbers = fc.array(fc.nat({ max: 31 }), { minLength: 20, maxLength: 20 });
const hash = fc.uint8Array({ minLength: 32, maxLength: 32 }).map(bytes => Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join(''));

t.test('a code as it stands on paper, both ways', async t => {
  const parts = { secret: secretDigits(Array.from({ length: 20 }, (_, i) => i)), fingerprint: fingerprintDigits('ffffffffffff' + '0'.repeat(52)) };
  const code = '01234-56789-ABCDE-FGHJK-ZZZZZ-ZZZZ9';
  t.equal(formatPairingCode(parts).slice(0, -1), code.slice(0, -1));
  t.same(parsePairingCode(formatPairingCode(parts)), { ok: true, value: parts });
  t.same(parsePairingCode(` ${formatPairingCode(parts).toLowerCase().replaceAll('-', ' ').replace('0', 'o').replace('1', 'l')} `), { ok: true, value: parts }, 'as people type it');
  t.match(parsePairingCode(code.slice(0, 20)), { ok: false, error: { why: 'a code has 30 characters, these are 17' } });
  t.match(parsePairingCode('U1234'), { ok: false, error: { at: 0, why: 'no character of a code' } });
  t.match(parsePairingCode('0'.repeat(65)), { ok: false, error: { why: 'too long for a code' } });
  t.equal(fingerprintDigits('00'.repeat(32)), '000000000');
  t.equal(fingerprintDigits('0842108421' + '0'.repeat(54)), '111111110', 'five bits each');
});

t.test('every wrong character is found, and every two that changed places', async t => {
  fc.assert(
    fc.property(numbers, hash, fc.nat({ max: 29 }), fc.nat({ max: 29 }), fc.nat({ max: 31 }), (secret, sha256, i, j, other) => {
      const code = formatPairingCode({ secret: secretDigits(secret), fingerprint: fingerprintDigits(sha256) }).replaceAll('-', '');
      t.ok(parsePairingCode(code).ok);
      const wrong = code.slice(0, i) + DIGITS[other]! + code.slice(i + 1);
      t.equal(parsePairingCode(wrong).ok, wrong === code);
      const swapped = Array.from(code, (digit, at) => (at === i ? code[j]! : at === j ? code[i]! : digit)).join('');
      t.equal(parsePairingCode(swapped).ok, swapped === code);
    }),
    { numRuns: 300, seed: 28181 },
  );
});

const opened = (): PairingWindow => {
  const window = new PairingWindow();
  window.handle({ type: 'open', lifeMs: 10 * MINUTE }, ms(0));
  return window;
};
const proof = (window: PairingWindow, right: boolean, at: number): unknown => window.handle({ type: 'proof', right }, ms(at)).map(output => (output.type === 'verdict' ? output.verdict : output.type));

t.test('a window: the right code once, five wrong ones, and the time', async t => {
  const joined = opened();
  t.same(proof(joined, false, 1), ['wrong']);
  t.same(proof(joined, true, 2), ['right']);
  t.same(proof(joined, true, 3), ['busy'], 'a second one with the same code');
  t.same(joined.handle({ type: 'joined', attempt: 1 }, ms(4)), [{ type: 'shut' }]);
  t.same(proof(joined, true, 5), [], 'a code works once');
  t.equal(joined.deadline, NEVER);

  const refused = opened();
  proof(refused, true, 1);
  refused.handle({ type: 'not-joined', attempt: 1 }, ms(2));
  t.same(proof(refused, true, 3), ['right'], 'who was refused for his clock sets it and comes again');

  const guessed = opened();
  for (let i = 0; i < 4; i++) proof(guessed, false, i);
  t.equal(guessed.state, 'open');
  t.same(proof(guessed, false, 5), ['wrong']);
  t.same(proof(guessed, true, 6), ['locked']);
  t.same(proof(guessed, false, 7), ['locked']);
  t.same(guessed.handle({ type: 'tick' }, guessed.deadline), [{ type: 'shut' }]);

  const late = opened();
  t.equal(late.deadline, 10 * MINUTE);
  t.same(proof(late, true, 10 * MINUTE), ['expired']);
  t.same(proof(late, false, 10 * MINUTE + 1), ['wrong'], 'who does not know the code learns nothing');
  t.same(late.handle({ type: 'tick' }, ms(20 * MINUTE)), [{ type: 'shut' }]);
});

t.test('while one is let in the code may end, or be guessed at: it ends when that is over', async t => {
  const late = opened();
  proof(late, true, 10 * MINUTE - 1);
  t.same(proof(late, true, 10 * MINUTE + 5), ['busy']);
  late.handle({ type: 'not-joined', attempt: 1 }, ms(10 * MINUTE + 10));
  t.equal(late.state, 'expired');
  const guessed = opened();
  proof(guessed, true, 1);
  for (let i = 0; i < 5; i++) proof(guessed, false, 2);
  t.equal(guessed.state, 'busy');
  guessed.handle({ type: 'not-joined', attempt: 1 }, ms(3));
  t.equal(guessed.state, 'locked');
  const silent = opened();
  proof(silent, true, 1);
  silent.handle({ type: 'tick' }, silent.deadline);
  t.equal(silent.state, 'open', 'one that never ends is given up');
  proof(silent, true, 2 * MINUTE);
  t.same(silent.handle({ type: 'joined', attempt: 1 }, ms(3 * MINUTE)), [], 'and is not heard any more');
  t.same(silent.handle({ type: 'joined', attempt: 2 }, ms(3 * MINUTE)), [{ type: 'shut' }]);
});

t.test('whatever comes: never more than five guesses, never two at once, and it always ends', async t => {
  const attempt = fc.integer({ min: 1, max: 4 });
  const inputs: fc.Arbitrary<PairingInput> = fc.oneof(fc.record({ type: fc.constant('proof' as const), right: fc.boolean() }), fc.record({ type: fc.constantFrom('joined' as const, 'not-joined' as const), attempt }), fc.constant({ type: 'tick' } as const));
  fc.assert(
    fc.property(fc.array(fc.tuple(inputs, fc.nat({ max: 2 * MINUTE })), { maxLength: 60 }), steps => {
      const window = opened();
      let [now, wrong, joined] = [0, 0, 0];
      for (const [input, waitMs] of steps) {
        now += waitMs;
        const [before, inside] = [window.state, window.attempt !== null && now < window.deadline];
        for (const output of window.handle(input, ms(now))) {
          if (output.type === 'verdict' && output.verdict === 'right') t.ok(!inside && wrong < 5 && now < 10 * MINUTE && joined === 0);
          if (output.type === 'verdict' && output.verdict === 'wrong' && before !== 'expired' && window.state !== 'expired') wrong += 1;
          if (output.type === 'shut' && input.type === 'joined') joined += inside ? 1 : 0;
        }
      }
      t.ok(joined <= 1);
      for (let i = 0; i < 5 && window.deadline !== NEVER; i++) window.handle({ type: 'tick' }, window.deadline);
      t.equal(window.state, 'closed');
    }),
    { numRuns: 300, seed: 28181 },
  );
});

t.test('lines, and who does not fit', async t => {
  const hello = { format: 1 as const, proof: 'ab'.repeat(32), publicKey: 'AAAA', wallMs: 1_800_000_000_000, release: '0.1.0', schemaVersion: 3, localAddress: '10.98.0.2', wishes: { name: 'b', link: null, lan: null, media: null } };
  t.same(parseLine(helloSchema, formatLine(hello).trimEnd()), { ok: true, value: hello });
  t.match(parseLine(helloSchema, formatLine({ ...hello, wishes: { ...hello.wishes, name: 'x; rm -rf /' } })), { ok: false, error: { why: 'wishes.name' } });
  t.match(parseLine(helloSchema, formatLine({ ...hello, more: 1 })), { ok: false });
  t.match(parseLine(helloSchema, '{'), { ok: false, error: { why: 'no JSON' } });
  t.equal((parseLine(refusedSchema, refusedLine('x'.repeat(5000))) as { value: { refused: string } }).value.refused.length, 2000);
  const ours = { wallMs: wallMs(hello.wallMs), schemaVersion: 3, release: '0.2.0' };
  t.equal(misfit(hello, ours), null);
  t.equal(misfit({ ...hello, schemaVersion: 4 }, ours), null, 'a newer one brings it up to date');
  t.match(misfit({ ...hello, schemaVersion: 2 }, ours), /release 0\.1\.0 of the new node cannot read the configuration of release 0\.2\.0: update it first/);
  t.match(misfit({ ...hello, wallMs: 946_684_800_000 }, ours), /the clocks differ by 27 years: it is 2000-01-01T08:00:00.* on the new node and 2027-/);
  t.match(misfit({ ...hello, wallMs: hello.wallMs + 6 * MINUTE }, ours), /differ by 6 minutes/);
  t.equal(misfit({ ...hello, wallMs: hello.wallMs - 4 * MINUTE }, ours), null);
});

t.test('what becomes of the configuration of either node', async t => {
  const own = { name: 'a', link: '10.98.0.1', lan: '10.97.0.1', mediaAddress: '' };
  const peer = { name: 'b', link: '10.98.0.2', lan: '10.97.0.2', mediaAddress: '10.97.0.12/24' };
  const alone = gatewaySchema.parse({ sip: { listen: [{ transport: 'udp', address: '10.97.0.1', port: 5060 }, { transport: 'udp', address: '10.99.0.1', port: 5060 }] } });
  const steps = pairSteps(alone, { own, sipAddress: '10.97.0.100/24', interface: 'eth0' }, peer, 'k'.repeat(43));
  const value = (path: string): unknown => steps.find(step => step.path === path && step.op === 'set') && (steps.find(step => step.path === path) as { value: unknown }).value;
  t.same(value('cluster.nodes'), [{ name: 'a', link: '10.98.0.1', lan: '10.97.0.1' }, peer]);
  t.match(value('sip.listen'), [{ address: '10.97.0.100' }, { address: '10.99.0.1' }]);
  t.equal(value('cluster.key'), 'k'.repeat(43));
  t.notOk(pairSteps(gatewaySchema.parse({ cluster: { key: 'o'.repeat(32) } }), { own, sipAddress: '10.97.0.100/24', interface: 'eth0' }, peer, 'k').some(({ path }) => path === 'cluster.key' || path === 'sip.listen'), 'what is there stays');
  t.same(newNodeSteps({ rpc: { directory: '/x' }, api: { listen: [1] } }, { rpc: { directory: '/y' }, state: { directory: '/z' } }, 'b', 'eth7'), [
    { op: 'set', path: 'state', value: { directory: '/z' } },
    { op: 'set', path: 'rpc', value: { directory: '/y' } },
    { op: 'delete', path: 'api.listen' },
    { op: 'set', path: 'node.name', value: 'b' },
    { op: 'set', path: 'cluster.interface', value: 'eth7' },
  ]);
});
