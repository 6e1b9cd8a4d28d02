/** A connection to the Redis of this node that comes and goes: one that is away fails commands at once, and is tried again for ever. */
import { createClient } from 'redis';
import type { Log } from './log.ts';

const RETRY_MS = 100;
const LONGEST_RETRY_MS = 1000;

export interface RedisPlace {
  readonly host: string;
  readonly port: number;
  readonly password: string;
}

export type RedisClient = ReturnType<typeof createClient>;

export interface RedisLink extends AsyncDisposable {
  readonly up: boolean;
  /** A raw command. Rejects when the connection is away, or with the answer of Redis when that is an error. */
  command(words: readonly string[]): Promise<unknown>;
}

export interface RedisLinkOptions {
  readonly log: Log;
  /** Connected and let in, first or again. */
  readonly onUp?: () => void;
  readonly onDown?: () => void;
}

/** Returns at once; `onUp` tells when it stands. */
export function openRedis({ host, port, password }: RedisPlace, { log, onUp, onDown }: RedisLinkOptions): RedisLink {
  const client = createClient({
    password,
    // Answers as flat lists.
    RESP: 2,
    socket: { host, port, connectTimeout: LONGEST_RETRY_MS, reconnectStrategy: tries => Math.min(RETRY_MS * 2 ** Math.min(tries, 8), LONGEST_RETRY_MS) },
    disableOfflineQueue: true,
  });
  let wasUp = false;
  const down = (): void => {
    if (wasUp) onDown?.();
    wasUp = false;
  };
  client.on('ready', () => {
    wasUp = true;
    log.info({ host, port }, 'redis.up');
    onUp?.();
  });
  client.on('error', (error: Error) => {
    if (wasUp) log.warn({ host, port, why: error.message }, 'redis.down');
    down();
  });
  client.on('end', down);
  void client.connect().catch(() => undefined);
  return {
    get up() {
      return client.isReady;
    },
    command: words => client.sendCommand([...words]),
    async [Symbol.asyncDispose]() {
      client.destroy();
      await Promise.resolve();
    },
  };
}
