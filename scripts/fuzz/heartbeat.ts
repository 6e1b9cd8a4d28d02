/** Heartbeats: what is read is written and read back the same, whatever the MAC says. */
import { type Heartbeat, encodeHeartbeat, parseHeartbeat } from '#core/cluster/heartbeat.ts';

/** Right for everything, so that the fields behind it are reached too. */
const anyMac = (): string => '00'.repeat(32);
const beat = (parts: Partial<Heartbeat>): Uint8Array =>
  encodeHeartbeat({ role: 'standby', fitness: 100, load: 0, candidate: false, witness: true, leaving: false, media: { fit: true, own: true, other: false }, stateVersion: 1, path: 0, boot: '0011223344556677', counter: 1, term: 1, heard: null, name: 'gw-a', version: '0.1.0', ...parts }, anyMac);

export default {
  name: 'heartbeat',
  seeds: [beat({}), beat({ role: 'active', leaving: true, heard: { boot: 'ffffffffffffffff', counter: 0xffffffff, ageMs: 65535 } }), beat({ name: '', version: 'x'.repeat(32) })],
  run(input: Uint8Array): void {
    const signed = input.slice();
    signed.fill(0, Math.max(0, signed.length - 32));
    const parsed = parseHeartbeat(signed, anyMac);
    if (!parsed.ok) return;
    const again = parseHeartbeat(encodeHeartbeat(parsed.value, anyMac), anyMac);
    if (!again.ok || JSON.stringify(again.value) !== JSON.stringify(parsed.value)) throw new Error(`heartbeat changed: ${JSON.stringify(parsed.value)}`);
  },
};
