/** All parts of apid, put together. Who opens closes: everything goes into the caller's Closer. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { ApidRequests, ApidStatus } from '#contracts/apid.ts';
import type { Author } from '#contracts/configd.ts';
import type { ReloadAnswer, ReloadParams } from '#contracts/reload.ts';
import { EVERY_ROLE, rolesWithin } from '#core/access/appointment.ts';
import { mayDo } from '#core/access/roles.ts';
import type { ConfigSection, GatewayConfig } from '#core/config/schema.ts';
import { SourceBuckets } from '#core/rate-limit.ts';
import { GatewayError } from '#core/result.ts';
import { addMs } from '#core/units.ts';
import { systemClock as clock } from '#kit/clock.ts';
import type { Closer } from '#kit/closer.ts';
import { Counters } from '#kit/counters.ts';
import { processFigures } from '#kit/process-figures.ts';
import { systemHashes as hashes } from '#kit/hashes.ts';
import type { Log } from '#kit/log.ts';
import { isWildcard, ownAddress } from '#kit/net.ts';
import { systemRandom as random } from '#kit/random.ts';
import type { RpcHandlers } from '#kit/rpc.ts';
import type { RpcPeer } from '#kit/rpc-peers.ts';
import { createApp } from './app.ts';
import { Audit } from './audit.ts';
import { maySee } from './caller.ts';
import { Daemons } from './daemons.ts';
import { Doorman, FIRST_USER } from './doorman.ts';
import { EventHub } from './event-hub.ts';
import { Streams } from './event-streams.ts';
import { fileOf, leaveFirstPassword, removeFirstPassword, takeFirstPassword } from './first-password.ts';
import { Leases } from './leases.ts';
import { Listeners } from './listeners.ts';
import { openApi } from './openapi.ts';
import { Passwords } from './passwords.ts';
import { type By, People } from './people.ts';
import type { Services } from './services.ts';
import { type TlsMaterial, endsSoon, loadTls, ownTls } from './tls.ts';
import { UserFollower } from './user-follower.ts';
import { UserStore } from './user-store.ts';
import { WebhookStore } from './webhook-store.ts';
import { Webhooks } from './webhooks.ts';

const MAX_SEED = 0x7fff_ffff;
const TLS_LOOK_MS = 12 * 3_600_000;

export class Gate {
  readonly #log: Log;
  readonly #services: Services;
  readonly #listeners: Listeners;
  readonly #directory: string;
  readonly #userFollower: UserFollower;
  #config: GatewayConfig;
  #rate: SourceBuckets;
  #tls: TlsMaterial | undefined;
  #tlsLook: Disposable | undefined;

  constructor(config: GatewayConfig, log: Log, closer: Closer) {
    this.#config = config;
    this.#log = log;
    this.#directory = join(config.state.directory, 'apid');
    this.#rate = newRate(config);
    const counters = new Counters();
    const users = closer.use(new UserStore(this.#directory, clock, log));
    const passwords = new Passwords(random);
    const doorman = new Doorman({ clock, random, hashes, store: users, passwords, lives: () => this.#config.api, onEnd: user => this.#lookAgain(user) });
    const events = new EventHub(clock, random);
    const webhooks = closer.use(new Webhooks({ clock, hashes, log, counters, events, store: closer.use(new WebhookStore(this.#directory, clock, log)), node: () => this.#config.node.name }));
    const leases = closer.use(new Leases(clock, () => daemons, log));
    const daemons = new Daemons({ directory: config.rpc.directory, instances: config.media.instances, events, log, onSipdUp: () => void leases.resume() }, closer);
    closer.defer(() => leases.closeAll());
    const streams = closer.use(new Streams(clock, events, counters));
    this.#userFollower = closer.use(new UserFollower({ journal: users.journal, clock, random, counters, log, onChanged: names => names.forEach(name => doorman.end(name)), onReplaced: () => removeFirstPassword(this.#config.rpc.directory) }));
    const people = new People({ clock, random, users, passwords, doorman });
    this.#services = {
      clock, random, log, counters, daemons, users, people, passwords, doorman, events, streams, webhooks, leases,
      audit: new Audit(daemons, counters, log),
      config: () => this.#config,
      openApi,
      rate: () => this.#rate,
      forgetFirstPassword: () => removeFirstPassword(this.#config.rpc.directory),
    };
    closer.defer(() => this.#tlsLook?.[Symbol.dispose]());
    this.#listeners = closer.use(new Listeners({ log, counters, clock, config: () => this.#config.api, tls: () => (this.#tls ??= this.#newMaterial()), app: (factory, tls) => createApp(this.#services, factory, tls), onLeave: app => streams.endOf(app) }));
  }

  async start(): Promise<void> {
    const { doorman, daemons, webhooks } = this.#services;
    // Where nothing listens nobody can log in, and no password need lie about.
    if (this.#config.api.listen.length > 0) await this.#firstUser();
    await daemons.start();
    await this.#userFollower.configure(this.#config);
    webhooks.configure(this.#config.api.webhooks);
    await this.renewTls(true);
    this.#lookAtTls();
    this.#log.info({ users: this.#services.users.users().length, tokens: doorman.accessTokens }, 'api.open');
  }

  async #firstUser(): Promise<void> {
    const password = await this.#services.doorman.firstUser(existsSync(fileOf(this.#config.rpc.directory)));
    if (password === undefined) return;
    leaveFirstPassword(this.#config.rpc.directory, FIRST_USER, password);
    this.#log.warn({ user: FIRST_USER, show: 'vlink api first-password' }, 'api.first-password-made');
  }

  /** What `apply` would say, with nothing changed: new addresses are bound for a moment. */
  async check(next: GatewayConfig): Promise<string | null> {
    return this.refusalOf(next) ?? (await this.#listeners.refusalOf(next.api.listen));
  }

  /** Why a configuration cannot be taken over; null when it can. */
  refusalOf(next: GatewayConfig): string | null {
    if (next.rpc.directory !== this.#config.rpc.directory) return 'rpc.directory: needs a restart of viewlink.target';
    if (next.state.directory !== this.#config.state.directory) return 'state.directory: needs a restart of viewlink-apid';
    if (next.media.instances !== this.#config.media.instances) return 'media.instances: needs a restart of viewlink.target';
    if (next.api.certificateFile === '') return null;
    try {
      loadTls(next.api.certificateFile, next.api.keyFile);
      return null;
    } catch (error) {
      if (error instanceof GatewayError) return `api.certificateFile: ${error.detail['why']}`;
      throw error;
    }
  }

  /** Takes over what changed; who is connected stays, unless his address is listened on no more. */
  async apply(next: GatewayConfig, changed: readonly ConfigSection[]): Promise<string | null> {
    const refused = this.refusalOf(next);
    if (refused !== null) return refused;
    const before = this.#config;
    this.#config = next;
    this.#log.level = next.log.level;
    await this.#userFollower.configure(next);
    if (!changed.includes('api') && !changed.includes('node')) return null;
    if (before.api.requestsPerS !== next.api.requestsPerS) this.#rate = newRate(next);
    try {
      await this.renewTls();
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      this.#config = before;
      return String(error.detail['why']);
    }
    this.#services.webhooks.configure(next.api.webhooks);
    if (next.api.listen.length > 0) await this.#firstUser();
    return null;
  }

  /** Our own one is made anew before it ends, without anybody doing something for it. */
  #lookAtTls(): void {
    if (this.#tls?.selfSigned === true && endsSoon(this.#tls, clock)) void this.renewTls();
    this.#tlsLook = clock.schedule(addMs(clock.now(), TLS_LOOK_MS), () => this.#lookAtTls());
  }

  /** Certificate files may be others under the same names: read anew on every reload. */
  async renewTls(patient = false): Promise<void> {
    await this.#listeners.configure(() => void (this.#tls = this.#config.api.listen.some(({ tls }) => tls) ? this.#newMaterial() : undefined), patient);
  }

  /** A user is not what he was: what goes on for him ends, where he may not have it any more. */
  #lookAgain(user: string): void {
    const { streams, leases, users } = this.#services;
    streams.lookAgain(user);
    const row = users.user(user);
    leases.lookAgain(user, ({ deviceId, channelId }) => row !== undefined && !row.disabled && mayDo(row.roles, 'watch') && maySee(row, deviceId, channelId));
  }

  handlers(reload: (params: ReloadParams) => Promise<ReloadAnswer>): RpcHandlers<ApidRequests> {
    const { people, doorman, counters } = this.#services;
    return {
      status: () => this.#status(),
      takeFirstPassword: () => takeFirstPassword(this.#config.rpc.directory),
      users: () => people.summaries(),
      userChanges: ({ sinceSeq }) => this.#services.users.journal.changes(sinceSeq),
      unlockUser: ({ name }) => ({ locks: doorman.unlock(people.found(name).name) }),
      resetPassword: async ({ author, name }, peer) => ({ password: await people.resetPassword(name, consoleBy(author, peer)), waiting: people.found(name).waiting?.roles ?? [] }),
      waitingRoles: () => people.waiting(),
      approveRoles: ({ author, name }, peer) => ({ roles: people.approve(name, null, consoleBy(author, peer)).roles }),
      counters: () => ({ ...counters.snapshot(), ...processFigures() }),
      reload,
    };
  }

  #status(): ApidStatus {
    const { users, doorman, streams, webhooks } = this.#services;
    return {
      listening: this.#listeners.rows,
      certificateSha256: this.#tls?.sha256 ?? null,
      selfSigned: this.#tls?.selfSigned ?? false,
      users: users.users().length,
      firstPasswordWaits: existsSync(fileOf(this.#config.rpc.directory)),
      accessTokens: doorman.accessTokens,
      listeners: streams.size,
      webhooks: webhooks.rows,
    };
  }

  #newMaterial(): TlsMaterial {
    const { api, node } = this.#config;
    const addresses = api.listen.filter(({ tls }) => tls).map(({ address }) => (isWildcard(address) ? ownAddress() : address));
    return api.certificateFile === '' ? ownTls({ directory: this.#directory, name: node.name, addresses, clock, random }) : loadTls(api.certificateFile, api.keyFile);
  }
}

const consoleBy = ({ user }: Author, { rights }: RpcPeer): By => ({ user, via: 'cli', roles: rights === 'all' ? EVERY_ROLE : rolesWithin(rights) });

const newRate = ({ api }: GatewayConfig): SourceBuckets => new SourceBuckets(api.requestsPerS, random.int(MAX_SEED));
