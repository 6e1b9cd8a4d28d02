/** The bridge of one source, as far as its source side goes: where it is, and its RPCs one after another. */
import type { ConnectSourceParams, OpenInletParams, OpenSourceParams } from '#contracts/mediad.ts';
import { GatewayError } from '#core/result.ts';
import type { Log } from '#kit/log.ts';
import type { MediaPool } from './media-pool.ts';

export class SourceBridge {
  readonly bridgeId: string;
  readonly #media: MediaPool;
  readonly #log: Log;
  /** It must run where it was asked for. */
  readonly #pinned: boolean;
  #instance: string;
  /** Of all its legs, to its end. */
  #address: string | undefined;
  #isOpen = false;
  #isOver = false;
  /** A close never overtakes its open. */
  #queue: Promise<void> = Promise.resolve();

  constructor(bridgeId: string, instance: string, pinned: boolean, media: MediaPool, log: Log) {
    this.bridgeId = bridgeId;
    this.#instance = instance;
    this.#pinned = pinned;
    this.#media = media;
    this.#address = media.nodes.addressOf(instance);
    this.#log = log;
  }

  get instance(): string {
    return this.#instance;
  }

  get address(): string | undefined {
    return this.#address;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** It was open before a restart, with legs on these addresses. `until`: what is asked of it waits until it is known whether it stands. */
  wasOpen(addresses: readonly string[], until: Promise<void> | undefined): void {
    this.#isOpen = true;
    this.#address = addresses.find(address => this.#media.nodes.nodeWith(address) !== undefined) ?? this.#address;
    if (until !== undefined) this.#queue = until;
  }

  movedTo(instance: string): void {
    this.#instance = instance;
  }

  /** Runs an RPC of this bridge behind those before it. */
  enqueue<T>(task: () => Promise<T>): Promise<T> {
    const done = this.#queue.then(task);
    this.#queue = done.then(() => undefined, (error: unknown) => {
      if (!(error instanceof GatewayError)) throw error;
      this.#log.warn({ bridgeId: this.bridgeId, why: error.message }, 'media.rpc-failed');
    });
    return done;
  }

  /** A source leg: the bridge itself with the first one, a replacement with the others. */
  openLeg(params: Omit<OpenSourceParams, 'bridgeId' | 'replaces'>): Promise<{ address: string; port: number }> {
    const { bridgeId } = this;
    return this.enqueue(async () => {
      this.#refuseWhenOver();
      if (this.#isOpen) return (await this.#media.call(this.#instance, 'openSource', { ...params, bridgeId, replaces: true })).local;
      const { instance, local } = await this.#media.openBridge(this.#instance, { ...params, bridgeId }, { elsewhere: !this.#pinned });
      if (instance !== this.#instance) this.#address = this.#media.nodes.addressOf(instance);
      this.#instance = instance;
      this.#isOpen = true;
      return local;
    });
  }

  openInlet(params: Omit<OpenInletParams, 'bridgeId'>): Promise<void> {
    return this.enqueue(async () => {
      this.#refuseWhenOver();
      await this.#media.openInlet(this.#instance, { ...params, bridgeId: this.bridgeId });
      this.#isOpen = true;
    });
  }

  connectLeg(params: Omit<ConnectSourceParams, 'bridgeId'>): Promise<void> {
    return this.enqueue(async () => void (await this.#media.call(this.#instance, 'connectSource', { ...params, bridgeId: this.bridgeId })));
  }

  /** `before`: the last look at it. */
  closeLeg(legId: string, before: () => Promise<void>): void {
    const close = async (): Promise<void> => {
      await before();
      if (!this.#isOver && this.#isOpen) await this.#media.closeSource(this.#instance, this.bridgeId, legId);
    };
    void this.enqueue(close).catch(() => undefined);
  }

  close(before: () => Promise<void>): void {
    this.#isOver = true;
    const close = async (): Promise<void> => {
      await before();
      await this.#media.closeBridge(this.#instance, this.bridgeId);
    };
    void this.enqueue(close).catch(() => undefined);
  }

  #refuseWhenOver(): void {
    if (this.#isOver) throw new GatewayError('MEDIA_UNAVAILABLE', { bridgeId: this.bridgeId, why: 'closed before it was opened' });
  }
}
