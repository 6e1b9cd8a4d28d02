/** What apid offers over its RPC socket; what it offers over HTTP is its route table (daemons/apid/routes). */
import type { ReloadAnswer, ReloadParams } from './reload.ts';

export interface ApidStatus {
  readonly listening: readonly { readonly address: string; readonly port: number; readonly tls: boolean }[];
  /** SHA-256 of the certificate that is shown, in hex; null: none is. */
  readonly certificateSha256: string | null;
  /** It vouches for itself. */
  readonly selfSigned: boolean;
  readonly users: number;
  /** The first password was made and nobody has logged in with it. */
  readonly firstPasswordWaits: boolean;
  readonly accessTokens: number;
  readonly listeners: number;
  readonly webhooks: readonly WebhookRow[];
}

export interface WebhookRow {
  readonly name: string;
  /** Scheme and host, never path, query and secret. */
  readonly target: string;
  readonly state: 'idle' | 'sending' | 'waiting';
  readonly queued: number;
  readonly delivered: number;
  readonly dropped: number;
  /** Of the one that it is asked to take now. */
  readonly failures: number;
  readonly why: string | null;
}

export interface ApidRequests {
  status(params: Record<string, never>): ApidStatus;
  /** Shows the first log-in and takes it away; null: it was used or shown. Root only. */
  takeFirstPassword(params: Record<string, never>): { readonly user: string; readonly password: string } | null;
  counters(params: Record<string, never>): Readonly<Record<string, number>>;
  reload(params: ReloadParams): ReloadAnswer;
}
