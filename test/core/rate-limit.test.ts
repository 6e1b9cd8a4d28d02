import t from 'tap';
import { SourceBuckets } from '#core/rate-limit.ts';
import { ms } from '#core/units.ts';

const taken = (buckets: SourceBuckets, address: string, times: number, now: number): number => Array.from({ length: times }, () => buckets.take(address, ms(now))).filter(Boolean).length;

t.test('twice the rate at once, then the rate', async t => {
  const buckets = new SourceBuckets(10, 1);
  t.equal(taken(buckets, '192.0.2.1', 100, 0), 20);
  t.equal(taken(buckets, '192.0.2.1', 100, 500), 5);
  t.equal(taken(buckets, '192.0.2.1', 100, 550), 0, 'half a token is none');
  t.equal(taken(buckets, '192.0.2.1', 100, 600), 1, 'and is not lost');
  t.equal(taken(buckets, '192.0.2.1', 100, 1_000_000), 20, 'never more than the burst');
  t.equal(taken(buckets, '192.0.2.2', 5, 0), 5, 'others have their own');
});

t.test('an IPv6 site is one source, an IPv4-mapped address is IPv4', async t => {
  const buckets = new SourceBuckets(10, 2);
  t.equal(taken(buckets, '2001:db8:1:2::1', 20, 0), 20);
  t.equal(taken(buckets, '2001:db8:1:2:3:4:5:6', 5, 0), 0);
  t.equal(taken(buckets, '2001:db8:1:3::1', 5, 0), 5);
  t.equal(taken(buckets, 'no address at all', 1, 0), 1);
});

t.test('who shares a bucket is not for the sender to choose', async t => {
  const shares = (seed: number, one: string, other: string): boolean => {
    const buckets = new SourceBuckets(1, seed);
    return taken(buckets, one, 2, 0) === 2 && !buckets.take(other, ms(0));
  };
  const victim = '192.0.2.1';
  const crowd = Array.from({ length: 200_000 }, (_, i) => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`);
  const drained = new SourceBuckets(1, 0);
  taken(drained, victim, 2, 0);
  const neighbour = crowd.find(address => !drained.take(address, ms(0)) && shares(0, victim, address));
  t.ok(neighbour, 'sources do share buckets');
  t.ok([1, 2, 3].some(seed => !shares(seed, victim, neighbour!)), 'but with another seed not the same ones');
  const buckets = new SourceBuckets(1, 3);
  let free = 0;
  for (let i = 0; i < 65_536; i++) free += taken(buckets, `10.1.${i >> 8}.${i & 255}`, 1, 0);
  t.ok(free > 50_000, `${free} of 65,536 sources were served`);
});
