/** A camera of GB/T 28181 as a player sees it: addresses of `vlink play`, opened by ffprobe. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { LabGateway } from '../lab/gateway.ts';
import type { Shown } from './events.ts';

const run = promisify(execFile);
const PROBE_TIMEOUT_MS = 30_000;
const PROBE_S = 2;
const LEAST_PICTURES = 25;
/** What ffprobe 5 opens; it knows neither WebSocket nor H.265 in FLV. */
const OPENS: Readonly<Record<string, readonly string[]>> = { rtsp: ['h264', 'h265'], rtmp: ['h264'], flv: ['h264'], fmp4: ['h264', 'h265'], hls: ['h264', 'h265'] };

interface Probe {
  readonly protocol: string;
  readonly streams: string;
  readonly pictures: number;
  readonly errors: string;
}

/** Every outlet of the gateway that is on and that ffprobe can open for this codec. */
export async function outletsOnce(gateway: LabGateway, channel: string, codec: string): Promise<Shown> {
  await using mediad = await gateway.mediadRpc();
  const { urls } = await mediad.call('outletUrls', { channel, streamNumber: 0, minutes: 5 });
  const probes: Probe[] = [];
  for (const { protocol, url } of urls) if (OPENS[protocol]?.includes(codec) === true) probes.push(await probe(protocol, url));
  const ok = probes.some(({ protocol }) => protocol === 'rtsp') && probes.every(({ pictures, errors }) => pictures >= LEAST_PICTURES && errors === '');
  const says = probes.map(({ protocol, streams, pictures, errors }) => `${protocol} ${streams}, ${pictures} pictures${errors === '' ? '' : ` (${errors})`}`);
  return { ok, says: `${channel} for players: ${says.join('; ')}${ok ? '' : ' - NOT AS IT SHOULD BE'}` };
}

async function probe(protocol: string, url: string): Promise<Probe> {
  const transport = protocol === 'rtsp' ? ['-rtsp_transport', 'tcp'] : [];
  const args = ['-hide_banner', '-v', 'error', ...transport, '-read_intervals', `%+${PROBE_S}`, '-count_frames', '-show_entries', 'stream=codec_type,codec_name,width,height,nb_read_frames', '-of', 'json', url];
  try {
    const { stdout, stderr } = await run('ffprobe', args, { timeout: PROBE_TIMEOUT_MS });
    const { streams = [] } = JSON.parse(stdout) as { streams?: { codec_type: string; codec_name: string; width?: number; height?: number; nb_read_frames?: string }[] };
    const video = streams.find(({ codec_type }) => codec_type === 'video');
    const names = streams.map(({ codec_name, width, height }) => (width === undefined ? codec_name : `${codec_name} ${width}x${height}`)).join(' and ');
    return { protocol, streams: names, pictures: Number(video?.nb_read_frames ?? 0), errors: stderr.trim().split('\n')[0] ?? '' };
  } catch (error) {
    return { protocol, streams: '-', pictures: 0, errors: (error as Error).message.trim().split('\n').at(-1) ?? 'failed' };
  }
}
