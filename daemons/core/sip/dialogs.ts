import type { Flow } from './flow.ts';
import { type SipMessage, tagOf } from './message.ts';
import type { Dialog } from './dialog.ts';

/** More dialogs than this under one Call-ID are never searched for a forgiving match. */
const MAX_FORGIVING = 8;

const keyOf = (callId: string, localTag: string, remoteTag: string): string => `${callId} ${localTag} ${remoteTag}`;

/** All dialogs by Call-ID and tags (RFC 3261 12), and by Call-ID alone for peers that lose the tags. */
export class DialogTable {
  readonly #byTags = new Map<string, Dialog>();
  readonly #byCallId = new Map<string, Dialog[]>();

  get size(): number {
    return this.#byTags.size;
  }

  add(dialog: Dialog): void {
    const key = keyOf(dialog.callId, dialog.localTag, dialog.remoteTag);
    const old = this.#byTags.get(key);
    if (old !== undefined) this.delete(old);
    this.#byTags.set(key, dialog);
    const others = this.#byCallId.get(dialog.callId);
    if (others === undefined) this.#byCallId.set(dialog.callId, [dialog]);
    else others.push(dialog);
  }

  delete(dialog: Dialog): void {
    dialog.closed = true;
    const key = keyOf(dialog.callId, dialog.localTag, dialog.remoteTag);
    if (this.#byTags.get(key) !== dialog) return;
    this.#byTags.delete(key);
    const left = this.#byCallId.get(dialog.callId)?.filter(other => other !== dialog) ?? [];
    if (left.length === 0) this.#byCallId.delete(dialog.callId);
    else this.#byCallId.set(dialog.callId, left);
  }

  /** The dialog of a request of the peer: our tag is in To. */
  find(request: SipMessage): Dialog | undefined {
    return this.#byTags.get(keyOf(request.callId, tagOf(request.to) ?? '', tagOf(request.from) ?? ''));
  }

  /** Some NVRs send BYE and NOTIFY without the To tag: the only dialog of that Call-ID with that address is meant. A wrong tag is a wrong tag (faults.md 12). */
  findForgiving(request: SipMessage, flow: Flow): Dialog | undefined {
    if (tagOf(request.to) !== undefined) return undefined;
    const candidates = this.#byCallId.get(request.callId) ?? [];
    if (candidates.length > MAX_FORGIVING) return undefined;
    const near = candidates.filter(dialog => dialog.target.address === flow.remoteAddress);
    return near.length === 1 ? near[0] : undefined;
  }
}
