/** A `sip:` or `sips:` URI (RFC 3261 19.1), unescaped nowhere: escapes stay as they came and are compared by meaning. */
export interface SipUri {
  readonly scheme: 'sip' | 'sips';
  /** User part as it stood (escapes kept, `;params` inside it kept), without password. */
  readonly user: string | undefined;
  readonly password: string | undefined;
  /** Name, IPv4, or IPv6 without brackets. */
  readonly host: string;
  readonly port: number | undefined;
  readonly params: ReadonlyMap<string, string | null>;
  /** `?name=value` part. Kept, never honoured (RFC 3261 19.1.5, escruri). */
  readonly headers: string | undefined;
}
