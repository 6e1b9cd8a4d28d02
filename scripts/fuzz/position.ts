/** Positions of what moves and where cameras look: only what is on earth and within bounds, and what was read is written and read again as the same. */
import { buildManscdp } from '#core/gb/manscdp-write.ts';
import { type Manscdp, parseManscdp } from '#core/gb/manscdp.ts';
import { MAX_POSITIONS, type MobilePosition, buildMobilePositions, buildPtzPosition, readMobilePositions, readPtzPosition } from '#core/gb/position.ts';
import { decodeBody, encodeBody } from '#kit/charset.ts';

const HEAD = { sn: 81, deviceId: '33010000001320000701' };
const POSITION: MobilePosition = { deviceId: HEAD.deviceId, time: '2026-03-10T08:01:04', longitude: 120.1301, latitude: 30.2702, speedKmh: 36, direction: 90, altitudeM: 12, heightM: 3 };
const seed = (body: string): Uint8Array => encodeBody(body, 'gb2312');

export default {
  name: 'position',
  seeds: [
    ...buildMobilePositions('2016', HEAD, [POSITION]).map(seed),
    ...buildMobilePositions('2022', HEAD, [POSITION, { ...POSITION, longitude: -0.000_001, speedKmh: undefined }]).map(seed),
    seed(buildPtzPosition(HEAD, { pan: 87.5, tilt: 12, zoom: 4, horizontalFieldAngle: 60, verticalFieldAngle: 34, maxViewDistance: 80 })),
    seed(buildManscdp('Notify', 'MobilePosition', HEAD, '<Time>2026-03-10 08:01:05</Time><Longitude>+.5</Longitude><Latitude>0.000000000001</Latitude><Speed>1e3</Speed><Altitude>-3.</Altitude>')),
  ],
  run(input: Uint8Array): void {
    const parsed = parseManscdp(decodeBody(input).text);
    if (!parsed.ok) return;
    const { positions } = readMobilePositions(parsed.value);
    if (positions.length > MAX_POSITIONS) throw new Error(`${positions.length} positions`);
    if (!positions.every(({ longitude, latitude }) => Math.abs(longitude) <= 180 && Math.abs(latitude) <= 90)) throw new Error('not on earth');
    const [body] = buildMobilePositions('2022', HEAD, positions);
    // One without an ID is that of the message.
    same(positions.map(position => ({ ...position, deviceId: position.deviceId || HEAD.deviceId })), readMobilePositions(again(body!)).positions);
    const looks = readPtzPosition(parsed.value);
    if (looks !== undefined) same(looks, readPtzPosition(again(buildPtzPosition(HEAD, looks))));
  },
};

function again(body: string): Manscdp {
  const parsed = parseManscdp(body);
  if (!parsed.ok) throw new Error(`unreadable: ${body.slice(0, 300)}`);
  return parsed.value;
}

function same(read: unknown, readAgain: unknown): void {
  if (JSON.stringify(read) !== JSON.stringify(readAgain)) throw new Error(`read otherwise: ${JSON.stringify(read)} ${JSON.stringify(readAgain)}`);
}
