/**
 * The release after this one, for tests of two that work together: `node --import .../next-release.ts`, or NEXT_RELEASE in the environment
 * of a daemon. Its configuration has another version, in which `devices.ptzHoldS` is called otherwise; its state has another version,
 * with a column more in two tables and a table more.
 */
import { registerHooks } from 'node:module';
import { fileURLToPath } from 'node:url';

export const NEXT_RELEASE = { NODE_OPTIONS: `--import=${import.meta.url}` };
export const NEXT_KEY = 'ptzHoldSeconds';

const DAEMONS = new URL('../../daemons/', import.meta.url).href;
const RENAMED = { from: 'ptzHoldS', to: NEXT_KEY };

const CONFIG_MIGRATION = `[{
  to: 2, what: 'another name',
  steps: value => (value.devices?.${RENAMED.from} === undefined ? [] : [{ op: 'rename', place: ['devices', '${RENAMED.from}'], to: '${RENAMED.to}' }]),
}]`;
const STATE_MIGRATION = `{ version: MIGRATIONS.length + 1, sql: \`
  ALTER TABLE devices ADD COLUMN note TEXT;
  ALTER TABLE bindings ADD COLUMN region TEXT NOT NULL DEFAULT 'of old';
  CREATE TABLE keepers (name TEXT PRIMARY KEY, deviceId TEXT NOT NULL) STRICT, WITHOUT ROWID;\` }`;

/** What it says in place of what ours says; each must be there. */
const EDITS: Readonly<Record<string, readonly (readonly [ours: string, theirs: string])[]>> = {
  'core/config/migrations/index.ts': [['= [];', `= ${CONFIG_MIGRATION};`]],
  'kit/migrations/index.ts': [['];', `];\n(MIGRATIONS as Migration[]).push(${STATE_MIGRATION});`]],
  'kit/sqlite-tables.ts': [
    ["'infoJson']", "'infoJson', 'note']"],
    ["'lastKeepaliveWallMs']", "'lastKeepaliveWallMs', 'region']"],
    ['  meta: {', "  keepers: { key: ['name'], columns: ['name', 'deviceId'] },\n  meta: {"],
  ],
  'kit/sqlite-store.ts': [['this.#run(UPSERT[table], row)', "this.#run(UPSERT[table], { note: 'of tomorrow', region: 'here', ...row })"]],
};

function nextSource(path: string, source: string): string {
  let text = source.replaceAll(RENAMED.from, RENAMED.to);
  if (path === 'core/config/migrations/index.ts') text = source;
  for (const [ours, theirs] of EDITS[path] ?? []) {
    if (!text.includes(ours)) throw new Error(`${path} says nothing like ${ours} any more`);
    text = text.replace(ours, () => theirs);
  }
  return text;
}

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context);
    const { source } = loaded;
    if (!url.startsWith(DAEMONS) || source === undefined || source === null) return loaded;
    return { ...loaded, source: nextSource(fileURLToPath(url).slice(fileURLToPath(DAEMONS).length), typeof source === 'string' ? source : new TextDecoder().decode(source)) };
  },
});
