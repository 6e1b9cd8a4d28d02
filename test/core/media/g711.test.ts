/** The two laws of G.711, against points of ITU-T G.711 and against themselves. */
import t from 'tap';
import { toLaw } from '#core/media/g711.ts';

const all = Uint8Array.from({ length: 256 }, (_, octet) => octet);

t.test('silence, full scale and signs', async t => {
  // 0xD5 and 0x55 are the two smallest values of A-law, 0xFF and 0x7F those of mu-law.
  t.same([...toLaw(Uint8Array.of(0xd5, 0x55), 'g711a', 'g711u')].map(octet => octet & 0x80), [0x80, 0]);
  t.equal(toLaw(Uint8Array.of(0xff), 'g711u', 'g711a')[0], 0xd5);
  t.same([...toLaw(Uint8Array.of(0xaa, 0x2a), 'g711a', 'g711u')], [0x80, 0x00], 'the loudest of both signs');
  t.same([...toLaw(Uint8Array.of(0x80, 0x00), 'g711u', 'g711a')], [0xaa, 0x2a]);
});

t.test('there and back again loses at most the last bit of a segment', async t => {
  const there = toLaw(toLaw(all, 'g711a', 'g711u'), 'g711u', 'g711a');
  const far = [...there].filter((octet, index) => Math.abs((octet ^ 0x55) - (all[index]! ^ 0x55)) > 1);
  t.same(far, []);
  t.equal(toLaw(all, 'g711u', 'g711u'), all, 'nothing to do');
});
