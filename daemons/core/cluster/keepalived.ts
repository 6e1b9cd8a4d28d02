/**
 * Configuration of keepalived and of Redis for one node of a pair. keepalived moves the addresses and decides nothing: clusterd's veto
 * (weight 0: FAULT) is lifted only where a takeover is right (role.ts), so two missed adverts are enough to take over.
 */
import type { ClusterConfig, ClusterNodeConfig } from '../config/cluster-schema.ts';

/** 20 ms flaps on a busy machine. */
const ADVERT_MS = 100;
/** Equal on both: who goes first is not keepalived's question. */
const PRIORITY = 100;
const GARP_REPEAT = 3;
const GARP_REFRESH_S = 10;

export interface ClusterFiles {
  readonly keepalived: string;
  readonly redis: string;
  /** `1`: keepalived must not have the addresses. */
  readonly veto: string;
  /** A pipe: what keepalived becomes. */
  readonly notify: string;
  readonly redisData: string;
}

export const clusterFiles = (runDirectory: string): ClusterFiles => {
  const directory = `${runDirectory}/cluster`;
  return { keepalived: `${directory}/keepalived.conf`, redis: `${directory}/redis.conf`, veto: `${directory}/veto`, notify: `${directory}/notify`, redisData: directory };
};

/** All that move together to the active node: SIP, and the media address of either node. */
export const movingAddresses = ({ sipAddress, nodes }: ClusterConfig): readonly string[] => [sipAddress, ...nodes.map(({ mediaAddress }) => mediaAddress)].filter((address, i, all) => address !== '' && all.indexOf(address) === i);

export function keepalivedConfig(cluster: ClusterConfig, own: ClusterNodeConfig, peer: ClusterNodeConfig, files: ClusterFiles): string {
  return `# Made by viewlink-clusterd from gateway.yaml: changes here are lost.
global_defs {
  router_id ${own.name}
  vrrp_version 3
  vrrp_down_timer_adverts 2
  vrrp_garp_master_delay 1
  vrrp_garp_master_repeat ${GARP_REPEAT}
  vrrp_garp_master_refresh ${GARP_REFRESH_S}
  vrrp_notify_fifo ${files.notify}
  script_user nobody
  enable_script_security
}

track_file veto {
  file "${files.veto}"
  weight 0
}

vrrp_instance viewlink {
  state BACKUP
  interface ${cluster.interface}
  virtual_router_id ${cluster.routerId}
  priority ${PRIORITY}
  advert_int ${ADVERT_MS / 1000}
  nopreempt
  unicast_src_ip ${own.lan}
  unicast_peer {
    ${peer.lan}
  }
  track_file {
    veto
  }
  virtual_ipaddress {
${movingAddresses(cluster).map(address => `    ${address} dev ${cluster.interface}`).join('\n')}
  }
}
`;
}

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

/** A line of the notify pipe: `INSTANCE "viewlink" MASTER 100`. Undefined: not about us. */
export function noticeOf(line: string): 'master' | 'backup' | 'fault' | 'stopped' | undefined {
  const state = /^INSTANCE "viewlink" (MASTER|BACKUP|FAULT|STOP)\b/.exec(line)?.[1];
  return state === undefined ? undefined : state === 'STOP' ? 'stopped' : (state.toLowerCase() as 'master' | 'backup' | 'fault');
}
