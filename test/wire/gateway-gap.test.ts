/**
 * A gap on both sides (faults.md 5): fixed ports, addresses of its own per side, what was declared and nothing else. Every packet that
 * leaves is counted by nftables in a network namespace of the test's own.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';

const run = promisify(execFile);

/** Everything but the two simulated peers is the gateway, its kernel included. */
const RULES = `table inet gap {
  counter signalling {}
  counter media {}
  counter undeclared {}
  chain out {
    type filter hook output priority 0; policy accept;
    ip saddr { 127.0.0.4, 127.0.0.5 } accept
    ip saddr { 127.0.0.2, 127.0.0.3 } udp sport 5060 counter name signalling accept
    ip saddr { 127.0.0.2, 127.0.0.3 } meta l4proto { tcp, udp } th sport 10000 counter name media accept
    log prefix "undeclared " counter name undeclared
  }
}`;

interface Seen {
  readonly messages: number;
  readonly channels: number;
  readonly records: number;
  readonly lost: readonly (readonly [number, number])[];
  readonly lowSideSeenAbove: readonly string[];
  readonly refused: { readonly command: number; readonly notice: number };
  readonly undeclared: readonly [number, number];
}

t.test('what leaves is what was declared, and the high side learns nothing of the low side', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'gap-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const rules = join(directory, 'gap.nft');
  writeFileSync(rules, RULES);
  const script = `ip link set lo up && nft -f '${rules}' && '${process.execPath}' test/rig/gap-scenario.ts && nft -j list counters`;
  const { stdout } = await run('unshare', ['--net', 'sh', '-ec', script], { maxBuffer: 1 << 24, timeout: 90_000 });
  const [scenario, counters] = stdout.trim().split('\n').slice(-2) as [string, string];
  const seen = JSON.parse(scenario) as Seen;
  t.match(seen, { lost: [[0, 0], [0, 0], [0, 0]], refused: { command: 403, notice: 403 } }, 'all that was declared works, the rest does not');
  t.ok(seen.channels >= 1 && seen.records > 0 && seen.messages > 20);
  t.same(seen.lowSideSeenAbove, []);
  const packets = new Map((JSON.parse(counters) as { nftables: { counter?: { name: string; packets: number } }[] }).nftables.flatMap(({ counter }) => (counter === undefined ? [] : [[counter.name, counter.packets]])));
  t.equal(packets.get('undeclared'), 0);
  // A run of datagrams that leaves at once counts as one.
  t.ok(packets.get('signalling')! > 30 && packets.get('media')! > 100, JSON.stringify([...packets]));
});
