/** A SIP endpoint that says nothing to anybody, for a rehearsal: it binds and remembers as the real one does, and sends nothing. */
import type { Dialog, DialogState, Notifier, Outcome, SipEndpoint, Subscription } from '#kit/sip-endpoint.ts';

const UNSENT: Outcome = { type: 'transport-error', why: 'rehearsal' };
const unsent = (): Promise<Outcome> => Promise.resolve(UNSENT);
const nothing = (): void => undefined;

export function muteEndpoint(real: SipEndpoint): SipEndpoint {
  const dialog = (state: DialogState): Dialog => ({ state: real.restoreDialog(state).state, request: unsent, onRequest: undefined, close: nothing });
  const subscription: Subscription = { state: undefined, refresh: nothing, unsubscribe: unsent, replace: nothing, onActive: undefined, onNotify: undefined, onEnded: undefined };
  const notifier = (state: Notifier['state']): Notifier => ({ event: state.event, state, isActive: true, notify: unsent, end: unsent, replace: nothing, onRefreshed: undefined, onEnded: undefined });
  return {
    bound: real.bound,
    begin: nothing,
    onRequest: undefined,
    onInvite: undefined,
    onSubscribe: undefined,
    onStrayNotify: undefined,
    onFlowClosed: undefined,
    onTrace: undefined,
    request: unsent,
    invite: () => ({ onProvisional: undefined, onAccepted: undefined, onFailed: undefined, cancel: nothing }),
    subscribe: () => subscription,
    restoreDialog: dialog,
    restoreSubscription: () => subscription,
    restoreNotifier: notifier,
    localAddressFor: target => real.localAddressFor(target),
    counters: {},
    sizes: {},
    [Symbol.asyncDispose]: () => real[Symbol.asyncDispose](),
  };
}
