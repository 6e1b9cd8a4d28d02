import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { checkConfig } from '#core/config/check.ts';
import { pairOf, systemName, withoutPrefix } from '#core/config/cluster-schema.ts';
import { type GatewayConfig, gatewaySchema } from '#core/config/schema.ts';
import { clusterFiles, keepalivedConfig, movingAddresses, noticeOf, redisConfig } from '#core/cluster/keepalived.ts';

const CLUSTER = {
  nodes: [{ name: 'a', link: '10.98.0.1', lan: '10.97.0.1', mediaAddress: '10.97.0.101/24' }, { name: 'b', link: '10.98.0.2', lan: '10.97.0.2', mediaAddress: '10.97.0.102/24' }],
  key: 'a-secret-of-the-pair-that-nobody-guesses',
  sipAddress: '10.97.0.100/24',
};
const configOf = (cluster: object, name = 'a'): GatewayConfig => gatewaySchema.parse({ node: { name }, cluster: { ...CLUSTER, ...cluster } });
const problems = (cluster: object, name?: string): string[] => checkConfig(configOf(cluster, name)).map(({ path, why }) => `${path.join('.')}: ${why}`);

/** What the unit runs when keepalived has ended. */
const releaseScript = (): string => /^ExecStopPost=\/bin\/sh -c '(.*)'$/m.exec(readFileSync(new URL('../../../systemd/viewlink-pair-addresses.service', import.meta.url), 'utf8'))![1]!.replaceAll('\\\\', '\\').replaceAll('$$', '$');

t.test('IPv6 is taken as it is written, and compared as the kernel writes it: a peer in another spelling was never heard', async t => {
  const nodes = [{ name: 'a', link: 'FD98:0:0:0:0:0:0:1', lan: 'fd97::0001', mediaAddress: 'FD97::A1/64' }, { name: 'b', link: 'fd98::0:2', lan: '::ffff:10.97.0.2', mediaAddress: 'fd97:0::00a2/64' }];
  t.match(pairOf(configOf({ nodes })), { own: { link: 'fd98::1', lan: 'fd97::1', mediaAddress: 'fd97::a1/64' }, peer: { link: 'fd98::2', lan: '10.97.0.2', mediaAddress: 'fd97::a2/64' } });
  t.same(['FD97::00A0/64', '10.97.0.100/24', ''].map(withoutPrefix), ['fd97::a0', '10.97.0.100', '']);
  t.match(pairOf(configOf({ nodes: CLUSTER.nodes.map(node => ({ ...node, mediaAddress: '' })) })), { own: { mediaAddress: '' } });
});

t.test('what a pair needs', async t => {
  t.same(problems({}), []);
  t.same(problems({ nodes: [] }), [], 'none is none');
  t.same(problems({ nodes: CLUSTER.nodes.slice(0, 1) }), ['cluster.nodes: a pair has two nodes']);
  t.same(problems({}, 'c'), ['node.name: cluster.nodes has no c']);
  t.match(problems({ key: undefined, sipAddress: '' }), ['cluster.key: a pair needs a key', 'cluster.sipAddress: a pair needs an address that moves']);
  t.match(problems({ nodes: [CLUSTER.nodes[0], { ...CLUSTER.nodes[1], lan: '10.97.0.1' }] }), [/other node has 10.97.0.1 too/]);
  t.match(problems({ nodes: [{ ...CLUSTER.nodes[0], link: '10.97.0.1' }, CLUSTER.nodes[1]] }), [/the same as lan/]);
  t.match(problems({ nodes: [CLUSTER.nodes[0], { ...CLUSTER.nodes[1], mediaAddress: '' }] }), [/nodes.1.mediaAddress: the other node has one/]);
  t.match(problems({ nodes: [CLUSTER.nodes[0], { ...CLUSTER.nodes[1], mediaAddress: '10.97.0.101/24' }] }), [/other node has 10.97.0.101 too/]);
  t.match(problems({ nodes: [CLUSTER.nodes[0], { ...CLUSTER.nodes[1], mediaAddress: '10.97.0.100/24' }] }), [/10.97.0.100 has another use/]);
  t.match(checkConfig(gatewaySchema.parse({ node: { name: 'a' }, cluster: CLUSTER, media: { upstreamAddress: '10.97.0.1' } })), [{ path: ['media', 'upstreamAddress'] }]);
  t.throws(() => configOf({ sipAddress: '10.97.0.100' }), /address with its prefix/);
  t.match(pairOf(configOf({}, 'b')), { own: { name: 'b' }, peer: { name: 'a' }, index: 1 });
  t.equal(pairOf(configOf({ nodes: [] })), undefined);
  t.equal(systemName(configOf({ name: 'city-gateway' }, 'b')), 'city-gateway', 'platforms see one name, whichever node is active');
  t.equal(systemName(configOf({ nodes: [] }, 'b')), 'b');
});

t.test('keepalived and Redis take what is written for them', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'vl-keepalived-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const config = configOf({});
  const { own, peer } = pairOf(config)!;
  const mediaVeto = { own: join(directory, 'veto-media-own'), other: join(directory, 'veto-media-other') };
  const files = { ...clusterFiles(directory), keepalived: join(directory, 'keepalived.conf'), veto: join(directory, 'veto'), mediaVeto, redis: join(directory, 'redis.conf'), redisData: directory };
  t.same(movingAddresses(config.cluster), ['10.97.0.100/24', '10.97.0.101/24', '10.97.0.102/24']);
  const text = keepalivedConfig(config.cluster, own, peer, files);
  for (const veto of [files.veto, mediaVeto.own, mediaVeto.other]) writeFileSync(veto, '1\n');
  const alone = configOf({ nodes: CLUSTER.nodes.map(node => ({ ...node, mediaAddress: '' })) });
  const together = keepalivedConfig(alone.cluster, own, peer, files);
  for (const written of [together, text]) {
    writeFileSync(files.keepalived, written);
    const { status, stderr, stdout } = spawnSync('unshare', ['-n', 'sh', '-c', `ip link add eth0 type veth peer name other && keepalived --config-test --use-file=${files.keepalived}`], { encoding: 'utf8' });
    t.match({ status, said: `${stdout}${stderr}` }, { status: 0, said: /^(?!.*(unknown|invalid|WARNING))/is });
  }
  t.same([...together.matchAll(/vrrp_instance (\S+)/g)].map(([, name]) => name), ['viewlink'], 'without media addresses there is one address to move');
  const instances = [...text.matchAll(/vrrp_instance (\S+) \{.*?virtual_router_id (\d+)\n  priority (\d+)\n.*?track_file \{\s+(\S+)\s.*?virtual_ipaddress \{\s+(\S+)/gs)].map(([, ...parts]) => parts);
  t.same(instances, [['viewlink', '51', '250', 'veto', '10.97.0.100/24'], ['viewlink-media-a', '52', '254', 'media_own', '10.97.0.101/24'], ['viewlink-media-b', '53', '250', 'media_other', '10.97.0.102/24']]);
  const addresses = spawnSync('sh', ['-c', releaseScript().replaceAll('/run/viewlink/cluster/keepalived.conf', files.keepalived).replaceAll('/sbin/ip', 'echo')], { encoding: 'utf8' }).stdout;
  t.equal(addresses, movingAddresses(config.cluster).map(address => `address del ${address} dev eth0\n`).join(''), 'what a killed keepalived leaves behind is found again, all of it');
  for (const line of ['vrrp_check_unicast_src', 'unicast_src_ip 10.97.0.1', 'nopreempt', '10.97.0.102/24 dev eth0', 'advert_int 0.1']) t.ok(text.includes(line), line);
  t.notOk(text.includes(CLUSTER.key));
  const redis = redisConfig({ ...config.cluster, redisPort: 1 }, own, files, 'derived');
  t.notOk(redis.includes(CLUSTER.key));
  writeFileSync(files.redis, redis.replace('port 1\n', 'port 0\nunixsocket redis.sock\n').replace(/^bind .*$/m, 'bind 127.0.0.1'));
  const begun = spawnSync('timeout', ['1', 'redis-server', files.redis], { encoding: 'utf8' });
  t.match(begun.stdout, /eady to accept connections/);
});

/** keepalived of node A, and behind a cable somebody who says by VRRP that he goes before everybody. Says what the first one became. */
const STRANGER = `set -e
cd "$FOLDER"
ip link add eth0 type veth peer name other
ip address add 10.97.0.1/24 dev eth0; ip link set eth0 up; ip link set lo up
unshare -n sleep 100 & far=$!
sleep 0.3
ip link set other netns $far
nsenter -t $far -n sh -c 'ip link set other name eth0; ip address add 10.97.0.9/24 dev eth0; ip address add 10.97.0.2/24 dev eth0; ip link set eth0 up'
start() { "$@" >"$name.log" 2>&1 & pids="$pids $!"; }
pids=$far; trap 'kill $pids; wait' EXIT
name=own start keepalived --dont-fork --dont-respawn --log-console --vrrp --use-file=keepalived.conf --pid=p1 --vrrp_pid=p2
tries=0; until grep -q 'Entering MASTER' own.log; do tries=$((tries + 1)); [ $tries -lt 200 ] || { cat own.log; exit 1; }; sleep 0.1; done
sed "s/10.97.0.2$/10.97.0.1/; s/unicast_src_ip .*/unicast_src_ip $FROM/; s/priority 250/priority 255/; s/nopreempt//; /track_file/,/^ *}/d; /notify_fifo/d" keepalived.conf >stranger.conf
name=stranger start nsenter -t $far -n keepalived --dont-fork --dont-respawn --log-console --vrrp --use-file=stranger.conf --pid=p3 --vrrp_pid=p4
tries=0; until grep -q 'Entering MASTER' stranger.log; do tries=$((tries + 1)); [ $tries -lt 200 ] || { cat stranger.log; exit 1; }; sleep 0.1; done
sleep 2
grep -o 'Entering .* STATE' own.log | tail -1
`;

t.test('who speaks VRRP and is not the other node is not listened to', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'vl-keepalived-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const config = configOf({ nodes: CLUSTER.nodes.map(node => ({ ...node, mediaAddress: '' })) });
  const { own, peer } = pairOf(config)!;
  const files = { ...clusterFiles(directory), veto: join(directory, 'veto'), notify: join(directory, 'notify') };
  writeFileSync(files.veto, '0\n');
  writeFileSync(join(directory, 'keepalived.conf'), keepalivedConfig(config.cluster, own, peer, files));
  const meets = (from: string): string => {
    const { stdout, stderr } = spawnSync('unshare', ['-n', 'bash', '-c', STRANGER], { encoding: 'utf8', env: { ...process.env, FOLDER: directory, FROM: from }, timeout: 60_000 });
    return stdout || stderr;
  };
  t.equal(meets('10.97.0.9'), 'Entering MASTER STATE\n');
  t.equal(meets('10.97.0.2'), 'Entering BACKUP STATE\n', 'the other node is');
});

t.test('what keepalived says', async t => {
  const of = 'sip';
  t.same(['MASTER', 'BACKUP', 'FAULT', 'STOP'].map(state => noticeOf(`INSTANCE "viewlink" ${state} 100`)), [{ of, state: 'master' }, { of, state: 'backup' }, { of, state: 'fault' }, { of, state: 'stopped' }]);
  t.same(noticeOf('INSTANCE "viewlink-media-node_b-2" MASTER 150'), { of: { media: 'node_b-2' }, state: 'master' });
  for (const line of ['INSTANCE "other" MASTER 100', 'INSTANCE "viewlink-media-" MASTER 100', 'INSTANCE "viewlink-b" MASTER 100', 'GROUP "viewlink" MASTER 0', '']) t.equal(noticeOf(line), undefined, line);
});
