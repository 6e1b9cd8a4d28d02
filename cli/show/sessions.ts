import type { LegStats, OutletRow } from '#contracts/mediad.ts';
import type { SessionRow } from '#contracts/sipd.ts';
import { GatewayError } from '#core/result.ts';
import { type Context, defineCommand, JSON_FLAG } from '../command.ts';
import { duration, table, type Column } from '../render.ts';

const leg = (stats: LegStats | undefined): string | null => (stats === undefined ? null : `${stats.transport} ${stats.state}`);
/** With the leg that is to take over. */
const source = ({ bridge }: SessionRow): string | null => (bridge === null || bridge.replacement === null ? leg(bridge?.source) : `${leg(bridge.source)} -> ${leg(bridge.replacement)}`);
const lost = ({ bridge }: SessionRow): string | null => {
  if (bridge === null) return null;
  const { lost: missing, packets } = bridge.source;
  return packets + missing === 0 ? '0' : `${missing} (${((100 * missing) / (packets + missing)).toFixed(2)} %)`;
};

/** What a viewer of whole pictures sees: flowing, or since when not. */
const pictures = ({ bridge }: SessionRow): string | null => {
  const gate = bridge?.gate ?? bridge?.units ?? null;
  if (gate === null) return null;
  const total = gate.frozenMs > 0 ? ` (frozen ${duration(gate.frozenMs)} in all)` : '';
  return gate.frozenForMs === null ? `${gate.state}${total}` : `frozen for ${duration(gate.frozenForMs)}${total}`;
};

/** Where a recording stands. */
const recording = ({ recording: row }: SessionRow): string | null => {
  if (row === null) return null;
  const span = row.stopS - row.startS;
  const percent = span > 0 ? ` (${Math.min(100, Math.round((100 * row.positionS) / span))} %)` : '';
  return `${row.kind.toLowerCase()} ${row.state} at ${duration(row.positionS * 1000)} of ${duration(span * 1000)}${percent}${row.scale === 1 ? '' : ` x${row.scale}`}`;
};

/** By the map of the stream, else by the pictures and sounds themselves. */
const codecs = ({ bridge }: SessionRow): string | null =>
  bridge?.source.codecs.join(' ') || [bridge?.units?.video?.codec, bridge?.units?.audio?.codec].filter(codec => codec !== undefined).join(' ') || null;

/** Its format where that is no program stream. */
const sink = ({ bridge, sessionId }: SessionRow): string | null => {
  const found = bridge?.sinks.find(each => each.sinkId === sessionId) ?? bridge?.sinks[0];
  return found === undefined ? null : [leg(found), ...(found.format === 'ps' ? [] : [found.format])].join(' ');
};

const COLUMNS: readonly Column<SessionRow>[] = [
  { title: 'SESSION', value: row => row.sessionId },
  { title: 'UPSTREAM', value: row => row.upstream },
  { title: 'CHANNEL', value: row => row.channelId },
  { title: 'STATE', value: row => (row.sourceState === 'flowing' ? row.state : `${row.state}, ${row.sourceState}`) },
  { title: 'AGE', value: row => duration(row.ageMs), align: 'right' },
  { title: 'RECORDING', value: recording },
  { title: 'DEVICE', value: row => row.deviceId },
  { title: 'SOURCE', value: source },
  { title: 'BECAUSE', value: row => row.learnt },
  { title: 'CODECS', value: codecs },
  { title: 'PACKETS', value: row => row.bridge?.source.packets ?? null, align: 'right' },
  { title: 'LOST', value: lost, align: 'right' },
  { title: 'PICTURES', value: pictures },
  { title: 'TO UPSTREAM', value: sink },
  { title: 'MEDIAD', value: ({ instance, node }) => (node === null || instance.includes('/') ? instance : `${node}/${instance}`), align: 'right' },
];

type Viewer = OutletRow & { readonly instance: string };

const megabytes = (bytes: number | null): string | null => (bytes === null ? null : `${(bytes / 1e6).toFixed(1)} MB`);

const VIEWER_COLUMNS: readonly Column<Viewer>[] = [
  { title: 'OUTLET', value: row => row.protocol },
  { title: 'VIEWER', value: row => row.remote },
  { title: 'CHANNEL', value: row => row.channel },
  { title: 'STREAM', value: row => row.rendition ?? String(row.streamNumber) },
  { title: 'AGE', value: row => duration(row.ageMs), align: 'right' },
  { title: 'SENT', value: row => megabytes(row.sentBytes), align: 'right' },
  { title: 'DROPPED', value: row => row.droppedUnits, align: 'right' },
  { title: 'BRIDGE', value: row => row.bridgeId ?? 'opening' },
  { title: 'MEDIAD', value: row => row.instance, align: 'right' },
];

/** Of an instance that does not answer nothing is shown: its sessions say so. */
async function outletViewers(context: Context): Promise<Viewer[]> {
  const viewers = await Promise.all(
    (await context.mediadInstances()).map(async instance => {
      try {
        return (await context.mediad(instance, client => client.call('listOutlets', {}))).map(row => ({ ...row, instance }));
      } catch (error) {
        if (error instanceof GatewayError) return [];
        throw error;
      }
    }),
  );
  return viewers.flat();
}

export default defineCommand({
  path: 'show sessions',
  access: 'read',
  help: 'live sessions with their media, and viewers of outlets',
  args: { json: JSON_FLAG },
  async run(context, { json }) {
    const sessions = await context.sipd(client => client.call('listSessions', {}));
    const outlets = await outletViewers(context);
    context.print({ sessions, outlets }, json, () => [table(sessions, COLUMNS, 'no sessions'), ...(outlets.length === 0 ? [] : ['', table(outlets, VIEWER_COLUMNS, '')])].join('\n'));
    return 0;
  },
});
