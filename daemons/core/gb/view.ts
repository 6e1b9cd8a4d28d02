/**
 * What one upstream may see of what is below us, under which names, and what it may do with it and when: the configuration of its
 * view, compiled. Which ID it knows a channel by is id-mapping; how all of it stands in a catalogue is catalog-tree.
 *
 *   share (outer bound) -> origin (not back to whom it came from) -> rules, the first that fits -> name, allowances
 */
import type { UpstreamConfig } from '../config/schema.ts';
import type { Allowance, Permission } from '../config/view-schema.ts';
import { type ItemState, stateOf } from './catalog-changes.ts';
import type { CatalogItem } from './catalog-item.ts';
import { civilCodeOf, normalizeCivilCode } from './device-id.ts';
import type { ChannelKey } from './id-mapping.ts';
import { ShareRule } from './share-rule.ts';
import { type MatchTarget, Matcher } from './view-match.ts';
import { type WeekMinute, isAllowed, isEverAllowed } from './view-times.ts';

const MAX_NAME = 255;
const PLAIN_NAME = '{name}';
// One for all: there is a verdict for each channel of each upstream.
const NO_ALLOWANCES: readonly Allowance[] = [];
const NO_IDS: readonly string[] = [];

export type ViewSettings = Pick<UpstreamConfig, 'localId' | 'share' | 'alarms' | 'permissions' | 'catalog' | 'view'>;

export interface ViewChannel extends ChannelKey {
  /** As its device published it, with what engineers know better. */
  readonly item: CatalogItem;
  readonly tags: readonly string[];
  readonly nodes: readonly string[];
}

/** How a channel is seen. */
export interface Seen {
  /** Index of the rule that decided; undefined without rules. */
  readonly rule: number | undefined;
  readonly name: string;
  readonly region: string | undefined;
  readonly allow: readonly Allowance[];
  /** Organisations of the configuration that it is in, in their order. */
  readonly organisations: readonly string[];
}

export class View {
  readonly settings: ViewSettings;
  readonly #share: ShareRule;
  readonly #rules: readonly Matcher[];
  readonly #organisations: readonly (readonly [string, Matcher])[];
  readonly #fixed = new Map<string, ViewSettings['view']['fixed'][number]>();

  constructor(settings: ViewSettings) {
    const { share, view } = settings;
    this.settings = settings;
    this.#share = new ShareRule(share);
    this.#rules = view.rules.map(rule => new Matcher(rule));
    const organisations = view.groupsFrom === 'configuration' ? view.groups.flatMap(group => group.organisations) : [];
    this.#organisations = organisations.map(one => [one.id, new Matcher(one)] as const).filter(([, matcher]) => !matcher.isBlank);
    for (const fixed of view.fixed) this.#fixed.set(`${fixed.device}\n${fixed.channel}`, fixed);
  }

  get shape(): 'civil' | 'groups' | 'flat' {
    const { view, catalog } = this.settings;
    return view.tree ?? (catalog.civilTree ? 'civil' : 'flat');
  }

  /** By `share`; rules decide within it. */
  isShared(channel: ChannelKey): boolean {
    return this.#share.covers(channel);
  }

  /** Undefined: no rule shows it. `isShared` and whether it may be offered at all (core/gb/origin) are asked before. */
  see(channel: ViewChannel): Seen | undefined {
    const { rules } = this.settings.view;
    const target = this.#targetOf(channel);
    const { region } = target;
    const index = this.#rules.findIndex(rule => rule.fits(target));
    if (rules.length > 0 && rules[index]?.show !== true) return undefined;
    const rule = rules[index];
    return {
      rule: rule === undefined ? undefined : index,
      name: this.#nameOf(channel, region, rule?.name || this.settings.view.name),
      region,
      allow: rule?.allow ?? NO_ALLOWANCES,
      organisations: this.#organisations.length === 0 ? NO_IDS : this.#organisations.filter(([, matcher]) => matcher.fits(target)).map(([id]) => id),
    };
  }

  /** Index of the rule that decides about it; undefined: none fits, or there are none. */
  ruleOf(channel: ViewChannel): number | undefined {
    const target = this.#targetOf(channel);
    const index = this.#rules.findIndex(rule => rule.fits(target));
    return index < 0 ? undefined : index;
  }

  /** The engineer's ID for a channel; undefined: as others. */
  readonly fixedIdOf = (channel: ChannelKey): string | undefined => this.#fixedOf(channel)?.id || undefined;

  get fixedIds(): ReadonlySet<string> {
    return new Set(this.settings.view.fixed.map(({ id }) => id).filter(id => id !== ''));
  }

  /** Where it lies: as its item says, else by its ID, else where we are. */
  regionOf({ civilCode, deviceId }: Pick<CatalogItem, 'civilCode' | 'deviceId'>): string | undefined {
    return (civilCode === undefined ? undefined : normalizeCivilCode(civilCode)) ?? civilCodeOf(deviceId) ?? civilCodeOf(this.settings.localId);
  }

  /** Its state as this upstream is told; undefined: it is hidden while it is so. */
  stateOf(item: CatalogItem, online: boolean): ItemState | undefined {
    switch (this.settings.view.status) {
      case 'actual':
        return stateOf(item, online);
      case 'always-on':
        return 'ON';
      case 'device':
        return online ? 'ON' : 'OFF';
      case 'hide-offline':
        return stateOf(item, online) === 'ON' ? 'ON' : undefined;
    }
  }

  /** Whether it may do this with what it sees at that time. */
  permits({ allow }: Pick<Seen, 'allow'>, what: Permission, at: WeekMinute): boolean {
    return this.#grants(what) && isAllowed(allow, what, at);
  }

  /** At some time of the week. */
  everPermits({ allow }: Pick<Seen, 'allow'>, what: Permission): boolean {
    return this.#grants(what) && isEverAllowed(allow, what);
  }

  /** Every window whose edges matter. */
  get allowances(): readonly Allowance[] {
    return this.settings.view.rules.flatMap(rule => rule.allow);
  }

  #targetOf({ deviceId, channelId, item, tags, nodes }: ViewChannel): MatchTarget {
    return { deviceId, channelId, name: item.name ?? channelId, tags, nodes, region: this.regionOf(item) };
  }

  #grants(what: Permission): boolean {
    return what === 'alarms' ? this.settings.alarms : this.settings.permissions[what];
  }

  #fixedOf({ deviceId, channelId }: ChannelKey): ViewSettings['view']['fixed'][number] | undefined {
    return this.#fixed.get(`${deviceId}\n${channelId}`) ?? this.#fixed.get(`\n${channelId}`);
  }

  #nameOf({ deviceId, channelId, item }: ViewChannel, region: string | undefined, template: string): string {
    const fixed = this.#fixedOf({ deviceId, channelId })?.name;
    if (fixed !== undefined && fixed !== '') return fixed;
    if (template === PLAIN_NAME && this.settings.view.replace.length === 0 && item.name !== undefined && item.name.length <= MAX_NAME) return item.name;
    const fields: Readonly<Record<string, string | undefined>> = { name: item.name ?? channelId, id: channelId, channel: channelId, device: deviceId, civil: region, manufacturer: item.manufacturer };
    let name = template.replace(/\{(\w{1,16})\}/g, (text, field: string) => (Object.hasOwn(fields, field) ? (fields[field] ?? '') : text));
    for (const { find, with: text } of this.settings.view.replace) name = name.replaceAll(find, () => text);
    const trimmed = name.trim().slice(0, MAX_NAME);
    return trimmed === '' ? channelId : trimmed;
  }
}
