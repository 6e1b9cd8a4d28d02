/** The keys of this machine's secrets: made at the first start, used by whatever configd stores, changed by `rotate`. */
import { mapSecrets, maskSecret } from '#core/config/secrets.ts';
import type { Json } from '#core/config/json.ts';
import { type SchemaNode, SCHEMA_TREE } from '#core/config/schema-tree.ts';
import { GatewayError } from '#core/result.ts';
import { withSecrets } from '#kit/config-edit.ts';
import { openedText, openedValue } from '#kit/config-opened.ts';
import type { ConfigDocument } from '#kit/config-text.ts';
import { GROUP_READS, writeDurably } from '#kit/durable.ts';
import type { Random } from '#kit/random.ts';
import { formatKeyRing, isSealed, type KeyPlace, type KeyRing, loadKeyRing, newKey, openSecret, sealSecret } from '#kit/secret-box.ts';

export class Secrets {
  readonly #place: KeyPlace;
  readonly #random: Random;
  #ring: KeyRing;

  private constructor(ring: KeyRing, place: KeyPlace, random: Random) {
    this.#ring = ring;
    this.#place = place;
    this.#random = random;
  }

  /** CONFIG_INVALID: there is a credential, and no key in it. */
  static async open(configPath: string, random: Random): Promise<Secrets> {
    const { ring, place } = await loadKeyRing(configPath);
    const secrets = new Secrets(ring, place, random);
    if (ring.length > 0) return secrets;
    if (place.credential) throw new GatewayError('CONFIG_INVALID', { file: place.path, why: 'the credential has no key in it' });
    secrets.#save([newKey(random)]);
    return secrets;
  }

  get ring(): KeyRing {
    return this.#ring;
  }

  /** What is stored of a value given for this place. What is sealed already stays so. */
  seal(value: Json, node: SchemaNode): Json {
    return mapSecrets(value, node, (secret, kind) => (kind === 'hash' || typeof secret !== 'string' || isSealed(secret) ? secret : sealSecret(this.#ring, secret, this.#random)));
  }

  /** The text with every open secret sealed. A mask stands for the secret at its path in `base`. BAD_REQUEST: something there cannot be one. */
  sealText(read: ConfigDocument, base: Json): string {
    const known = mapSecrets(
      read.value,
      SCHEMA_TREE,
      (secret, kind, before, { at, schema }) => {
        if (before !== undefined && secret === this.#masked(before, kind)) return before;
        // Kept as it is it would lie open.
        if (!(typeof secret === 'string' && isSealed(secret)) && !schema.safeParse(secret).success) throw new GatewayError('BAD_REQUEST', { path: at, why: 'what stands there cannot be that secret' });
        return secret;
      },
      base,
    );
    return withSecrets(read, this.seal(known, SCHEMA_TREE));
  }

  /** The text sealed with the first of our keys in place of those of `from`. CONFIG_INVALID: one cannot be opened. */
  resealText(read: ConfigDocument, from: KeyRing): string {
    const sealed = mapSecrets(read.value, SCHEMA_TREE, secret => {
      if (typeof secret !== 'string' || !isSealed(secret)) return secret;
      const text = openSecret(from, secret);
      if (text === undefined) throw new GatewayError('CONFIG_INVALID', { why: 'a secret cannot be opened: its key is not here' });
      return sealSecret(this.#ring, text, this.#random);
    });
    return withSecrets(read, this.seal(sealed, SCHEMA_TREE));
  }

  /** The text with every secret open, for the other node alone. CONFIG_INVALID: one cannot be opened. */
  openText(read: ConfigDocument): string {
    return openedText(read, this.#ring);
  }

  /** A part of the configuration with every secret open, as `openText`. */
  openValue(value: Json, node: SchemaNode | undefined): Json {
    return openedValue(value, node, this.#ring);
  }

  /** The text of somebody who opened its secrets, sealed with our key. One that stands in `base` already stays as it is there: it did not change. */
  sealAll(read: ConfigDocument, base: Json): string {
    const known = mapSecrets(read.value, SCHEMA_TREE, (secret, _kind, before) => (typeof before === 'string' && isSealed(before) && openSecret(this.#ring, before) === secret ? before : secret), base);
    return withSecrets(read, this.seal(known, SCHEMA_TREE));
  }

  /** A new key in front; the old ones still open. NOT_PERMITTED: the keys are a credential, which is not ours. */
  addKey(): void {
    if (this.#place.credential) throw new GatewayError('NOT_PERMITTED', { why: 'the key is a credential of systemd: seal a new one with systemd-creds, restart the daemons, then commit' });
    this.#save([newKey(this.#random), ...this.#ring]);
  }

  /** Nothing is sealed with the old keys any more. */
  forgetOldKeys(): void {
    if (this.#ring.length > 1) this.#save(this.#ring.slice(0, 1));
  }

  /** As it would be shown: of a URL its front is needed. */
  #masked(secret: Json, kind: Parameters<typeof maskSecret>[1]): Json {
    const open = typeof secret === 'string' && isSealed(secret) ? (openSecret(this.#ring, secret) ?? secret) : secret;
    return maskSecret(open, kind);
  }

  #save(ring: KeyRing): void {
    writeDurably(this.#place.path, formatKeyRing(ring), GROUP_READS);
    this.#ring = ring;
  }
}
