/** Links to the other daemons: what apid offers is theirs. */
import { join } from 'node:path';
import type { ConfigdEvent, ConfigdRequests } from '#contracts/configd.ts';
import type { HealthdEvent, HealthdRequests } from '#contracts/healthd.ts';
import type { MediadRequests } from '#contracts/mediad.ts';
import type { SipdEvent, SipdRequests } from '#contracts/sipd.ts';
import { GatewayError } from '#core/result.ts';
import type { Closer } from '#kit/closer.ts';
import type { Log } from '#kit/log.ts';
import { RpcLink } from '#kit/rpc-link.ts';
import type { EventHub } from './event-hub.ts';

export interface DaemonsDeps {
  readonly directory: string;
  readonly instances: number;
  readonly events: EventHub;
  readonly log: Log;
  onSipdUp(): void;
}

export class Daemons {
  readonly sipd: RpcLink<SipdRequests, SipdEvent>;
  readonly configd: RpcLink<ConfigdRequests, ConfigdEvent>;
  readonly healthd: RpcLink<HealthdRequests, HealthdEvent>;
  readonly #mediads: ReadonlyMap<string, RpcLink<MediadRequests>>;

  constructor({ directory, instances, events, log, onSipdUp }: DaemonsDeps, closer: Closer) {
    const options = <Event extends Parameters<EventHub['put']>[0]>(daemon: string) => ({
      log,
      onEvent: (event: Event): void => events.put(event),
      onUp: (): void => events.put({ type: 'daemon-back', daemon }),
      onDown: (): void => events.put({ type: 'daemon-lost', daemon }),
    });
    const sipdOptions = options<SipdEvent>('sipd');
    this.sipd = closer.use(new RpcLink(join(directory, 'sipd.sock'), { ...sipdOptions, onUp: () => (sipdOptions.onUp(), onSipdUp()) }));
    this.configd = closer.use(new RpcLink(join(directory, 'configd.sock'), options<ConfigdEvent>('configd')));
    this.healthd = closer.use(new RpcLink(join(directory, 'healthd.sock'), options<HealthdEvent>('healthd')));
    const names = Array.from({ length: instances }, (_, i) => String(i + 1));
    this.#mediads = new Map(names.map(name => [name, closer.use(new RpcLink<MediadRequests>(join(directory, `mediad-${name}.sock`), { log }))]));
  }

  /** Returns after the first attempt at each. */
  async start(): Promise<void> {
    await Promise.all([this.sipd, this.configd, this.healthd, ...this.#mediads.values()].map(link => link.start()));
  }

  get instances(): readonly string[] {
    return [...this.#mediads.keys()];
  }

  mediad(instance: string): RpcLink<MediadRequests> {
    const link = this.#mediads.get(instance);
    if (link === undefined) throw new GatewayError('MEDIA_UNAVAILABLE', { instance });
    return link;
  }

  /** Where this channel runs already, else the first that is there. */
  async mediadOf(deviceId: string, channelId: string): Promise<RpcLink<MediadRequests>> {
    const sessions = await this.sipd.call('listSessions', {});
    const running = sessions.find(session => session.deviceId === deviceId && session.channelId === channelId)?.instance;
    // One on the other node of a pair is fed from here all the same.
    return (running === undefined ? undefined : this.#mediads.get(running)) ?? this.mediad(this.instances.find(name => this.mediad(name).up) ?? '1');
  }
}
