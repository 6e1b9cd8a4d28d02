/**
 * Configuration of keepalived and of Redis for one node of a pair. keepalived moves the addresses and decides nothing: clusterd's veto
 * (weight 0: FAULT) is lifted only where a takeover is right (role.ts, media-places.ts), so two missed adverts are enough to take over.
 * It listens to the other node alone: VRRP 3 has no secret, and whoever else speaks it would end both.
 */
import { type ClusterConfig, type ClusterNodeConfig, bothCarryMedia } from '../config/cluster-schema.ts';

/** 20 ms flaps on a busy machine. */
const ADVERT_MS = 100;
/**
 * Of the SIP address equal on both: who goes first is not keepalived's question. High, for a backup waits (256 - priority) / 256 of an
 * advert longer (RFC 9568 6.1).
 */
const PRIORITY = 250;
/** A media address prefers its own node; what keeps it on the other one is that node's veto. */
const HOME_PRIORITY = 254;
const MEDIA_INSTANCE = 'viewlink-media-';
const GARP_REPEAT = 3;
const GARP_REFRESH_S = 10;

export interface ClusterFiles {
  readonly keepalived: string;
  readonly redis: string;
  /** `1`: keepalived must not have the SIP address. */
  readonly veto: string;
  /** Likewise for the media address of this node, and of the other one. */
  readonly mediaVeto: { readonly own: string; readonly other: string };
  /** A pipe: what keepalived becomes. */
  readonly notify: string;
  readonly redisData: string;
}

export const clusterFiles = (runDirectory: string): ClusterFiles => {
  const directory = `${runDirectory}/cluster`;
  const mediaVeto = { own: `${directory}/veto-media-own`, other: `${directory}/veto-media-other` };
  return { keepalived: `${directory}/keepalived.conf`, redis: `${directory}/redis.conf`, veto: `${directory}/veto`, mediaVeto, notify: `${directory}/notify`, redisData: directory };
};

/** All that keepalived moves: SIP, and the media address of either node. */
export const movingAddresses = ({ sipAddress, nodes }: ClusterConfig): readonly string[] => [sipAddress, ...nodes.map(({ mediaAddress }) => mediaAddress)].filter((address, i, all) => address !== '' && all.indexOf(address) === i);

interface VrrpInstance {
  readonly name: string;
  readonly veto: string;
  readonly routerId: number;
  readonly priority: number;
  readonly mayPreempt: boolean;
  readonly address: string;
}

export function keepalivedConfig(cluster: ClusterConfig, own: ClusterNodeConfig, peer: ClusterNodeConfig, files: ClusterFiles): string {
  const sip: VrrpInstance = { name: 'viewlink', veto: 'veto', routerId: cluster.routerId, priority: PRIORITY, mayPreempt: false, address: cluster.sipAddress };
  const media = cluster.nodes.map(({ name, mediaAddress }, index): VrrpInstance => {
    const isOwn = name === own.name;
    return { name: `${MEDIA_INSTANCE}${name}`, veto: isOwn ? 'media_own' : 'media_other', routerId: cluster.routerId + 1 + index, priority: isOwn ? HOME_PRIORITY : PRIORITY, mayPreempt: true, address: mediaAddress };
  });
  const both = bothCarryMedia(cluster);
  const tracks = [['veto', files.veto], ...(both ? [['media_own', files.mediaVeto.own], ['media_other', files.mediaVeto.other]] : [])];
  return `# Made by viewlink-clusterd from gateway.yaml: changes here are lost.
global_defs {
  router_id ${own.name}
  vrrp_version 3
  vrrp_down_timer_adverts 2
  vrrp_garp_master_delay 1
  vrrp_garp_master_repeat ${GARP_REPEAT}
  vrrp_garp_master_refresh ${GARP_REFRESH_S}
  vrrp_check_unicast_src
  vrrp_notify_fifo ${files.notify}
  script_user nobody
  enable_script_security
}

${[...tracks.map(([name, path]) => trackFile(name!, path!)), ...[sip, ...(both ? media : [])].map(each => vrrpInstance(each, cluster.interface, own, peer))].join('\n')}`;
}

const trackFile = (name: string, path: string): string => `track_file ${name} {
  file "${path}"
  weight 0
}
`;

/** An address stands on a line of its own, four blanks before it: viewlink-pair-addresses.service finds it there when keepalived was killed. */
const vrrpInstance = ({ name, veto, routerId, priority, mayPreempt, address }: VrrpInstance, device: string, own: ClusterNodeConfig, peer: ClusterNodeConfig): string => `vrrp_instance ${name} {
  state BACKUP
  interface ${device}
  virtual_router_id ${routerId}
  priority ${priority}
  advert_int ${ADVERT_MS / 1000}
${mayPreempt ? '' : '  nopreempt\n'}  unicast_src_ip ${own.lan}
  unicast_peer {
    ${peer.lan}
  }
  track_file {
    ${veto}
  }
  virtual_ipaddress {
    ${address} dev ${device}
  }
}
`;

/** Redis keeps nothing over its own restart: what it holds stands in SQLite on either node. */
export function redisConfig(cluster: ClusterConfig, own: ClusterNodeConfig, files: ClusterFiles, password: string): string {
  return `# Made by viewlink-clusterd from gateway.yaml: changes here are lost.
bind 127.0.0.1 -${own.link}
port ${cluster.redisPort}
protected-mode yes
daemonize no
requirepass ${password}
masterauth ${password}
save ""
appendonly no
dir ${files.redisData}
repl-diskless-sync yes
repl-diskless-sync-delay 0
repl-diskless-load swapdb
rdb-del-sync-files yes
repl-ping-replica-period 1
repl-timeout 5
replica-serve-stale-data yes
replica-read-only yes
maxclients 64
maxmemory 512mb
maxmemory-policy noeviction
`;
}

export interface KeepalivedNotice {
  /** `media`: the media address of this node. */
  readonly of: 'sip' | { readonly media: string };
  readonly state: 'master' | 'backup' | 'fault' | 'stopped';
}

/** A line of the notify pipe: `INSTANCE "viewlink" MASTER 100`. Undefined: not about us. */
export function noticeOf(line: string): KeepalivedNotice | undefined {
  const [, node, state] = /^INSTANCE "viewlink(?:-media-([A-Za-z0-9_-]{1,32}))?" (MASTER|BACKUP|FAULT|STOP)\b/.exec(line) ?? [];
  if (state === undefined) return undefined;
  return { of: node === undefined ? 'sip' : { media: node }, state: state === 'STOP' ? 'stopped' : (state.toLowerCase() as KeepalivedNotice['state']) };
}
