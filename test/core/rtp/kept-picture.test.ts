import fc from 'fast-check';
import t from 'tap';
import { KeptPicture } from '#core/rtp/kept-picture.ts';
import { PacketStore } from '#core/rtp/packet-store.ts';
import type { Ms } from '#core/units.ts';
import { MediaBatch } from '../../../daemons/mediad/media-batch.ts';

const ms = (value: number): Ms => value as Ms;
const KEY = Uint8Array.of(0, 0, 1, 0xba, 0x44, 0, 0, 0, 0, 0, 0, 0, 0, 0xf8, 0, 0, 1, 0xbb, 0, 2, 0, 0);
const PACK = Uint8Array.of(0, 0, 1, 0xba, 0x44, 0, 0, 0, 0, 0, 0, 0, 0, 0xf8, 0, 0, 1, 0xe0, 0, 9, 0x80, 0, 0, 0, 0, 1, 0x41, 0x9a, 1);
const REST = new Uint8Array(100).fill(7);
/** What a packet takes (PacketStore). */
const SLOT = 1536;

interface Sent {
  readonly index: number;
  readonly picture: number;
  readonly key: boolean;
}

/** A camera in front of a KeptPicture: pictures of some packets, some of them key pictures, packets that are lost. */
class Camera {
  readonly store = new PacketStore();
  readonly kept = new KeptPicture(this.store);
  readonly sent: Sent[] = [];
  readonly limit: number;
  #index = 0;
  #picture = -1;
  now = 0;

  constructor(limitPackets: number) {
    this.limit = limitPackets * SLOT;
  }

  picture(packets: number, { key = false, lose = [] as readonly number[], marker = true } = {}): void {
    this.#picture += 1;
    this.now += 40;
    const batch = new MediaBatch();
    batch.kind = 'ps';
    for (let i = 0; i < packets; i += 1, this.#index += 1) {
      this.sent.push({ index: this.#index, picture: this.#picture, key });
      const payload = i > 0 ? REST : key ? KEY : PACK;
      if (!lose.includes(i)) batch.add(payload, 0, payload.length, marker && i === packets - 1, this.#picture * 3600, this.#index);
    }
    this.kept.take(batch, ms(this.now), this.limit);
  }

  read(now = this.now): { readonly kept: string; readonly indices: readonly number[]; readonly markers: readonly number[] } {
    const batch = new MediaBatch();
    const kept = this.kept.read(batch, ms(now));
    return { kept, indices: [...batch.index], markers: batch.index.filter((_, i) => batch.marker[i]!) };
  }
}

const upTo = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

t.test('a key picture and what follows it, as long as that fits; then the key picture alone', async t => {
  const camera = new Camera(12);
  camera.picture(3);
  t.same(camera.read(), { kept: 'nothing', indices: [], markers: [] }, 'begins in the middle');
  camera.picture(4, { key: true, marker: false });
  t.same(camera.read(), { kept: 'live', indices: upTo(3, 7), markers: [] }, 'its end is not seen yet');
  camera.picture(3);
  t.same(camera.read(), { kept: 'live', indices: upTo(3, 10), markers: [6, 9] }, 'the next one ends it');
  camera.picture(5);
  camera.picture(5);
  t.same(camera.read(), { kept: 'behind', indices: upTo(3, 7), markers: [6] });
  t.equal(camera.kept.bytes, 4 * SLOT);
  camera.picture(4, { key: true });
  camera.picture(3);
  t.match(camera.read(), { kept: 'behind', indices: upTo(20, 24) }, 'the group before did not fit, so nothing behind this one is copied');
  camera.picture(4, { key: true });
  camera.picture(3);
  t.match(camera.read(), { kept: 'live', indices: upTo(27, 34) }, 'that one did');
  t.equal(camera.read(camera.now + 31_000).kept, 'nothing', 'too old');
  camera.kept.clear();
  t.same([camera.store.used, camera.kept.bytes], [0, 0]);
});

t.test('a packet is missing: in the key picture nothing is kept, behind it the key picture', async t => {
  const camera = new Camera(100);
  camera.picture(5, { key: true, lose: [2] });
  camera.picture(5);
  t.equal(camera.read().kept, 'nothing');
  camera.picture(5, { key: true, lose: [4] });
  camera.picture(5);
  t.equal(camera.read().kept, 'nothing', 'its last one: the next picture does not follow');
  camera.picture(5, { key: true });
  camera.picture(5, { lose: [1] });
  camera.picture(5);
  t.match(camera.read(), { kept: 'behind', indices: upTo(20, 25), markers: [24] });
});

t.test('one that is too large is counted and not kept; switched off, everything is given back', async t => {
  const camera = new Camera(10);
  camera.picture(5, { key: true });
  camera.picture(11, { key: true });
  t.match(camera.read(), { kept: 'nothing' });
  t.same([camera.kept.tooLarge, camera.kept.bytes, camera.store.used], [1, 0, 0]);
  camera.picture(5, { key: true });
  camera.kept.take(new MediaBatch(), ms(camera.now), 0);
  t.same([camera.kept.bytes, camera.store.used], [0, 0]);
});

t.test('another run of the source ends what was kept live', async t => {
  const camera = new Camera(100);
  camera.picture(5, { key: true });
  camera.picture(5);
  const batch = new MediaBatch();
  batch.kind = 'ps';
  batch.add(PACK, 0, PACK.length, true, 90_000, 10);
  batch.restartAt = 10;
  camera.kept.take(batch, ms(camera.now), camera.limit);
  t.match(camera.read(), { kept: 'behind', indices: upTo(0, 5) });
});

t.test('property: what is given is a whole key picture with nothing missing in it, inside the limit; no slot is lost', async () => {
  const picture = fc.record({ packets: fc.integer({ min: 1, max: 8 }), key: fc.boolean(), marker: fc.boolean(), lose: fc.option(fc.integer({ min: 0, max: 7 }), { nil: undefined }) });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 30 }), fc.array(picture, { maxLength: 40 }), (limit, pictures) => {
      const camera = new Camera(limit);
      for (const { packets, key, marker, lose } of pictures) {
        camera.picture(packets, { key, marker, lose: lose === undefined ? [] : [lose] });
        const { kept, indices } = camera.read();
        if (camera.kept.bytes > camera.limit || camera.store.used !== camera.kept.bytes / SLOT) return false;
        if (kept === 'nothing') continue;
        const first = camera.sent[indices[0]!]!;
        if (!first.key || camera.sent[first.index - 1]?.picture === first.picture) return false;
        if (indices.some((index, i) => index !== first.index + i)) return false;
        // Behind: the whole picture and nothing else. Live: everything up to now.
        const last = camera.sent[indices.at(-1)!]!;
        if (kept === 'live' && last.index !== camera.sent.length - 1 && lose === undefined) return false;
        if (kept === 'behind' && (last.picture !== first.picture || camera.sent[last.index + 1]?.picture === first.picture)) return false;
      }
      camera.kept.clear();
      return camera.store.used === 0;
    }),
    { numRuns: 2000 },
  );
});
