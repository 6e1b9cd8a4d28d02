/** The new node: finds the one that has the code, gets what makes it the other node of the pair, and tries it before it says yes. */
import { type TLSSocket, connect } from 'node:tls';
import type { JoinAsked } from '#contracts/clusterd.ts';
import type { Author } from '#contracts/configd.ts';
import { pairOf } from '#core/config/cluster-schema.ts';
import { type Json, valueAt } from '#core/config/json.ts';
import { SCHEMA_VERSION } from '#core/config/migrate.ts';
import { type PairingCode, fingerprintDigits, parsePairingCode } from '#core/cluster/pairing-code.ts';
import { newNodeSteps } from '#core/cluster/pairing-config.ts';
import { MAX_HELLO, MAX_WELCOME, PAIRING_FORMAT, type PairingWelcome, formatLine, parseLine, proofText, readySchema, refusedLine, refusedSchema, welcomeSchema } from '#core/cluster/pairing-lines.ts';
import { GatewayError } from '#core/result.ts';
import { addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import { readText } from '#kit/config-edit.ts';
import { plainAddress } from '#kit/net.ts';
import { type PairTrust, fingerprintOf, keyPem, newKeys, usableTrust } from '#kit/pair-trust.ts';
import { type PeerPlace, answers } from '#kit/peer-tls.ts';
import { LineChannel } from './line-channel.ts';
import { exporterOf } from './pairing-door.ts';
import { proofOf, sameProof } from './pairing-host.ts';
import { type Place, deviceOf } from './pairing-place.ts';

const DIAL_MS = 5000;
/** The other node asks its own daemons. */
const WELCOME_MS = 60_000;
const READY_MS = 15_000;
/** Daemons start anew there, one after the other, each within its START_LIMIT_MS. */
const THERE_MS = 900_000;
const LOOK_EVERY_MS = 250;

export interface GuestOptions {
  readonly place: Place;
  readonly release: string;
  readonly clock: Clock;
}

export interface Joined {
  readonly trust: PairTrust;
  /** Where the daemons of the other node will be reached. */
  readonly there: PeerPlace;
  /** What has yet to come into force here. `key`: of a pair that knows this node already, and has another key by now. */
  readonly tried: Tried;
}

type Tried = 'configuration' | 'key' | 'nothing';

/** What `join` has made: both halves of the trust and a tried configuration, or nothing at all. */
export async function joinPair(asked: JoinAsked, author: Author, { place, release, clock }: GuestOptions): Promise<Joined> {
  const code = parsePairingCode(asked.code);
  if (!code.ok) throw new GatewayError('BAD_REQUEST', { why: `the code: ${code.error.why}` });
  const port = asked.port ?? place.config.cluster.gatePort;
  using channel = new LineChannel(await dial(asked.address, port, code.value, clock), clock);
  const { socket } = channel;
  const [exporter, secret, keys] = [exporterOf(socket), Buffer.from(code.value.secret, 'latin1'), newKeys()];
  const { name, link, lan, media } = asked;
  channel.write(formatLine({ format: PAIRING_FORMAT, proof: proofOf(secret, proofText('new node', exporter)), publicKey: keys.publicKey.export({ type: 'spki', format: 'der' }).toString('base64'), wallMs: Math.round(clock.wall()), release, schemaVersion: SCHEMA_VERSION, localAddress: plainAddress(socket.localAddress ?? ''), wishes: { name, link, lan, media } }));
  const welcome = said(welcomeSchema, await channel.read(MAX_WELCOME, WELCOME_MS));
  if (!sameProof(welcome.proof, secret, proofText('node with the code', exporter))) throw new GatewayError('NOT_PERMITTED', { why: 'who answers there does not know the code' });
  const trust = usableTrust(JSON.stringify({ own: welcome.own, peer: welcome.peer, authority: welcome.authority, certificate: welcome.certificate, key: keyPem(keys) }));
  const outcome = typeof trust === 'string' ? { why: `its certificates: ${trust}` } : await tried(place, author, welcome, lan);
  if (typeof trust === 'string' || typeof outcome !== 'string') {
    const { why } = outcome as { readonly why: string };
    channel.write(refusedLine(why));
    throw new GatewayError('CONFIG_INVALID', { why });
  }
  channel.write(formatLine({ ready: true }));
  said(readySchema, await channel.read(MAX_HELLO, READY_MS));
  return { trust, there: { host: asked.address, port, localAddress: link ?? plainAddress(socket.localAddress ?? '') }, tried: outcome };
}

/**
 * Whether the other node is one of a pair now. The new one waits for that: it is the other one's configuration and its sessions that go
 * on, and not what a machine has that was a blank one a moment ago.
 */
export async function isPairThere({ trust, there }: Joined, clock: Clock): Promise<boolean> {
  for (const limit = addMs(clock.now(), THERE_MS); clock.now() < limit; ) {
    if (await answers(trust, there)) return true;
    const pause = Promise.withResolvers<void>();
    clock.schedule(addMs(clock.now(), LOOK_EVERY_MS), pause.resolve);
    await pause.promise;
  }
  return false;
}

/** What the other node said, or why it refused. */
function said<Message>(schema: Parameters<typeof parseLine<Message>>[0], line: string): Message {
  const refused = parseLine(refusedSchema, line);
  if (refused.ok) throw new GatewayError('NOT_PERMITTED', { why: refused.value.refused });
  const message = parseLine(schema, line);
  if (!message.ok) throw new GatewayError('DAEMON_UNREACHABLE', { why: `the other node says what this release does not know: ${message.error.why}` });
  return message.value;
}

async function tried(place: Place, author: Author, { text, own, peer }: PairingWelcome, lan: string | null): Promise<Tried | { readonly why: string }> {
  const theirs = readText(text);
  if (!theirs.ok) return { why: theirs.why };
  const known = pairOf(place.config);
  if (known !== undefined && (known.own.name !== own || known.peer.name !== peer)) return { why: `cluster.nodes of this node says ${known.own.name} and ${known.peer.name}, the other one ${own} and ${peer}` };
  const key = keyIn(theirs.read.value);
  // The same on both already, and from now on what is changed comes over by itself.
  if (known !== undefined && (key === undefined || key === place.config.cluster.key)) return 'nothing';
  try {
    const problem = known === undefined ? await place.tried(author, newNodeSteps(theirs.read.value, place.document().value, own, lan === null ? undefined : deviceOf(lan)), text) : await place.tried(author, [{ op: 'set', path: 'cluster.key', value: key! }]);
    if (problem !== null) return { why: `the configuration on the new node: ${problem}` };
    return known === undefined ? 'configuration' : 'key';
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    return { why: `configd of the new node: ${error.message}` };
  }
}

function keyIn(document: Json): string | undefined {
  const key = valueAt(document, ['cluster', 'key']);
  return typeof key === 'string' ? key : undefined;
}

/** Whose certificate the code names, and nobody else. */
async function dial(host: string, port: number, { fingerprint }: PairingCode, clock: Clock): Promise<TLSSocket> {
  // The fingerprint in the code says who it is; a calendar that is wrong is told of later, in words.
  const socket = connect({ host, port, rejectUnauthorized: false, minVersion: 'TLSv1.3' });
  const up = Promise.withResolvers<void>();
  using _limit = clock.schedule(addMs(clock.now(), DIAL_MS), () => up.reject(new Error(`nobody answers within ${DIAL_MS / 1000} s`)));
  socket.once('secureConnect', up.resolve).once('error', up.reject);
  try {
    await up.promise;
  } catch (error) {
    socket.destroy();
    const why = (error as NodeJS.ErrnoException).code === 'ECONNREFUSED' ? 'no window is open there, or no more: make a code there with vlink cluster pair' : ((error as NodeJS.ErrnoException).code ?? (error as Error).message);
    throw new GatewayError('DAEMON_UNREACHABLE', { address: host, port, why }, { cause: error });
  }
  if (fingerprintDigits(fingerprintOf(socket.getPeerCertificate().raw)) === fingerprint) return socket;
  socket.destroy();
  throw new GatewayError('NOT_PERMITTED', { why: 'another node answers there, or another code was made there since: nothing was told to it' });
}
