import fc from 'fast-check';
import t from 'tap';
import { fromHex, toHex } from '#core/bytes.ts';
import { LENS_STOP, MAX_ADDRESS, MAX_VALUE, PTZ_STOP, type PtzCommand, clampSpeed, decodePtz, encodePtz, formatPtz, isStop, parsePtz } from '#core/gb/ptz.ts';

const move = (parts: Partial<Extract<PtzCommand, { kind: 'move' }>>): PtzCommand => ({ ...PTZ_STOP, ...parts });
const lens = (parts: Partial<Extract<PtzCommand, { kind: 'lens' }>>): PtzCommand => ({ ...LENS_STOP, ...parts });

/** gb28181.md 4.5, address 001. */
const EXAMPLES: readonly (readonly [string, PtzCommand])[] = [
  ['A50F0100000000B5', PTZ_STOP],
  ['A50F0101400000F6', move({ pan: 'right', panSpeed: 0x40 })],
  ['A50F0102400000F7', move({ pan: 'left', panSpeed: 0x40 })],
  ['A50F0104004000F9', move({ tilt: 'down', tiltSpeed: 0x40 })],
  ['A50F0108004000FD', move({ tilt: 'up', tiltSpeed: 0x40 })],
  ['A50F010A4040003F', move({ pan: 'left', tilt: 'up', panSpeed: 0x40, tiltSpeed: 0x40 })],
  ['A50F01094040003E', move({ pan: 'right', tilt: 'up', panSpeed: 0x40, tiltSpeed: 0x40 })],
  ['A50F01064040003B', move({ pan: 'left', tilt: 'down', panSpeed: 0x40, tiltSpeed: 0x40 })],
  ['A50F01054040003A', move({ pan: 'right', tilt: 'down', panSpeed: 0x40, tiltSpeed: 0x40 })],
  ['A50F011000008045', move({ zoom: 'in', zoomSpeed: 8 })],
  ['A50F012000008055', move({ zoom: 'out', zoomSpeed: 8 })],
  ['A50F01298080502E', move({ pan: 'right', tilt: 'up', zoom: 'out', panSpeed: 0x80, tiltSpeed: 0x80, zoomSpeed: 5 })],
  ['A50F0140000000F5', LENS_STOP],
  ['A50F014120000016', lens({ focus: 'far', focusSpeed: 0x20 })],
  ['A50F014220000017', lens({ focus: 'near', focusSpeed: 0x20 })],
  ['A50F014400200019', lens({ iris: 'open', irisSpeed: 0x20 })],
  ['A50F01480020001D', lens({ iris: 'close', irisSpeed: 0x20 })],
  ['A50F01492030004E', lens({ iris: 'close', focus: 'far', focusSpeed: 0x20, irisSpeed: 0x30 })],
  ['A50F01810005003B', { kind: 'preset-set', preset: 5 }],
  ['A50F01820005003C', { kind: 'preset-call', preset: 5 }],
  ['A50F01830005003D', { kind: 'preset-delete', preset: 5 }],
  ['A50F01840105003F', { kind: 'cruise-add', group: 1, preset: 5 }],
  ['A50F018501050040', { kind: 'cruise-delete', group: 1, preset: 5 }],
  ['A50F01850100003B', { kind: 'cruise-clear', group: 1 }],
  ['A50F0186012C1078', { kind: 'cruise-speed', group: 1, value: 300 }],
  ['A50F0187011E005B', { kind: 'cruise-dwell', group: 1, value: 30 }],
  ['A50F01880100003E', { kind: 'cruise-start', group: 1 }],
  ['A50F01890100003F', { kind: 'scan-start', group: 1 }],
  ['A50F018901010040', { kind: 'scan-left', group: 1 }],
  ['A50F018901020041', { kind: 'scan-right', group: 1 }],
  ['A50F018A01500090', { kind: 'scan-speed', group: 1, value: 80 }],
  ['A50F018C01000042', { kind: 'aux-on', number: 1 }],
  ['A50F018D01000043', { kind: 'aux-off', number: 1 }],
];

const whyNot = (text: string): string => {
  const parsed = parsePtz(text);
  return parsed.ok ? 'accepted' : parsed.error.why;
};
const summed = (hex: string): string => {
  const octets = fromHex(hex)!;
  return hex + toHex(Uint8Array.of(octets.reduce((sum, octet) => sum + octet, 0) & 0xff));
};

t.test('every example of the standard, in both directions', async t => {
  for (const [hex, command] of EXAMPLES) {
    t.equal(formatPtz({ command, address: 1 }), hex, hex);
    t.same(parsePtz(hex), { ok: true, value: { command, address: 1 } }, hex);
  }
  const sample = { command: move({ zoom: 'in', zoomSpeed: 1 }), address: 0x04d };
  t.same(parsePtz('A50F4D1000001021'), { ok: true, value: sample }, 'J.6 of the 2016 text');
  t.equal(formatPtz(sample), 'A50F4D1000001021');
  t.equal(formatPtz({ command: PTZ_STOP, address: 0xabc }), summed('A50FBC0000000A').toUpperCase(), 'all twelve bits of the address');
});

t.test('what is tolerated and what is refused (fault 22)', async t => {
  t.same(parsePtz('a5 0f 01 02 40 00 00 f7'), parsePtz('A50F0102400000F7'), 'lower case and spaces');
  t.equal(whyNot('A50F0102400000F8'), 'checksum is wrong');
  for (const [hex, why] of [
    ['A50F0103404000', 'opposite'], ['A50F010C404000', 'opposite'], ['A50F0130000080', 'opposite'], ['A50F0143202000', 'opposite'], ['A50F014C202000', 'opposite'],
    ['A50F0181000000', 'preset 0'], ['A50F0184010000', 'preset 0'], ['A50F0189010300', '89 with 3'], ['A51F0100000000', 'A50F'], ['B50F0100000000', 'A50F'],
  ] as const) t.match(whyNot(summed(hex)), why, hex);
  for (const text of ['', 'A50F', `${'A50F0100000000B5'}00`]) t.match(whyNot(text), 'octets', text);
  t.equal(whyNot('A50F0100000000G5'), 'not hex digits');
  t.equal(whyNot('A'.repeat(100_000)), 'too long');
  t.same(parsePtz(summed('A50F018B010200')), { ok: true, value: { command: { kind: 'other', code: 0x8b, data1: 1, data2: 2, data3: 0 }, address: 1 } }, 'what the standard leaves open goes through');
});

t.test('stops, and speeds that are too high', async t => {
  t.ok(isStop(PTZ_STOP) && isStop(LENS_STOP) && isStop(move({ panSpeed: 9 })));
  for (const [hex, command] of EXAMPLES) if (hex.slice(6, 8) !== '00' && hex.slice(6, 8) !== '40') t.notOk(isStop(command), hex);
  t.same(clampSpeed(move({ pan: 'left', panSpeed: 255, tiltSpeed: 3, zoomSpeed: 15 }), 128), move({ pan: 'left', panSpeed: 128, tiltSpeed: 3, zoomSpeed: 8 }));
  t.same(clampSpeed(lens({ focus: 'far', focusSpeed: 255, irisSpeed: 255 }), 1), lens({ focus: 'far', focusSpeed: 1, irisSpeed: 1 }));
  for (const [, command] of EXAMPLES) t.same(clampSpeed(command, 255), command);
});

const octet = fc.integer({ min: 0, max: 255 });
const some = <T>(...values: T[]) => fc.option(fc.constantFrom(...values), { nil: undefined });
const bare = <T extends object>(value: T): T => Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined)) as T;
const positive = fc.integer({ min: 1, max: 255 });
const value = fc.integer({ min: 0, max: MAX_VALUE });
const anyCommand = fc.oneof(
  fc.record({ kind: fc.constant('move'), pan: some('left', 'right'), tilt: some('up', 'down'), zoom: some('in', 'out'), panSpeed: octet, tiltSpeed: octet, zoomSpeed: fc.integer({ min: 0, max: 15 }) }),
  fc.record({ kind: fc.constant('lens'), focus: some('near', 'far'), iris: some('open', 'close'), focusSpeed: octet, irisSpeed: octet }),
  fc.record({ kind: fc.constantFrom('preset-set', 'preset-call', 'preset-delete'), preset: positive }),
  fc.record({ kind: fc.constantFrom('cruise-add', 'cruise-delete'), group: octet, preset: positive }),
  fc.record({ kind: fc.constantFrom('cruise-speed', 'cruise-dwell', 'scan-speed'), group: octet, value }),
  fc.record({ kind: fc.constantFrom('cruise-clear', 'cruise-start', 'scan-start', 'scan-left', 'scan-right'), group: octet }),
  fc.record({ kind: fc.constantFrom('aux-on', 'aux-off'), number: octet }),
).map(command => bare(command) as PtzCommand);

t.test('property: what is written is read, and what is read is written the same', async () => {
  fc.assert(fc.property(anyCommand, fc.integer({ min: 0, max: MAX_ADDRESS }), (command, address) => {
    const read = decodePtz(encodePtz({ command, address }));
    t.strictSame(read, { ok: true, value: { command, address } });
  }), { numRuns: 300 });
  fc.assert(fc.property(fc.tuple(octet, octet, octet, octet, octet), ([low, code, data1, data2, last]) => {
    const octets = fromHex(summed(`A50F${toHex(Uint8Array.of(low, code, data1, data2, last))}`))!;
    const read = decodePtz(octets);
    if (!read.ok) return;
    const again = decodePtz(encodePtz(read.value));
    return JSON.stringify(again) === JSON.stringify(read) && encodePtz(read.value)[3] === code;
  }), { numRuns: 2000 });
});
