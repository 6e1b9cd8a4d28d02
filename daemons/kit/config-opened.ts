/** A configuration whose secrets are not sealed: for the other node of a pair, over TLS, and never on a disk. */
import { mapSecrets } from '#core/config/secrets.ts';
import type { Json } from '#core/config/json.ts';
import { type SchemaNode, SCHEMA_TREE } from '#core/config/schema-tree.ts';
import { GatewayError } from '#core/result.ts';
import { withSecrets } from './config-edit.ts';
import type { ConfigDocument } from './config-text.ts';
import { type KeyRing, isSealed, openSecret } from './secret-box.ts';

/** CONFIG_INVALID: a secret cannot be opened. */
export const openedText = (read: ConfigDocument, ring: KeyRing): string => withSecrets(read, openedValue(read.value, SCHEMA_TREE, ring));

/** A part of a configuration; `node` says what it is. CONFIG_INVALID. */
export function openedValue(value: Json, node: SchemaNode | undefined, ring: KeyRing): Json {
  return mapSecrets(value, node, secret => {
    if (typeof secret !== 'string' || !isSealed(secret)) return secret;
    const text = openSecret(ring, secret);
    if (text === undefined) throw new GatewayError('CONFIG_INVALID', { why: 'a secret cannot be opened: its key is not here' });
    return text;
  });
}
