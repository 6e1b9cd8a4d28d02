/** Digest of npm `sip` 0.0.6; the package has no types. */
declare module 'sip/digest.js' {
  import type { Message } from 'sip';

  /** Kept by the caller from the challenge on. */
  export interface Session {
    realm?: string;
    [field: string]: unknown;
  }
  const digest: {
    challenge(session: Session, response: Message): Message;
    authenticateRequest(session: Session, request: Message, credentials: { user: string; password: string }): boolean;
    signRequest(session: Session, request: Message, challenged: Message, credentials: { user: string; password: string; realm: string }): unknown;
  };
  export default digest;
}
