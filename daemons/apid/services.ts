/** What routes are given to work with. */
import type { GatewayConfig } from '#core/config/schema.ts';
import type { SourceBuckets } from '#core/rate-limit.ts';
import type { Clock } from '#kit/clock.ts';
import type { Counters } from '#kit/counters.ts';
import type { Log } from '#kit/log.ts';
import type { Random } from '#kit/random.ts';
import type { Audit } from './audit.ts';
import type { Daemons } from './daemons.ts';
import type { Doorman } from './doorman.ts';
import type { EventHub } from './event-hub.ts';
import type { Leases } from './leases.ts';
import type { Passwords } from './passwords.ts';
import type { People } from './people.ts';
import type { Streams } from './event-streams.ts';
import type { UserStore } from './user-store.ts';
import type { Webhooks } from './webhooks.ts';

export interface Services {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly counters: Counters;
  readonly daemons: Daemons;
  readonly users: UserStore;
  readonly people: People;
  readonly passwords: Passwords;
  readonly doorman: Doorman;
  readonly audit: Audit;
  readonly events: EventHub;
  readonly streams: Streams;
  readonly webhooks: Webhooks;
  readonly leases: Leases;
  config(): GatewayConfig;
  /** The interface about itself. */
  openApi(): unknown;
  /** Of requests, by address. */
  rate(): SourceBuckets;
  /** The first password was used. */
  forgetFirstPassword(): void;
}
