/**
 * How the state stands in Redis. One hash a table (`vl:t:TABLE`, key -> row), one stream of what changed (`vl:log`, one entry a write),
 * and the term of the last writer (`vl:term`). `vl:whole` is there when nothing is missing, and is another one after each time that all was compared:
 * Redis keeps nothing over its own restart, and is then filled anew. A writer of an older term is refused inside Redis itself: who lost the active role
 * can spoil nothing, however late his write comes.
 */
import { GatewayError } from '#core/result.ts';
import type { RedisLink } from './redis-link.ts';
import { type Table, TABLE_NAMES } from './sqlite-tables.ts';
import type { RowChange } from './store-rows.ts';

const TERM_KEY = 'vl:term';
const LOG_KEY = 'vl:log';
const WHOLE_KEY = 'vl:whole';
const tableKey = (table: Table): string => `vl:t:${table}`;
/** Writes that a follower may be behind before it has to compare everything. */
const MAX_LOG_ENTRIES = 10_000;
const STALE = 'STALE';

/** ARGV: term, then table, key and row of each change; an empty row is a deletion. Or the term and the mark: all is there now. */
const WRITE = `
local term = tonumber(ARGV[1])
local current = tonumber(redis.call('GET', KEYS[1]) or '0')
if term < current then return redis.error_reply('${STALE} ' .. current) end
if term > current then redis.call('SET', KEYS[1], ARGV[1]) end
if #ARGV == 2 then redis.call('SET', KEYS[3], ARGV[2]) return 0 end
for i = 2, #ARGV, 3 do
  if ARGV[i + 2] == '' then redis.call('HDEL', 'vl:t:' .. ARGV[i], ARGV[i + 1]) else redis.call('HSET', 'vl:t:' .. ARGV[i], ARGV[i + 1], ARGV[i + 2]) end
end
local entry = {}
for i = 2, #ARGV do entry[i - 1] = ARGV[i] end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ${MAX_LOG_ENTRIES}, '*', 'term', ARGV[1], 'changes', cjson.encode(entry))
return 0`;

/** All or nothing. NOT_PERMITTED when somebody wrote with a later term; DAEMON_UNREACHABLE when it did not arrive. */
export const writeState = (redis: RedisLink, term: number, changes: readonly RowChange[]): Promise<void> => write(redis, term, changes.flatMap(({ table, key, row }) => [table, key, row ?? '']));

/** Says that nothing is missing; `mark` was never used before. Fails as `writeState`. */
export const markWhole = (redis: RedisLink, term: number, mark: string): Promise<void> => write(redis, term, [mark]);

async function write(redis: RedisLink, term: number, words: readonly string[]): Promise<void> {
  try {
    await redis.command(['EVAL', WRITE, '3', TERM_KEY, LOG_KEY, WHOLE_KEY, String(term), ...words]);
  } catch (error) {
    const why = (error as Error).message;
    // A copy that is about to become the primary takes nothing yet; one of a later term never will.
    const isStale = why.startsWith(STALE) || (why.startsWith('READONLY') && (await readTerm(redis).catch(() => 0)) > term);
    throw new GatewayError(isStale ? 'NOT_PERMITTED' : 'DAEMON_UNREACHABLE', { term, why }, { cause: error });
  }
}

export async function readTable(redis: RedisLink, table: Table): Promise<Map<string, string>> {
  const flat = (await redis.command(['HGETALL', tableKey(table)])) as string[];
  const rows = new Map<string, string>();
  for (let i = 0; i + 1 < flat.length; i += 2) rows.set(flat[i]!, flat[i + 1]!);
  return rows;
}

/** 0: nobody ever wrote. */
export async function readTerm(redis: RedisLink): Promise<number> {
  return Number((await redis.command(['GET', TERM_KEY])) ?? 0);
}

/** Null: something may be missing. */
export const wholeMark = async (redis: RedisLink): Promise<string | null> => (await redis.command(['GET', WHOLE_KEY])) as string | null;

/** The newest entry of the stream; what comes is after it. */
export async function lastEntry(redis: RedisLink): Promise<string> {
  const [newest] = (await redis.command(['XREVRANGE', LOG_KEY, '+', '-', 'COUNT', '1'])) as [string, string[]][];
  return newest?.[0] ?? '0-0';
}

export interface LogEntry {
  readonly id: string;
  readonly term: number;
  readonly changes: readonly RowChange[];
}

/** Entries after `id`, oldest first; waits for the first one when `waitMs` is above 0. */
export async function readLog(redis: RedisLink, id: string, { count, waitMs }: { readonly count: number; readonly waitMs: number }): Promise<LogEntry[]> {
  const block = waitMs > 0 ? ['BLOCK', String(waitMs)] : [];
  const answer = (await redis.command(['XREAD', 'COUNT', String(count), ...block, 'STREAMS', LOG_KEY, id])) as [string, [string, string[]][]][] | null;
  return (answer?.[0]?.[1] ?? []).map(([entryId, fields]) => ({ id: entryId, term: Number(fields[1]), changes: readChanges(fields[3] ?? '[]') }));
}

function readChanges(text: string): RowChange[] {
  const flat = JSON.parse(text) as string[];
  const changes: RowChange[] = [];
  for (let i = 0; i + 2 < flat.length; i += 3) {
    const table = TABLE_NAMES.find(name => name === flat[i]);
    if (table !== undefined) changes.push({ table, key: flat[i + 1]!, row: flat[i + 2] === '' ? null : flat[i + 2]! });
  }
  return changes;
}

/** True when entries after `id` may have been trimmed before they were read. */
export async function isBehind(redis: RedisLink, id: string): Promise<boolean> {
  const [oldest] = (await redis.command(['XRANGE', LOG_KEY, '-', '+', 'COUNT', '1'])) as [string, string[]][];
  return oldest !== undefined && id !== '0-0' && compareIds(oldest[0], id) > 0;
}

function compareIds(a: string, b: string): number {
  const [aMs, aSeq] = a.split('-').map(Number) as [number, number];
  const [bMs, bSeq] = b.split('-').map(Number) as [number, number];
  return aMs - bMs || aSeq - bSeq;
}
