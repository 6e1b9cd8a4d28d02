/** Positions of what moves (gb28181.md 3.11): MobilePosition in the forms of both editions, PTZPosition of 2022. Read leniently, written in schema order. */
import type { GbVersion } from './dialect.ts';
import { type Head, buildManscdp } from './manscdp-write.ts';
import type { Manscdp } from './manscdp.ts';
import { type XmlElement, childOf, textOf } from './xml.ts';
import { xmlText } from './xml-text.ts';

/** Positions of one message: vehicles of one platform. What is beyond is not taken. */
export const MAX_POSITIONS = 1000;
const MAX_TIME = 40;
const MAX_ID = 64;

export interface MobilePosition {
  /** Whose position it is, as the sender names it; empty where the 2016 form has none. */
  readonly deviceId: string;
  /** Text as it came; `parseGbTime` reads it. */
  readonly time: string | undefined;
  /** Degrees, east and north positive. */
  readonly longitude: number;
  readonly latitude: number;
  readonly speedKmh: number | undefined;
  /** Degrees clockwise from north. */
  readonly direction: number | undefined;
  readonly altitudeM: number | undefined;
  /** Above the ground (2022). */
  readonly heightM: number | undefined;
}

/** Numbers in degrees, but zoom (a factor) and distance (m). */
export interface PtzPosition {
  readonly pan: number | undefined;
  readonly tilt: number | undefined;
  readonly zoom: number | undefined;
  readonly horizontalFieldAngle: number | undefined;
  readonly verticalFieldAngle: number | undefined;
  readonly maxViewDistance: number | undefined;
}

const NUMBER = /^[+-]?(?:\d{1,12}(?:\.\d{0,12})?|\.\d{1,12})$/;
/** As NUMBER takes. */
const MAX_DECIMALS = 12;

/** Undefined when absent, no plain decimal, or out of bounds. */
function numberOf(element: XmlElement, key: string, min: number, max: number): number | undefined {
  const text = textOf(element, key);
  if (text === undefined || !NUMBER.test(text)) return undefined;
  const value = Number(text);
  return value >= min && value <= max ? value : undefined;
}

function readPosition(element: XmlElement, deviceId: string, time: string | undefined): MobilePosition | undefined {
  const longitude = numberOf(element, 'longitude', -180, 180);
  const latitude = numberOf(element, 'latitude', -90, 90);
  if (longitude === undefined || latitude === undefined) return undefined;
  return {
    deviceId: (textOf(element, 'deviceid') || deviceId).slice(0, MAX_ID),
    time: (textOf(element, 'capturetime') ?? time)?.slice(0, MAX_TIME),
    longitude,
    latitude,
    speedKmh: numberOf(element, 'speed', 0, 10_000),
    direction: numberOf(element, 'direction', 0, 360),
    altitudeM: numberOf(element, 'altitude', -20_000, 100_000),
    heightM: numberOf(element, 'height', -20_000, 100_000),
  };
}

/** Of a Notify in either form. `dropped`: items without a place on earth, and those beyond MAX_POSITIONS. */
export function readMobilePositions({ element, deviceId }: Manscdp): { readonly positions: readonly MobilePosition[]; readonly dropped: number } {
  const time = textOf(element, 'time');
  const list = childOf(element, 'devicelist')?.children.filter(({ key }) => key === 'item');
  const read = (list?.slice(0, MAX_POSITIONS) ?? [element]).map(item => readPosition(item, deviceId, time));
  const positions = read.filter(position => position !== undefined);
  return { positions, dropped: (list?.length ?? 1) - positions.length };
}

/** Never 1e-7: the schemas know decimals, and readers take what stands before the letter. */
function decimal(key: string, value: number | undefined): string {
  const text = value === undefined ? undefined : String(value);
  return xmlText(key, text?.includes('e') === true ? value!.toFixed(MAX_DECIMALS).replace(/\.?0+$/, '') : text);
}

const fields = ({ longitude, latitude, speedKmh, direction, altitudeM }: MobilePosition): string =>
  [decimal('Longitude', longitude), decimal('Latitude', latitude), decimal('Speed', speedKmh), decimal('Direction', direction), decimal('Altitude', altitudeM)].join('');

/** One message a position in the 2016 form (its DeviceID is an addition that most have), all in one in the 2022 form. `sn` grows by one a message. */
export function buildMobilePositions(version: GbVersion, { sn, deviceId }: Head, positions: readonly MobilePosition[]): string[] {
  if (version === '2016') {
    return positions.map((position, i) => buildManscdp('Notify', 'MobilePosition', { sn: sn + i, deviceId: position.deviceId }, `${xmlText('Time', position.time)}\r\n${fields(position)}\r\n`));
  }
  const items = positions.map(position => `<Item>${xmlText('DeviceID', position.deviceId)}${xmlText('CaptureTime', position.time)}${fields(position)}${decimal('Height', position.heightM)}</Item>\r\n`);
  const time = positions.findLast(position => position.time !== undefined)?.time;
  return [buildManscdp('Notify', 'MobilePosition', { sn, deviceId }, `${xmlText('Time', time)}\r\n${xmlText('SumNum', positions.length)}\r\n<DeviceList Num="${positions.length}">\r\n${items.join('')}</DeviceList>\r\n`)];
}

/** Undefined when nothing of it can be read. */
export function readPtzPosition({ element }: Manscdp): PtzPosition | undefined {
  const position: PtzPosition = {
    pan: numberOf(element, 'pan', -360, 360),
    tilt: numberOf(element, 'tilt', -360, 360),
    zoom: numberOf(element, 'zoom', 0, 10_000),
    horizontalFieldAngle: numberOf(element, 'horizontalfieldangle', 0, 360),
    verticalFieldAngle: numberOf(element, 'verticalfieldangle', 0, 360),
    maxViewDistance: numberOf(element, 'maxviewdistance', 0, 1_000_000),
  };
  return Object.values(position).some(value => value !== undefined) ? position : undefined;
}

export function buildPtzPosition(head: Head, { pan, tilt, zoom, horizontalFieldAngle, verticalFieldAngle, maxViewDistance }: PtzPosition): string {
  const lines = [
    decimal('Pan', pan),
    decimal('Tilt', tilt),
    decimal('Zoom', zoom),
    decimal('HorizontalFieldAngle', horizontalFieldAngle),
    decimal('VerticalFieldAngle', verticalFieldAngle),
    decimal('MaxViewDistance', maxViewDistance),
  ];
  return buildManscdp('Notify', 'PTZPosition', head, lines.map(line => (line === '' ? '' : `${line}\r\n`)).join(''));
}
