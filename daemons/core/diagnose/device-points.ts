/** What is asked of a device that is registered with us, as data. The findings of the validator stand beside it. */
import type { PointFacts } from './platform-points.ts';

const GB = 'GB/T 28181-2016';

export const DEVICE_POINTS = {
  registered: { id: 'registered', clause: `${GB} 9.1`, asks: 'it is registered' },
  keepalive: { id: 'keepalive', clause: `${GB} 9.6`, asks: 'its keepalives come' },
  catalog: { id: 'catalog', clause: `${GB} 9.5.3`, asks: 'it gives its whole catalogue' },
  deviceInfo: { id: 'device-info', clause: `${GB} 9.5.3`, asks: 'it says what it is' },
  deviceStatus: { id: 'device-status', clause: `${GB} 9.5.3`, asks: 'it says how it is' },
  records: { id: 'record-info', clause: `${GB} 9.7`, asks: 'it lists its recordings' },
  ptzStop: { id: 'ptz-stop', clause: `${GB} 9.3, Annex A.3`, asks: 'it accepts a control (stop, which moves nothing)' },
  live: { id: 'live', clause: `${GB} 9.2`, asks: 'it sends a live picture' },
  media: { id: 'media', clause: `${GB} Annex C, F`, asks: 'what it sends is what was agreed on' },
  bye: { id: 'bye', clause: `RFC 3261 15.1.2, ${GB} 9.2`, asks: 'it answers BYE' },
  udp: { id: 'transport-udp', clause: `${GB} Annex C`, asks: 'media over UDP' },
  tcpPassive: { id: 'transport-tcp-passive', clause: `${GB} Annex L, RFC 4571`, asks: 'media over TCP, it connects' },
  tcpActive: { id: 'transport-tcp-active', clause: `${GB} Annex L, RFC 4571`, asks: 'media over TCP, we connect' },
} as const satisfies Readonly<Record<string, PointFacts>>;
