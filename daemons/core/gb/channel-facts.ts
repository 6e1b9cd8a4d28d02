/** What engineers know of single channels better than their devices (configuration: channels). */
import type { ChannelFacts } from '../config/view-schema.ts';
import type { CatalogItem } from './catalog-item.ts';
import type { ChannelKey } from './id-mapping.ts';

export class FactBook {
  readonly #facts: ReadonlyMap<string, ChannelFacts>;

  constructor(channels: readonly ChannelFacts[]) {
    this.#facts = new Map(channels.map(facts => [`${facts.device}\n${facts.id}`, facts]));
  }

  /** Of this device's channel; else of that channel wherever it is. */
  of({ deviceId, channelId }: ChannelKey): ChannelFacts | undefined {
    return this.#facts.get(`${deviceId}\n${channelId}`) ?? this.#facts.get(`\n${channelId}`);
  }

  /** The item as the engineer knows it; the same one when there is nothing to add. */
  complete(channel: ChannelKey, item: CatalogItem): CatalogItem {
    const facts = this.#facts.size === 0 ? undefined : this.of(channel);
    if (facts === undefined) return item;
    const { name, civilCode, address, longitude, latitude } = facts;
    return {
      ...item,
      ...(name !== '' && { name }),
      ...(civilCode !== '' && { civilCode }),
      ...(address !== '' && { address }),
      ...(longitude !== undefined && { longitude: String(longitude) }),
      ...(latitude !== undefined && { latitude: String(latitude) }),
    };
  }
}
