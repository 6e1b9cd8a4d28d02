/** How the client speaks: fetch, tokens that renew themselves, failures with codes, events. Needs nothing but fetch. */

export interface TokenPair {
  readonly accessToken: string;
  readonly refreshToken: string;
}

export interface ClientOptions {
  /** `https://ADDRESS:PORT`. */
  readonly baseUrl: string;
  /** Another one than that of the platform: for a certificate of its own, or a client certificate. */
  readonly fetch?: (url: string, init: RequestInit) => Promise<Response>;
  /** An API token, for programs; people log in. */
  readonly token?: string;
}

/** What the gateway answered instead. `code` is one to branch on. */
export class ViewLinkError extends Error {
  override readonly name = 'ViewLinkError';
  readonly status: number;
  readonly code: string;
  readonly detail: Readonly<Record<string, string | number>>;
  constructor(status: number, code: string, message: string, detail: Readonly<Record<string, string | number>>) {
    super(message);
    this.status = status;
    this.code = code;
    this.detail = detail;
  }
}

export interface GatewayEvent {
  /** For `lastEventId` when the stream is opened again. */
  readonly id: string;
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface EventOptions {
  readonly types?: readonly string[];
  readonly lastEventId?: string;
  readonly signal?: AbortSignal;
}

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>> | undefined;
  readonly body?: unknown;
}

export class Transport {
  readonly #base: string;
  readonly #fetch: NonNullable<ClientOptions['fetch']>;
  #token: string | undefined;
  #refreshToken: string | undefined;

  constructor({ baseUrl, fetch = globalThis.fetch, token }: ClientOptions) {
    this.#base = baseUrl.replace(/\/$/, '');
    this.#fetch = fetch;
    this.#token = token;
  }

  /** After a log-in; the pair is renewed when it is over. */
  setTokens(tokens: TokenPair | undefined): void {
    this.#token = tokens?.accessToken;
    this.#refreshToken = tokens?.refreshToken;
  }

  protected async json<T>(asked: Asked): Promise<T> {
    const response = await this.#answered(asked);
    return (response.status === 204 ? null : await response.json()) as T;
  }

  protected async bytes(asked: Asked): Promise<Uint8Array> {
    return new Uint8Array(await (await this.#answered(asked)).arrayBuffer());
  }

  protected async text(asked: Asked): Promise<string> {
    return (await this.#answered(asked)).text();
  }

  /** Until it is aborted, or the gateway ends it: then open it again with the ID of the last event. */
  protected async *stream(path: string, { types, lastEventId, signal }: EventOptions): AsyncGenerator<GatewayEvent> {
    const headers = { ...(lastEventId !== undefined && { 'Last-Event-ID': lastEventId }) };
    const response = await this.#answered({ method: 'GET', path, query: { types: types?.join(',') } }, headers, signal);
    let rest = '';
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      const blocks = (rest + chunk).split('\n\n');
      rest = blocks.pop()!;
      for (const block of blocks) {
        const event = readEvent(block);
        if (event !== undefined) yield event;
      }
    }
  }

  async #answered(asked: Asked, headers: Readonly<Record<string, string>> = {}, signal?: AbortSignal): Promise<Response> {
    let response = await this.#send(asked, headers, signal);
    if (response.status === 401 && this.#refreshToken !== undefined && (await this.#renew())) response = await this.#send(asked, headers, signal);
    if (response.ok) return response;
    const failure = (await response.json().catch(() => ({}))) as { code?: string; message?: string; detail?: Record<string, string | number> };
    throw new ViewLinkError(response.status, failure.code ?? 'INTERNAL', failure.message ?? response.statusText, failure.detail ?? {});
  }

  #send({ method, path, query, body }: Asked, headers: Readonly<Record<string, string>>, signal: AbortSignal | undefined): Promise<Response> {
    const given = Object.entries(query ?? {}).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]]));
    const url = `${this.#base}${path}${given.length === 0 ? '' : `?${new URLSearchParams(given).toString()}`}`;
    return this.#fetch(url, {
      method,
      redirect: 'error',
      headers: { ...headers, ...(this.#token !== undefined && { Authorization: `Bearer ${this.#token}` }), ...(body !== undefined && { 'Content-Type': 'application/json' }) },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      ...(signal !== undefined && { signal }),
    });
  }

  /** False: the log-in is over. */
  async #renew(): Promise<boolean> {
    const response = await this.#fetch(`${this.#base}/api/v1/login/refresh`, { method: 'POST', redirect: 'error', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ refreshToken: this.#refreshToken }) });
    this.setTokens(response.ok ? ((await response.json()) as TokenPair) : undefined);
    return response.ok;
  }
}

/** Undefined: a comment, or a sign of life. */
function readEvent(block: string): GatewayEvent | undefined {
  const fields = new Map(block.split('\n').map(line => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]));
  const [type, data] = [fields.get('event'), fields.get('data')];
  return type === undefined || data === undefined ? undefined : { id: fields.get('id') ?? '', type, data: JSON.parse(data) as Record<string, unknown> };
}
