import type { Ms } from '../units.ts';
import type { InDialogParts } from './build.ts';
import type { Dialog } from './dialog.ts';
import type { Engine, Expiring } from './engine.ts';
import type { Outcome, PendingRequest } from './pending-request.ts';

/** What one subscription asks of the table that keeps it. */
export interface SubscriptionHost<Output> {
  readonly engine: Engine<Output>;
  /** `onSettled` runs before the owner hears of the outcome. */
  requestInDialog(dialog: Dialog, method: string, parts: InDialogParts, onSettled: (outcome: Outcome, now: Ms) => void, now: Ms): PendingRequest;
  /** The subscription has its dialog now. */
  adopt(subscription: Expiring, dialog: Dialog): void;
  forget(subscription: Expiring, dialog: Dialog | undefined): void;
}
