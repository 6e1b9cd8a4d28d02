/** What we see of channels ourselves, in virtual time. */
import t from 'tap';
import { PictureFaults } from '#core/gb/picture-faults.ts';
import { NEVER, ms } from '#core/units.ts';

const open = (): PictureFaults => new PictureFaults({ defectMs: 20_000, healMs: 5000, forgetMs: 300_000 });

t.test('lost, and back', async t => {
  const faults = open();
  t.same(faults.lost('a', ms(0)), [{ key: 'a', fault: 'VLOST' }]);
  t.same(faults.lost('a', ms(1000)), [], 'said once');
  t.same(faults.flows('b'), []);
  t.same(faults.flows('a'), [{ key: 'a', fault: undefined }]);
  t.equal(faults.deadline, NEVER);
});

t.test('nobody asks for what is lost, so it is forgotten', async t => {
  const faults = open();
  faults.lost('a', ms(0));
  faults.lost('a', ms(100_000));
  t.same(faults.tick(ms(300_000)), []);
  t.same(faults.tick(ms(400_000)), [{ key: 'a', fault: undefined }]);
});

t.test('frozen for long is a defect, whole for a while heals it', async t => {
  const faults = open();
  for (let at = 0; at < 20_000; at += 1000) t.same(faults.frozen('a', ms(at)), []);
  t.same(faults.frozen('a', ms(20_000)), [{ key: 'a', fault: 'DEFECT' }]);
  t.same(faults.flows('a'), [], 'packets say nothing of pictures');
  t.same(faults.frozen('a', ms(22_000)), []);
  t.same(faults.tick(ms(26_999)), []);
  t.same(faults.tick(ms(27_000)), [{ key: 'a', fault: undefined }]);
});

t.test('a freeze now and then is none', async t => {
  const faults = open();
  for (let at = 0; at < 200_000; at += 6000) {
    t.same(faults.frozen('a', ms(at)), []);
    t.same(faults.tick(ms(at + 5500)), []);
  }
  t.equal(faults.deadline, NEVER, 'and nothing of it is kept');
});
