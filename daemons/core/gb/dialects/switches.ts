/**
 * What may be set for one peer because some of them need it otherwise: named, with its reason, as data. Configuration, dialects and
 * `vlink` are made of this table; each is read in exactly one place of the code.
 */
import { z } from 'zod';

/** Of devices, NVRs and platforms below us. What differs between platforms above us stands in upstreams[] and its view. */
export const deviceSwitches = z.strictObject({
  ssrc: z.enum(['exact', 'adopt']).optional().describe('adopt: take the SSRC that it really sends (some cameras ignore y=); overrides devices.media.ssrc'),
  notifiedStatus: z.enum(['take', 'ignore']).optional().describe('ignore: channel states in its NOTIFYs are wrong (some platforms below us); default take'),
  charset: z.enum(['gb2312', 'gb18030', 'utf-8']).optional().describe('overrides what its XML declares'),
  protocol: z.enum(['gb28181', 'db33-629']).optional().describe('db33-629: UNVERIFIED; keepalives by DO and DDCP are taken; default gb28181'),
  liveUri: z.boolean().optional().describe('true: u= with the channel in live offers too, some devices need it; default false'),
  streamAttribute: z.enum(['streamnumber', 'streamprofile', 'streamMode', 'stream']).optional().describe('how a sub-stream is asked for in SDP; default streamnumber'),
  busyRetry: z.boolean().optional().describe('true: a recorder that is busy, it may still close the session before, is asked once more after a second; default true'),
  steering: z.boolean().optional().describe('false: its recordings cannot be steered, nobody is made to wait for its refusal; default true'),
  mansrtsp: z.enum(['RTSP/1.0', 'MANSRTSP/1.0']).optional().describe('start line of what steers recordings; default RTSP/1.0'),
  talkCodec: z.enum(['pcma', 'pcmu']).optional().describe('sound toward it; default pcma'),
  talkMode: z.enum(['broadcast', 'talk']).optional().describe('broadcast: it is told and calls us; talk: we call it with s=Talk; default broadcast'),
  talkStart: z.enum(['ack', 'answer']).optional().describe('when sound begins: with its ACK, or with the answer to its INVITE already; default ack'),
});

export type DeviceSwitches = z.infer<typeof deviceSwitches>;

export const DEVICE_DEFAULTS = {
  protocol: 'gb28181',
  notifiedStatus: 'take',
  liveUri: false,
  streamAttribute: 'streamnumber',
  busyRetry: true,
  steering: true,
  mansrtsp: 'RTSP/1.0',
  talkCodec: 'pcma',
  talkMode: 'broadcast',
  talkStart: 'ack',
} as const satisfies DeviceSwitches;

/** With the defaults filled in. */
export type EffectiveDeviceSwitches = DeviceSwitches & Required<Pick<DeviceSwitches, keyof typeof DEVICE_DEFAULTS>>;
