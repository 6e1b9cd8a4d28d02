/** IO around one SinkReturn: the sink of a viewer over TCP after a takeover, and the re-INVITE that asks its upstream to connect anew. */
import type { Endpoint, MediadEvent } from '#contracts/mediad.ts';
import { type ReturnRemote, SinkReturn, type SinkReturnInput, type SinkReturnOutput } from '#core/gb/sink-return.ts';
import { GatewayError, assertNever } from '#core/result.ts';
import { SDP_TYPE } from '#core/sdp/build.ts';
import { Alarm, type Clock } from '#kit/clock.ts';
import type { Outcome } from '#kit/sip-endpoint.ts';
import { InputQueue } from './input-queue.ts';
import type { MediaPool } from './media-pool.ts';
import { reopenedSink } from './sink-reopening.ts';
import type { Source } from './source.ts';
import type { StoredViewer } from './viewer-plan.ts';

export interface ViewerReturnDeps {
  readonly clock: Clock;
  readonly media: MediaPool;
  readonly source: Source;
  /** The viewer as it would be stored now. */
  stored(): StoredViewer | null;
  /** The INVITE in its dialog with our next SDP; undefined: there is no dialog. */
  reinvite(contentType: string): Promise<Outcome> | undefined;
  /** Where it wants the media now; a sentence where that cannot be. */
  readAnswer(body: Uint8Array): ReturnRemote | string;
  /** It wants the media here from now on. */
  moved(remote: ReturnRemote): void;
  /** Its sink is here now. */
  opened(local: Endpoint): void;
  back(asked: boolean): void;
  lost(why: string): void;
}

export class ViewerReturn implements Disposable {
  readonly #deps: ViewerReturnDeps;
  readonly #session: SinkReturn;
  readonly #alarm: Alarm;
  readonly #queue: InputQueue<SinkReturnInput>;
  #asked = false;

  constructor(deps: ViewerReturnDeps, listens: boolean) {
    this.#deps = deps;
    const session = (this.#session = new SinkReturn({ listens }));
    this.#alarm = new Alarm(deps.clock, () => this.feed({ type: 'tick' }));
    this.#queue = new InputQueue(input => {
      for (const output of session.handle(input, deps.clock.now())) this.#carryOut(output);
    }, () => this.#alarm.arm(session.deadline));
  }

  /** The sink is as it was before, or is lost for good. */
  get isOver(): boolean {
    return this.#session.phase === 'back' || this.#session.phase === 'lost';
  }

  feed(input: SinkReturnInput): void {
    this.#queue.feed(input);
  }

  /** False: not for it. */
  onMediaEvent(event: MediadEvent): boolean {
    if (this.isOver) return false;
    if (event.type === 'sink-connected') this.feed({ type: 'connected' });
    else if (event.type === 'sink-closed') this.feed({ type: 'closed', why: event.why });
    return true;
  }

  [Symbol.dispose](): void {
    this.#alarm[Symbol.dispose]();
  }

  #carryOut(output: SinkReturnOutput): void {
    switch (output.type) {
      case 'ask':
        return void this.#ask();
      case 'open':
        return this.#open();
      case 'back':
        return this.#deps.back(this.#asked);
      case 'lost':
        return this.#deps.lost(output.why);
      default:
        return assertNever(output);
    }
  }

  async #ask(): Promise<void> {
    this.#asked = true;
    const outcome = await this.#deps.reinvite(SDP_TYPE);
    if (outcome?.type !== 'response') return this.feed({ type: 'refused', why: outcome?.type ?? 'no dialog' });
    const { status, reason, body } = outcome.response;
    if (status >= 300) return this.feed({ type: 'refused', why: `${status} ${reason}`.trimEnd() });
    const remote = this.#deps.readAnswer(body);
    if (typeof remote === 'string') return this.feed({ type: 'refused', why: remote });
    this.#deps.moved(remote);
    this.feed({ type: 'answered', remote });
  }

  #open(): void {
    const { media, source } = this.#deps;
    const open = async (): Promise<void> => {
      const stored = this.#deps.stored();
      const params = stored === null ? undefined : reopenedSink(stored, { asked: true });
      if (params === undefined || this.isOver) return;
      const { bridgeId, sinkId } = params;
      await media.closeSink(source.instance, bridgeId, sinkId);
      this.#deps.opened((await media.call(source.instance, 'openSink', params)).local);
      await media.call(source.instance, 'startSink', { bridgeId, sinkId });
    };
    source.enqueueMedia(open).catch((error: unknown) => {
      if (!(error instanceof GatewayError)) throw error;
      this.feed({ type: 'closed', why: error.message });
    });
  }
}
