/**
 * A node that is nothing but its heartbeats, for a release that is not ours: `peer-double.ts JSON` in the namespace of the node.
 * Writes a line when the other one is proven to hear it.
 */
import { createSocket } from 'node:dgram';
import type { ClusterRole } from '#core/cluster/heartbeat.ts';
import { MAX_HEARTBEAT_BYTES, encodeHeartbeat, parseHeartbeat } from '#core/cluster/heartbeat.ts';
import { PeerWatch } from '#core/cluster/peer-watch.ts';
import { systemClock as clock } from '#kit/clock.ts';
import { heartbeatMac } from '#kit/pair-keys.ts';
import { systemRandom } from '#kit/random.ts';

export interface PeerDoubleOptions {
  readonly name: string;
  readonly peerName: string;
  readonly key: string;
  readonly port: number;
  readonly paths: readonly { readonly local: string; readonly remote: string }[];
  readonly role: ClusterRole;
  readonly term: number;
  readonly stateVersion: number;
}

const BEAT_EVERY_MS = 50;
const DEAD_MS = 300;

if (import.meta.main) {
  const { name, peerName, key, port, paths, role, term, stateVersion } = JSON.parse(process.argv[2]!) as PeerDoubleOptions;
  const mac = heartbeatMac(key);
  const watch = new PeerWatch({ newBoot: () => systemRandom.hex(8), peerName, paths: paths.length + 1, deadMs: DEAD_MS });
  const sockets = paths.map(({ local }) => createSocket('udp4').bind(port, local));
  let isSaid = false;
  for (const socket of sockets) {
    socket.on('message', bytes => {
      const parsed = bytes.length > MAX_HEARTBEAT_BYTES ? undefined : parseHeartbeat(bytes, mac);
      if (parsed?.ok === true) watch.receive(parsed.value, clock.now());
      if (isSaid || !watch.view(clock.now()).hearsUs) return;
      isSaid = true;
      process.stdout.write('heard\n');
    });
  }
  setInterval(() => {
    for (const [path, { remote }] of paths.entries()) {
      const bytes = encodeHeartbeat({ role, fitness: 100, load: 0, candidate: false, witness: true, leaving: false, media: { fit: false, own: false, other: false }, stateVersion, path, ...watch.next(), term, heard: watch.heard(clock.now()), name, version: 'another' }, mac);
      sockets[path]!.send(bytes, port, remote, () => undefined);
    }
  }, BEAT_EVERY_MS);
}
