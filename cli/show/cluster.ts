import type { ClusterMediaRow, ClusterPathRow, ClusterReport, PairingReport } from '#contracts/clusterd.ts';
import { defineCommand, JSON_FLAG } from '../command.ts';
import { duration, table, type Column } from '../render.ts';

const PATHS: readonly Column<ClusterPathRow>[] = [
  { title: 'PATH', value: row => row.path },
  { title: 'LOCAL', value: row => row.local },
  { title: 'REMOTE', value: row => row.remote },
  { title: 'STATE', value: row => (row.alive ? 'alive' : 'DEAD') },
  { title: 'LAST HEARD', value: row => duration(row.ageMs), align: 'right' },
  { title: 'HEARTBEATS', value: row => row.beats, align: 'right' },
];

const CHANGES: readonly Column<ClusterReport['changes'][number]>[] = [
  { title: 'WHEN', value: row => new Date(row.atWallMs).toISOString() },
  { title: 'ROLE', value: row => row.role },
  { title: 'TERM', value: row => row.term, align: 'right' },
  { title: 'WHY', value: row => row.why, whole: true },
];

const MEDIA: readonly Column<ClusterMediaRow>[] = [
  { title: 'MEDIA ADDRESS', value: row => row.address },
  { title: 'OF NODE', value: row => row.node },
  { title: 'NOW ON', value: row => row.on ?? 'NOBODY' },
  { title: 'NOT HERE BECAUSE', value: row => row.veto, whole: true },
];

const ours = ({ node, role, term, fitness, lacks, veto }: ClusterReport): string => `${node} is ${role}, term ${term}, fitness ${fitness}${lacks.length === 0 ? '' : ` (${lacks.join('; ')})`}${veto === null ? '' : `: ${veto}`}`;

const GATES: Readonly<Record<ClusterReport['peer']['gate'], string>> = { open: '', silent: ': its daemons are NOT reached over the link', unpaired: ': the two are NOT paired, see vlink cluster pair' };

function theirs({ peer }: ClusterReport): string {
  if (!peer.alive) return `${peer.node} is not heard`;
  return `${peer.node} is ${peer.role}, term ${peer.term}, fitness ${peer.fitness}, load ${peer.loadPercent} %, release ${peer.release}${peer.hearsUs ? '' : ': it does not hear us'}${GATES[peer.gate]}`;
}

function facts({ keepalived, addresses, witness, state, heldDownMs, configuration }: ClusterReport): string {
  const lines = [
    `addresses ${addresses.join(', ')}: keepalived is ${keepalived}`,
    `state: Redis is ${state.redis}, ${state.whole ? 'everything is on both nodes' : 'NOT everything is on both nodes'}`,
    configurationLine(configuration),
    witness === null ? 'witness: none' : `witness: ${witness ? 'answers' : 'DOES NOT ANSWER'}`,
  ];
  return [...lines, ...(heldDownMs === null ? [] : [`held down for another ${duration(heldDownMs)}`])].join('\n');
}

const WINDOWS: Readonly<Record<NonNullable<PairingReport['window']>['state'], string>> = { open: 'waits for another node', busy: 'lets another node in', expired: 'the code has EXPIRED', locked: 'five WRONG codes closed it' };

function windowLines({ window, last }: PairingReport): string[] {
  const line = window === null ? [] : [`pairing: ${WINDOWS[window.state]}${window.state === 'open' ? `, another ${duration(window.leftMs)}` : ''}${window.wrong === 0 ? '' : `, wrong codes: ${window.wrong}`}`];
  return [...line, ...(last === null ? [] : [`the last try to pair: ${last}`])];
}

/** Which revision each has, and what somebody has to look after. */
function configurationLine(configuration: ClusterReport['configuration']): string {
  if (configuration === null) return 'configuration: CONFIGD DOES NOT SAY';
  const { revision, peer, inStep, held, asides, refusals } = configuration;
  const both = inStep ? `revision ${revision} on both nodes` : `revision ${revision} here, ${peer.reached ? `revision ${peer.revision} on ${peer.node}: NOT IN STEP` : `${peer.node} is not reached`}`;
  const notes = [
    ...(held === null ? [] : [`that of ${peer.node} (release ${peer.release ?? '?'}) cannot be used here: ${held}`]),
    ...(asides.length === 0 ? [] : [`both nodes changed it while they were apart: revision ${asides.join(', ')} was set aside: config compare, then config rollback or the next commit`]),
    ...refusals.map(({ daemon, why }) => `${daemon} did not take it: ${why}`),
  ];
  return [`configuration: ${both}`, ...notes.map(note => `  ${note}`)].join('\n');
}

/** Both live, one of them is active, and it could be the other one at once; somebody has every media address. */
const isWell = ({ role, peer, state, fitness, witness, media, configuration }: ClusterReport): boolean => media.every(({ on }) => on !== null) && (configuration === null || (configuration.inStep && configuration.asides.length === 0)) && peer.alive && peer.hearsUs && peer.gate === 'open' && state.whole && witness !== false && fitness === 100 && (role === 'active') !== (peer.role === 'active');

export default defineCommand({
  path: 'cluster show',
  access: 'read',
  help: 'the pair of nodes: who is active, whether the other one could take over now; exit code 1 when something is not well',
  args: { json: JSON_FLAG },
  async run(context, { json }) {
    const pairing = await context.clusterd(client => client.call('pairing', {}));
    if (pairing.alone) {
      context.print(pairing, json, all => [`${all.node} stands alone: it is in no pair`, ...windowLines(all)].join('\n'));
      return 1;
    }
    const report = await context.clusterd(client => client.call('report', {}));
    context.print(report, json, all => [...windowLines(pairing), ours(all), theirs(all), facts(all), ...(all.media.length === 0 ? [] : [table(all.media, MEDIA, '')]), table(all.peer.paths, PATHS, 'no path'), table(all.changes, CHANGES, 'the role has not changed since the start')].join('\n\n'));
    return isWell(report) ? 0 : 1;
  },
});
