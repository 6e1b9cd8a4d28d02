/**
 * What configd offers over its RPC socket: the one configuration with its revisions, and the audit log. It alone writes
 * gateway.yaml; vlink and apid ask it. Secrets never leave it: they read as `***`. Times are wall milliseconds.
 */
import type { AuditAuthor, AuditLine } from '#core/audit/chain.ts';
import type { EditStep as PlainEditStep, Json as PlainJson } from '#core/config/json.ts';
import type { Line, LineRow, ToldPending } from '#core/config/line.ts';

export type Author = AuditAuthor;
export type Json = PlainJson;

/** A place in the document: `upstreams[city].port`; entries of a list by their key (name, id) or by index; dots and brackets may be blanks. */
export type ConfigPath = string;

export interface ConfigIssue {
  /** From 1; 0 when it concerns the whole. */
  readonly line: number;
  readonly path: ConfigPath;
  readonly why: string;
}

export interface ConfigChange {
  readonly path: ConfigPath;
  readonly kind: 'added' | 'removed' | 'changed';
  readonly before: Json;
  readonly after: Json;
}

export interface RevisionRow {
  readonly revision: number;
  readonly atWallMs: number;
  readonly author: Author;
  readonly reason: string;
  /** `aside`: both nodes of a pair changed it while they were apart, and this one was not the one that stayed. */
  readonly state: 'current' | 'pending' | 'past' | 'returned' | 'aside';
  /** Of the text. */
  readonly sha256: string;
  readonly changes: number;
}

export interface ConfigdStatus {
  readonly revision: number;
  /** Of the schema that the file is written for. */
  readonly schemaVersion: number;
  /** A commit that waits for `confirm`. */
  readonly pending: { readonly revision: number; readonly returnsTo: number; readonly deadlineWallMs: number; readonly author: Author } | null;
  /** Somebody wrote the file past configd. */
  readonly changedOutside: boolean;
  /** A commit is under way: daemons are told, or start anew. It can still return. */
  readonly applying: boolean;
}

export type EditStep = PlainEditStep;

/**
 * In a pair the active node changes the configuration, and what is asked of the other one is handed to it. `forwarded`: it came from
 * there, and is not handed back; `local`: here, although this node is not the active one, where that cannot be reached.
 */
export type Where = 'forwarded' | 'local';

/** What a node tells the other one. */
export interface PeerLine extends Line {
  readonly node: string;
  readonly active: boolean;
  readonly release: string;
  /** Newest first; null: they stand where the asker stands. */
  readonly rows: readonly LineRow[] | null;
  readonly current: number;
  readonly pending: ToldPending | null;
  /** Of the last entry of its own audit log. */
  readonly auditSequence: number;
}

/** The configuration of a pair as one node sees it. */
export interface PairReport {
  readonly revision: number;
  /** `revision`: null when it is not reached. */
  readonly peer: { readonly node: string; readonly reached: boolean; readonly revision: number | null; readonly release: string | null };
  /** Both stand at the same place. */
  readonly inStep: boolean;
  /** Why the other one's configuration cannot be in force here: this node must not become active. */
  readonly held: string | null;
  /** Revisions that were set aside when both nodes had changed theirs, and that nobody has looked after yet. */
  readonly asides: readonly number[];
  /** Daemons that did not take what came from the other node. */
  readonly refusals: readonly { readonly daemon: string; readonly why: string }[];
}

/** Whoever has a candidate has his own, from the revision that was current when he began. */
export interface CandidateReport {
  readonly baseRevision: number;
  readonly changes: readonly ConfigChange[];
  readonly issues: readonly ConfigIssue[];
}

/** Whom a commit under way waits for: one that was told, or one that starts anew. `limitMs`: null: as long as it takes. */
export interface CommitWait {
  readonly daemon: string;
  readonly doing: 'told' | 'starting';
  readonly forMs: number;
  readonly limitMs: number | null;
}

export interface CommitResult {
  /** Null: nothing was changed; the reasons stand beside. */
  readonly revision: number | null;
  readonly issues: readonly ConfigIssue[];
  /** Which daemon refused, in a sentence. */
  readonly refusals: readonly { readonly daemon: string; readonly why: string }[];
  /** What goes on all the same, in sentences: a daemon that is down reads the file when it starts. */
  readonly warnings: readonly string[];
  readonly confirmByWallMs: number | null;
}

/** `node`: in a pair, whose log it stands in. */
export interface AuditEntry extends AuditLine {
  readonly node?: string;
}

export interface AuditVerdict {
  readonly entries: number;
  readonly brokenAt: number | null;
  readonly why: string | null;
}

export interface ConfigdRequests {
  status(params: Record<string, never>): ConfigdStatus;
  /** Masked text (comments kept) and value of a part. `revision`: a kept one; `candidate`: that of this author. */
  show(params: { readonly path: ConfigPath; readonly of: 'current' | 'candidate' | number; readonly author: Author }): { readonly text: string; readonly value: Json };
  /** All or none; the candidate begins with the first edit. BAD_REQUEST: a path that the schema does not know, a value that cannot be there. */
  edit(params: { readonly author: Author; readonly steps: readonly EditStep[] }): CandidateReport;
  /** The whole text as candidate; `***` keeps the secret that stood there. */
  load(params: { readonly author: Author; readonly text: string }): CandidateReport;
  discard(params: { readonly author: Author }): null;
  candidate(params: { readonly author: Author }): CandidateReport | null;
  compare(params: { readonly from: number; readonly to: number }): readonly ConfigChange[];
  /** What `commit` would answer, with nothing changed. */
  check(params: { readonly author: Author; readonly restart?: boolean | undefined }): CommitResult;
  /**
   * `confirmMinutes`: null commits for good; else it returns by itself unless confirmed. `restart`: a daemon that cannot apply
   * something alive starts anew in place of refusing.
   */
  commit(params: { readonly author: Author; readonly reason: string; readonly confirmMinutes: number | null; readonly restart?: boolean | undefined; readonly where?: Where | undefined }): CommitResult;
  /** Null: nobody is waited for. */
  waitsFor(params: { readonly where?: Where | undefined }): CommitWait | null;
  confirm(params: { readonly author: Author; readonly where?: Where | undefined }): { readonly revision: number };
  /** A kept revision becomes a new one; while a commit waits for `confirm`, the one before it comes back at once. `steps` back from the current one is the caller's arithmetic. */
  rollback(params: { readonly author: Author; readonly revision: number; readonly reason: string; readonly confirmMinutes: number | null; readonly restart?: boolean | undefined; readonly where?: Where | undefined }): CommitResult;
  history(params: { readonly limit: number }): readonly RevisionRow[];
  /** The file as it stands, read anew by every daemon: for whoever wrote it with an editor. */
  adopt(params: { readonly author: Author; readonly reason: string; readonly confirmMinutes?: number | null | undefined; readonly where?: Where | undefined }): CommitResult;
  /** Configuration, revisions and secrets in one file, encrypted with the passphrase (scrypt, AES-256-GCM). */
  backup(params: { readonly author: Author; readonly passphrase: string }): { readonly fileBase64: string };
  restore(params: { readonly author: Author; readonly passphrase: string; readonly fileBase64: string; readonly confirmMinutes?: number | null | undefined; readonly where?: Where | undefined }): CommitResult;
  /** A new key; every kept secret is sealed with it, and the old keys are forgotten. Each node of a pair has its own: in one that is not active no revision is made. */
  rotateSecrets(params: { readonly author: Author; readonly reason: string }): CommitResult;
  factoryReset(params: { readonly author: Author; readonly reason: string; readonly confirmMinutes?: number | null | undefined }): CommitResult;
  /** Appends to the chain; returns when it is on the disk. */
  audit(params: { readonly author: Author; readonly action: string; readonly target: string; readonly before: Json; readonly after: Json; readonly result: AuditEntry['result']; readonly detail: string }): { readonly sequence: number };
  /** Oldest first; a negative number counts from the end. `of`: the copy of the log of that node; `all`: of both, by time, and the numbers count from the end only. */
  auditLog(params: { readonly fromSequence: number; readonly limit: number; readonly of?: string | undefined }): readonly AuditEntry[];
  /** Walks the whole chain. `brokenAt`: first entry that does not follow from the one before. `copies`: of the logs of other nodes, each a chain of its own. */
  auditVerify(params: Record<string, never>): AuditVerdict & { readonly copies?: readonly (AuditVerdict & { readonly node: string })[] };
  /** For the other node of the pair, which says its name, where it stands and why it cannot follow. */
  line(params: { readonly node: string; readonly mark: string; readonly held: string | null }): PeerLine;
  /** The text with every secret open: for the other node alone, inside what is encrypted between the two. */
  revisionText(params: { readonly revision: number }): { readonly text: string };
  /** A commit by somebody at the other node. `base`: what he began from; secrets in `steps` are open. */
  commitFor(params: { readonly author: Author; readonly base: { readonly revision: number; readonly id: string }; readonly steps: readonly EditStep[]; readonly reason: string; readonly confirmMinutes: number | null; readonly restart?: boolean | undefined; readonly action: 'config.commit' | 'config.adopt' }): CommitResult;
  /** Null: this gateway stands alone. */
  pair(params: Record<string, never>): PairReport | null;
  /** Commits, refusals, returns, and what the audit log could not write. */
  counters(params: Record<string, never>): Readonly<Record<string, number>>;
}

/** Sent to every connected client as the notification `event`. */
export type ConfigdEvent = { readonly type: 'committed'; readonly revision: number; readonly author: Author; readonly pending: boolean } | { readonly type: 'returned'; readonly revision: number; readonly why: string };
