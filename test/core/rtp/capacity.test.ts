import t from 'tap';
import { Capacity } from '#core/rtp/capacity.ts';
import { ms } from '#core/units.ts';

const NO_LIMITS = { maxBridges: 1000, maxBitrateMbps: 0, maxCpuPercent: 0 };

t.test('each limit refuses with its name, and 0 is none', async t => {
  t.match(new Capacity({ ...NO_LIMITS, maxBridges: 2 }).refusal({ bridges: 2, bitrateBps: 0 }, ms(0)), /maxBridges is 2/);
  const bitrate = new Capacity({ ...NO_LIMITS, maxBitrateMbps: 100 });
  t.equal(bitrate.refusal({ bridges: 9, bitrateBps: 99e6 }, ms(0)), null);
  t.match(bitrate.refusal({ bridges: 9, bitrateBps: 100e6 }, ms(0)), /maxBitrateMbps is 100/);
  const free = new Capacity(NO_LIMITS);
  for (let i = 0; i < 50; i++) free.measured(1);
  t.equal(free.refusal({ bridges: 999, bitrateBps: 1e12 }, ms(0)), null);
});

t.test('a busy second refuses nobody, a busy while does, and a quiet while lets in again', async t => {
  const capacity = new Capacity({ ...NO_LIMITS, maxCpuPercent: 90 });
  const refusal = (): string | null => capacity.refusal({ bridges: 10, bitrateBps: 0 }, ms(0));
  capacity.measured(1);
  t.equal(refusal(), null);
  for (let i = 0; i < 10; i++) capacity.measured(1);
  t.match(refusal(), /maxCpuPercent is 90/);
  for (let i = 0; i < 5; i++) capacity.measured(0.5);
  t.equal(refusal(), null);
});

t.test('a crowd that comes at once is counted before it is measured', async t => {
  const capacity = new Capacity({ ...NO_LIMITS, maxBitrateMbps: 100 });
  let admitted = 0;
  while (capacity.refusal({ bridges: admitted, bitrateBps: 0 }, ms(100)) === null) {
    capacity.admitted(ms(100));
    admitted++;
  }
  t.equal(admitted, 13);
  t.equal(capacity.refusal({ bridges: admitted, bitrateBps: 13 * 2e6 }, ms(5000)), null, 'they were smaller than thought');
});
