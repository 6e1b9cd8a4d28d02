/** A gateway with all daemons that the HTTP API stands on, and users of every role. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ApidRequests } from '#contracts/apid.ts';
import type { AuditEntry, ConfigdRequests } from '#contracts/configd.ts';
import type { Role } from '#core/access/roles.ts';
import { Closer } from '#kit/closer.ts';
import { type RpcClient, connectRpc } from '#kit/rpc.ts';
import { ViewLinkClient } from '../../daemons/client/client.ts';
import { DaemonProcess } from '../../scripts/lab/daemon-process.ts';
import { type RelayRig, type RelayRigOptions, openRelayRig } from './relay-rig.ts';
import { type TlsFetch, tlsFetch } from './tls-fetch.ts';
import { freePort } from '../wire/free-port.ts';

export const TOKEN_KEY = 'k'.repeat(40);
const NEW_PASSWORD = 'the-door-stays-shut-7';

export interface ApiRig extends AsyncDisposable {
  readonly rig: RelayRig;
  readonly apid: DaemonProcess;
  readonly configd: DaemonProcess;
  readonly port: number;
  readonly baseUrl: string;
  /** PEM of the gateway's own certificate. */
  readonly ca: string;
  readonly fetch: TlsFetch;
  readonly rpc: RpcClient<ApidRequests>;
  /** As the first user, who may make others. */
  readonly root: ViewLinkClient;
  readonly firstPassword: string;
  client(token?: string): ViewLinkClient;
  /** A person with these roles, logged in with a password of his own. */
  person(name: string, roles: readonly Role[], channels?: readonly string[]): Promise<{ readonly client: ViewLinkClient; readonly accessToken: string; readonly password: string }>;
  audit(): Promise<readonly AuditEntry[]>;
}

export async function openApiRig(options: Partial<RelayRigOptions> & { readonly api?: object } = {}): Promise<ApiRig> {
  await using opening = new Closer();
  const port = await freePort();
  const httpPort = await freePort();
  const sections = { outlets: { address: '127.0.0.1', httpPort, tokenKey: TOKEN_KEY }, api: { listen: [{ address: '127.0.0.1', port }], requestsPerS: 1000, ...options.api }, ...options.sections };
  const rig = opening.use(await openRelayRig({ cameras: [{}], ...options, sections: sections }));
  const { directory, configPath } = rig.gateway;
  const start = (name: string, args: readonly string[] = []): Promise<DaemonProcess> => DaemonProcess.start({ name, entry: `daemons/${name}/main.ts`, args: ['--config', configPath, ...args], readyEvent: `${name}.ready`, logPath: join(directory, `${name}.log`) });
  const configd = opening.use(await start('configd', ['--state', join(directory, 'configd')]));
  opening.use(await start('healthd'));
  const apid = opening.use(await start('apid'));
  const ca = await readFile(join(directory, 'state/apid/tls.crt'), 'utf8');
  const fetch = opening.use(tlsFetch({ ca }));
  const baseUrl = `https://127.0.0.1:${port}`;
  const client = (token?: string): ViewLinkClient => new ViewLinkClient({ baseUrl, fetch, ...(token !== undefined && { token }) });
  const rpc = opening.use(await connectRpc<ApidRequests>(join(directory, 'run/apid.sock')));
  const first = (await rpc.call('takeFirstPassword', {}))!;
  const root = client();
  await entered(root, first.user, first.password);
  const closer = opening.release();
  return {
    rig,
    apid,
    configd,
    port,
    baseUrl,
    ca,
    fetch,
    rpc,
    root,
    firstPassword: first.password,
    client,
    async person(name, roles, channels) {
      const { password } = await root.createUser({ name, kind: 'person', roles, ...(channels !== undefined && { channels }) });
      const own = client();
      const accessToken = await entered(own, name, password!);
      if (!(await agreed(rpc, name))) return { client: own, accessToken, password: NEW_PASSWORD };
      const tokens = await own.logIn({ user: name, password: NEW_PASSWORD });
      own.setTokens(tokens);
      return { client: own, accessToken: tokens.accessToken, password: NEW_PASSWORD };
    },
    async audit() {
      await using configd = await connectRpc<ConfigdRequests>(join(directory, 'run/configd.sock'));
      return await configd.call('auditLog', { fromSequence: 0, limit: 1000 });
    },
    [Symbol.asyncDispose]: () => closer[Symbol.asyncDispose](),
  };
}

/** To whatever waits for a second person, who is root at the console here. */
export async function agreed(rpc: RpcClient<ApidRequests>, name: string): Promise<boolean> {
  const waits = (await rpc.call('waitingRoles', {})).some(row => row.name === name);
  if (waits) await rpc.call('approveRoles', { author: { user: 'root', via: 'cli', address: null }, name });
  return waits;
}

/** Logs in, and changes the password that was good for one time. */
async function entered(client: ViewLinkClient, user: string, password: string): Promise<string> {
  client.setTokens(await client.logIn({ user, password }));
  const tokens = await client.changePassword({ password, newPassword: NEW_PASSWORD });
  client.setTokens(tokens);
  return tokens.accessToken;
}
