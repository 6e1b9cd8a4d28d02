/**
 * A sink leg that is fed with a rendition of the source (transcode/): like one whose format differs, once the rendition has pictures.
 *
 *   waiting ──first picture of the rendition──► converted ──rendition ends──► failed
 *      └── no transcoder, no capacity, no picture ──────────────────────────────► failed
 */
import { GatewayError } from '#core/result.ts';
import type { RenderedStream } from './leg.ts';
import type { UnitStream } from './unit-stream.ts';

export interface RenderedSinkOptions {
  render(): Promise<RenderedStream>;
  /** Feeds the leg from now on; `onEnd` when the stream ended. */
  convert(stream: UnitStream, onEnd: (why: string) => void): Disposable;
  /** Once. */
  onFailed(why: string): void;
}

export class RenderedSink implements Disposable {
  readonly #options: RenderedSinkOptions;
  #parts: Disposable[] = [];
  #closed = false;

  constructor(options: RenderedSinkOptions) {
    this.#options = options;
    void this.#start();
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    const parts = this.#parts.reverse();
    this.#parts = [];
    for (const part of parts) part[Symbol.dispose]();
  }

  async #start(): Promise<void> {
    const { render, convert } = this.#options;
    try {
      const rendered = await render();
      if (this.#closed) return rendered[Symbol.dispose]();
      this.#parts.push(rendered);
      this.#parts.push(convert(rendered.stream, why => this.#fail(why)));
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      this.#fail(error.message);
    }
  }

  #fail(why: string): void {
    if (this.#closed) return;
    this[Symbol.dispose]();
    this.#options.onFailed(why);
  }
}
