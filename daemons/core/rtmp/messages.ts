/** Messages of RTMP (Adobe RTMP 1.0, 5.4, 6.2, 7.1) as both sides write them. */
import { concatBytes } from '../bytes.ts';
import { type AmfValue, writeAmf0 } from './amf0.ts';

export interface RtmpMessage {
  readonly type: number;
  /** 0 for the connection, else a number from createStream. */
  readonly streamId: number;
  readonly timestampMs: number;
  readonly body: Uint8Array;
}

export const MESSAGE = {
  setChunkSize: 1,
  abort: 2,
  acknowledgement: 3,
  userControl: 4,
  windowAckSize: 5,
  setPeerBandwidth: 6,
  audio: 8,
  video: 9,
  dataAmf3: 15,
  commandAmf3: 17,
  dataAmf0: 18,
  commandAmf0: 20,
} as const;

/** Event types of user control (7.1.7). */
export const USER_EVENT = { streamBegin: 0, streamEof: 1, setBufferLength: 3, pingRequest: 6, pingResponse: 7 } as const;

const uint32 = (value: number): Uint8Array => Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
const control = (type: number, body: Uint8Array): RtmpMessage => ({ type, streamId: 0, timestampMs: 0, body });

export const setChunkSize = (bytes: number): RtmpMessage => control(MESSAGE.setChunkSize, uint32(bytes));
export const acknowledgement = (receivedBytes: number): RtmpMessage => control(MESSAGE.acknowledgement, uint32(receivedBytes % 2 ** 32));
export const windowAckSize = (bytes: number): RtmpMessage => control(MESSAGE.windowAckSize, uint32(bytes));
/** Limit type 2: dynamic. */
export const setPeerBandwidth = (bytes: number): RtmpMessage => control(MESSAGE.setPeerBandwidth, concatBytes(uint32(bytes), Uint8Array.of(2)));
export const userControl = (event: number, value: number): RtmpMessage => control(MESSAGE.userControl, concatBytes(Uint8Array.of(0, event), uint32(value)));

export const command = (streamId: number, ...values: readonly AmfValue[]): RtmpMessage => ({ type: MESSAGE.commandAmf0, streamId, timestampMs: 0, body: writeAmf0(...values) });

/** AMF3 messages of old Flash begin with a format octet, and go on in AMF0. Undefined: neither. */
export function amf0Body({ type, body }: RtmpMessage): Uint8Array | undefined {
  if (type === MESSAGE.commandAmf0 || type === MESSAGE.dataAmf0) return body;
  return (type === MESSAGE.commandAmf3 || type === MESSAGE.dataAmf3) && body[0] === 0 ? body.subarray(1) : undefined;
}

export const readUint32 = (body: Uint8Array, at: number): number | undefined => (at + 4 > body.length ? undefined : ((body[at]! << 24) | (body[at + 1]! << 16) | (body[at + 2]! << 8) | body[at + 3]!) >>> 0);
