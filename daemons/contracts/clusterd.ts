/** What clusterd offers over its RPC socket: the pair as this node sees it, and orders about who is active. */
import type { Author, PairReport } from './configd.ts';
import type { ReloadAnswer, ReloadParams } from './reload.ts';
import type { SipdDuty } from './sipd.ts';

export type NodeRole = 'standby' | 'active' | 'isolated' | 'maintenance';

export interface ClusterPathRow {
  /** `stream`: over TCP on the service network, where datagrams may be filtered. */
  readonly path: 'link' | 'lan' | 'stream';
  readonly local: string;
  readonly remote: string;
  readonly alive: boolean;
  /** Of the last heartbeat; null: none was ever heard. */
  readonly ageMs: number | null;
  readonly beats: number;
}

/** The media address of one node. */
export interface ClusterMediaRow {
  readonly node: string;
  readonly address: string;
  /** Who has it now; null: nobody, or somebody who is not heard. */
  readonly on: string | null;
  /** Why keepalived must not have it on this node; null: it may, or has it. */
  readonly veto: string | null;
}

export interface ClusterReport {
  readonly node: string;
  readonly role: NodeRole;
  /** Grows with every takeover. */
  readonly term: number;
  /** Why keepalived must not take the addresses; null: it may, or has them. */
  readonly veto: string | null;
  readonly keepalived: 'master' | 'backup' | 'fault' | 'stopped';
  readonly addresses: readonly string[];
  /** Empty where the nodes have none of their own. */
  readonly media: readonly ClusterMediaRow[];
  readonly fitness: number;
  /** What is missing from 100. */
  readonly lacks: readonly string[];
  /** Null: none is configured. */
  readonly witness: boolean | null;
  /** For so long this node does not take the active role from itself; null: it may. */
  readonly heldDownMs: number | null;
  /** `whole`: what the active node writes is here, or goes out. */
  readonly state: { readonly redis: 'primary' | 'replica' | 'away'; readonly whole: boolean; readonly sipd: SipdDuty | null };
  readonly peer: {
    readonly node: string;
    readonly alive: boolean;
    readonly hearsUs: boolean;
    readonly role: NodeRole | null;
    readonly term: number | null;
    readonly fitness: number | null;
    readonly loadPercent: number | null;
    readonly release: string | null;
    /** The way to its daemons: `unpaired`: the two do not know each other; `silent`: it is not heard on the link. */
    readonly gate: 'unpaired' | 'silent' | 'open';
    readonly paths: readonly ClusterPathRow[];
  };
  /** Null: configd does not say. */
  readonly configuration: PairReport | null;
  /** The last changes of our role, newest first. */
  readonly changes: readonly { readonly atWallMs: number; readonly role: NodeRole; readonly term: number; readonly why: string }[];
}

/** How this node stands in a pair that is yet to be; null: as the configuration has it. `address`: of SIP, with its prefix. */
export interface PairTermsAsked {
  readonly name: string | null;
  readonly link: string | null;
  readonly lan: string | null;
  readonly address: string | null;
  readonly media: string | null;
}

/** Where the code was made, and how this node stands there; null: as the other one has it, or as it came. */
export interface JoinAsked {
  readonly address: string;
  readonly port: number | null;
  readonly code: string;
  readonly name: string | null;
  readonly link: string | null;
  readonly lan: string | null;
  readonly media: string | null;
}

export interface PairingReport {
  readonly node: string;
  /** `cluster.nodes` is empty. */
  readonly alone: boolean;
  /** Tells one cluster.key from another; null: there is none. */
  readonly keyId: string | null;
  /** Name of the node whose certificate is believed; null: nobody's. */
  readonly paired: string | null;
  readonly window: { readonly state: 'open' | 'busy' | 'expired' | 'locked'; readonly wrong: number; readonly leftMs: number } | null;
  /** Why the last try came to nothing; null: it did not, or there was none. */
  readonly last: string | null;
}

export interface ClusterdRequests {
  report(params: Record<string, never>): ClusterReport;
  /** Gives the active role to the other node; NOT_PERMITTED with the reason when that cannot be. Answers before it is done. */
  switchOver(params: Record<string, never>): null;
  /** A node in maintenance is never active. Of the active one: as `switchOver`. */
  maintenance(params: { readonly on: boolean }): null;
  pairing(params: Record<string, never>): PairingReport;
  /** Opens a window and answers the one code that another node comes in with. CONFLICT: this node is paired already. */
  pair(params: { readonly minutes: number; readonly terms: PairTermsAsked; readonly author: Author }): { readonly code: string; readonly address: string; readonly port: number };
  /** Makes this node the other one of that pair. Answers when certificates and configuration are here; then daemons start anew. NOT_PERMITTED: with the reason of the other node. */
  join(params: JoinAsked & { readonly author: Author }): { readonly node: string; readonly peer: string };
  /**
   * The other node is believed nothing any more: its certificate at once, its cluster.key when the new one is in force (`pairing` says
   * which is), for which daemons start anew. `keyId`: of the new one; null: this gateway is in no pair. CONFLICT: it is alive, and not forced.
   */
  forget(params: { readonly node: string; readonly force: boolean; readonly author: Author }): { readonly keyId: string | null };
  counters(params: Record<string, never>): Readonly<Record<string, number>>;
  reload(params: ReloadParams): ReloadAnswer;
}
