/** Columns and key of each table of the state: statements are made from here. */
export const TABLES = {
  devices: { key: ['id'], columns: ['id', 'name', 'manufacturer', 'model', 'firmware', 'channelCount', 'infoJson'] },
  bindings: { key: ['deviceId'], columns: ['deviceId', 'contactUri', 'transport', 'address', 'port', 'callId', 'cseq', 'expiresAtWallMs', 'savedAtWallMs', 'lastKeepaliveWallMs'] },
  channels: { key: ['deviceId', 'channelId'], columns: ['deviceId', 'channelId', 'ordinal', 'name', 'status', 'civilCode', 'parentId', 'manufacturer', 'itemJson'] },
  mappings: { key: ['upstream', 'deviceId', 'channelId'], columns: ['upstream', 'deviceId', 'channelId', 'mappedId', 'serial'] },
  serials: { key: ['upstream'], columns: ['upstream', 'serial'] },
  sessions: { key: ['sessionId'], columns: ['sessionId', 'kind', 'json'] },
  told: { key: ['subscriptionId', 'itemId'], columns: ['subscriptionId', 'itemId', 'mark'] },
  outbox: { key: ['id'], columns: ['id', 'upstream', 'priority', 'json'] },
  heard: { key: ['slot'], columns: ['slot', 'mark', 'atWallMs'] },
  meta: { key: ['key'], columns: ['key', 'value'] },
} as const;
export type Table = keyof typeof TABLES;
export const TABLE_NAMES = Object.keys(TABLES) as readonly Table[];

export const where = (table: Table): string => TABLES[table].key.map(column => `${column} = @${column}`).join(' AND ');

function upsertSql(table: Table): string {
  const { key, columns } = TABLES[table];
  const rest = columns.filter(column => !(key as readonly string[]).includes(column));
  return `INSERT INTO ${table} (${columns.join(', ')}) VALUES (${columns.map(column => `@${column}`).join(', ')})
    ON CONFLICT (${key.join(', ')}) DO UPDATE SET ${rest.map(column => `${column} = excluded.${column}`).join(', ')}`;
}

export const UPSERT = Object.fromEntries(TABLE_NAMES.map(table => [table, upsertSql(table)])) as Record<Table, string>;
