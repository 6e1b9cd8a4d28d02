/**
 * DB33/T 629 (Zhejiang): what is known of its control protocol, DDCP: XML with the root Action in requests of the SIP method DO and in
 * INVITEs (gb28181.md 10.3). UNVERIFIED: read from engineering notes and one piece of code, the standard itself was never seen and no
 * product was tried. Catalogue, PTZ and alarms are unknown, and not guessed at.
 */
import { type XmlElement, childOf, parseXml, textOf } from '../gb/xml.ts';
import { escapeXml } from '../gb/xml-text.ts';
import { isIp } from '../ip.ts';
import { type Result, fail, ok } from '../result.ts';
import type { WallMs } from '../units.ts';

export const DDCP_TYPE = 'Application/DDCP';
export const DDCP_METHOD = 'DO';
const MAX_TEXT = 256;
const MAX_FILES = 1000;

export interface DdcpSocket {
  readonly address: string;
  readonly transport: 'UDP' | 'TCP';
  readonly port: number;
}

export interface DdcpFile {
  readonly name: string;
  readonly beginTime: WallMs | undefined;
  readonly endTime: WallMs | undefined;
  readonly fileSize: number | undefined;
}

export type Ddcp =
  | { readonly kind: 'keepalive' }
  /** What is offered; in the answer what was chosen. */
  | { readonly kind: 'real-media'; readonly format: readonly string[]; readonly video: readonly string[]; readonly audio: readonly string[]; readonly maxBitrate: number | undefined; readonly socket: DdcpSocket }
  | { readonly kind: 'file-list'; readonly total: number; readonly files: readonly DdcpFile[] }
  /** RTSP is spoken from there on. */
  | { readonly kind: 'vod'; readonly playUrl: string }
  | { readonly kind: 'unknown'; readonly variable: string };

/** `text` as the charset decoder left it. */
export function parseDdcp(text: string): Result<Ddcp> {
  const document = parseXml(text);
  if (!document.ok) return document;
  const { root } = document.value;
  if (root.key !== 'action') return fail(0, `root element ${root.name.slice(0, MAX_TEXT)}`);
  const inner = ['notify', 'query', 'response', 'control'].map(key => childOf(root, key)).find(child => child !== undefined) ?? root;
  const variable = (textOf(inner, 'variable') ?? textOf(root, 'variable') ?? '').slice(0, MAX_TEXT);
  switch (variable.toLowerCase()) {
    case 'keepalive':
      return ok({ kind: 'keepalive' });
    case 'realmedia':
      return readRealMedia(inner);
    case 'filelist':
      return ok(readFileList(inner));
    case 'vodbyrtsp':
      return readVod(inner);
    default:
      return variable === '' ? fail(0, 'no Variable') : ok({ kind: 'unknown', variable });
  }
}

const words = (element: XmlElement, key: string): string[] => (textOf(element, key) ?? '').slice(0, MAX_TEXT).split(/\s+/).filter(word => word !== '');

function readRealMedia(element: XmlElement): Result<Ddcp> {
  const socket = readSocket(textOf(element, 'socket') ?? '');
  if (socket === undefined) return fail(0, 'no readable Socket');
  const rate = textOf(element, 'maxbitrate');
  return ok({ kind: 'real-media', format: words(element, 'format'), video: words(element, 'video'), audio: words(element, 'audio'), maxBitrate: numberOf(rate), socket });
}

/** `192.0.2.1 UDP 6000`. */
function readSocket(text: string): DdcpSocket | undefined {
  const match = /^(\S{1,64})\s+(UDP|TCP)\s+(\d{1,5})$/i.exec(text.trim());
  if (match === null || !isIp(match[1]!)) return undefined;
  const port = Number(match[3]);
  return port < 1 || port > 65_535 ? undefined : { address: match[1]!, transport: match[2]!.toUpperCase() as 'UDP' | 'TCP', port };
}

const numberOf = (text: string | undefined): number | undefined => (text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined);

function readFileList(element: XmlElement): Ddcp {
  const items = element.children.filter(({ key }) => key === 'item').slice(0, MAX_FILES);
  const files = items.map(item => ({ name: (textOf(item, 'name') ?? '').slice(0, MAX_TEXT), beginTime: parseTime(textOf(item, 'begintime')), endTime: parseTime(textOf(item, 'endtime')), fileSize: numberOf(textOf(item, 'filesize')) }));
  return { kind: 'file-list', total: numberOf(textOf(element, 'realfilenum')) ?? files.length, files };
}

function readVod(element: XmlElement): Result<Ddcp> {
  const playUrl = textOf(element, 'playurl') ?? '';
  return /^rtsp:\/\/\S{1,1000}$/i.test(playUrl) ? ok({ kind: 'vod', playUrl }) : fail(0, 'no RTSP address in Playurl');
}

/** `20130910T000000Z`. */
function parseTime(text: string | undefined): WallMs | undefined {
  const match = /^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})Z$/.exec(text ?? '');
  if (match === null) return undefined;
  const [year, month, day, hour, minute, second] = match.slice(1).map(Number) as [number, number, number, number, number, number];
  if (month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60) return undefined;
  return (daysFrom1970(year, month, day) * 86_400_000 + ((hour * 60 + minute) * 60 + second) * 1000) as WallMs;
}

/** Proleptic Gregorian calendar, on a year that begins in March. */
function daysFrom1970(year: number, month: number, day: number): number {
  const shifted = month <= 2 ? year - 1 : year;
  const fromMarch = (month + 9) % 12;
  return shifted * 365 + Math.floor(shifted / 4) - Math.floor(shifted / 100) + Math.floor(shifted / 400) + Math.floor((fromMarch * 153 + 2) / 5) + day - 719_469;
}

const action = (content: string): string => `<?xml version="1.0" encoding="UTF-8"?>\r\n<Action>\r\n${content}</Action>\r\n`;
const field = (name: string, text: string): string => `<${name}>${escapeXml(text)}</${name}>\r\n`;

export const buildKeepAlive = (): string => action(`<Notify>\r\n${field('Variable', 'KeepAlive')}</Notify>\r\n`);

export interface RealMediaOffer {
  readonly privilege: string;
  readonly format: readonly string[];
  readonly video: readonly string[];
  readonly audio: readonly string[];
  readonly maxBitrate: number;
  readonly socket: DdcpSocket;
}

/** Body of an INVITE; the 200 carries the same with what was chosen. */
export function buildRealMedia({ privilege, format, video, audio, maxBitrate, socket }: RealMediaOffer): string {
  const { address, transport, port } = socket;
  return action(
    field('Variable', 'RealMedia') + field('Privilege', privilege) + field('Format', format.join(' ')) + field('Video', video.join(' ')) + field('Audio', audio.join(' ')) +
      field('MaxBitrate', String(maxBitrate)) + field('Socket', `${address} ${transport} ${port}`),
  );
}
