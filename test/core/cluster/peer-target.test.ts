import fc from 'fast-check';
import t from 'tap';
import { concatBytes, fromByteString } from '#core/bytes.ts';
import { MAX_TARGET_BYTES, formatTarget, parseTarget, peerTargets } from '#core/cluster/peer-target.ts';

const KNOWN = peerTargets(16);

t.test('the line of every daemon, both ways', async t => {
  t.same(peerTargets(2), ['mediad-1', 'mediad-2', 'configd', 'clusterd', 'apid']);
  t.equal(formatTarget('mediad-16'), 'viewlink-peer/1 mediad-16\n');
  for (const name of KNOWN) t.same(parseTarget(fromByteString(formatTarget(name)), KNOWN), { ok: true, value: { name, length: 16 + name.length + 1 } });
});

t.test('anything else gives a reason', async t => {
  const why = (text: string): unknown => {
    const parsed = parseTarget(fromByteString(text), KNOWN);
    return parsed === undefined || parsed.ok ? parsed : parsed.error;
  };
  for (const name of ['sipd', 'mediad-0', 'mediad-17', 'mediad-01', 'mediad', 'healthd', '', ' configd', 'configd ', 'configd\r', './configd', '../configd', 'CONFIGD']) t.match(why(`viewlink-peer/1 ${name}\n`), { at: 16, why: 'no such daemon for other nodes' }, name);
  t.match(why('viewlink-peer/2 configd\n'), { at: 14, why: 'not from another node' });
  t.match(why('G'), { at: 0 });
  t.match(why(`viewlink-peer/1 ${'m'.repeat(MAX_TARGET_BYTES)}`), { at: MAX_TARGET_BYTES, why: 'a line without an end' });
  t.match(why(`viewlink-peer/1 ${'m'.repeat(100)}\n`), { at: MAX_TARGET_BYTES });
  t.match(why('\n'), { why: 'no such daemon for other nodes' });
});

t.test('however it is cut, the same line is read; what follows is not looked at', async t => {
  fc.assert(
    fc.property(fc.constantFrom(...KNOWN), fc.nat({ max: 40 }), fc.uint8Array({ maxLength: 64 }), (name, at, rest) => {
      const line = fromByteString(formatTarget(name));
      t.equal(parseTarget(line.subarray(0, Math.min(at, line.length - 1)), KNOWN), undefined);
      t.same(parseTarget(concatBytes(line, rest), KNOWN), { ok: true, value: { name, length: line.length } });
    }),
    { numRuns: 200, seed: 28181 },
  );
});
