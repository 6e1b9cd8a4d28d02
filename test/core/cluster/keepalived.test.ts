import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { checkConfig } from '#core/config/check.ts';
import { pairOf, systemName } from '#core/config/cluster-schema.ts';
import { type GatewayConfig, gatewaySchema } from '#core/config/schema.ts';
import { clusterFiles, keepalivedConfig, movingAddresses, noticeOf, redisConfig } from '#core/cluster/keepalived.ts';

const CLUSTER = {
  nodes: [{ name: 'a', link: '10.98.0.1', lan: '10.97.0.1', mediaAddress: '10.97.0.101/24' }, { name: 'b', link: '10.98.0.2', lan: '10.97.0.2', mediaAddress: '10.97.0.102/24' }],
  key: 'a-secret-of-the-pair-that-nobody-guesses',
  sipAddress: '10.97.0.100/24',
};
const configOf = (cluster: object, name = 'a'): GatewayConfig => gatewaySchema.parse({ node: { name }, cluster: { ...CLUSTER, ...cluster } });
const problems = (cluster: object, name?: string): string[] => checkConfig(configOf(cluster, name)).map(({ path, why }) => `${path.join('.')}: ${why}`);

t.test('what a pair needs', async t => {
  t.same(problems({}), []);
  t.same(problems({ nodes: [] }), [], 'none is none');
  t.same(problems({ nodes: CLUSTER.nodes.slice(0, 1) }), ['cluster.nodes: a pair has two nodes']);
  t.same(problems({}, 'c'), ['node.name: cluster.nodes has no c']);
  t.match(problems({ key: undefined, sipAddress: '' }), ['cluster.key: a pair needs a key', 'cluster.sipAddress: a pair needs an address that moves']);
  t.match(problems({ nodes: [CLUSTER.nodes[0], { ...CLUSTER.nodes[1], lan: '10.97.0.1' }] }), [/other node has 10.97.0.1 too/]);
  t.match(problems({ nodes: [{ ...CLUSTER.nodes[0], link: '10.97.0.1' }, CLUSTER.nodes[1]] }), [/the same as lan/]);
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
  const files = { ...clusterFiles(directory), keepalived: join(directory, 'keepalived.conf'), veto: join(directory, 'veto'), redis: join(directory, 'redis.conf'), redisData: directory };
  t.same(movingAddresses(config.cluster), ['10.97.0.100/24', '10.97.0.101/24', '10.97.0.102/24']);
  const text = keepalivedConfig(config.cluster, own, peer, files);
  writeFileSync(files.veto, '1\n');
  writeFileSync(files.keepalived, text);
  const { status, stderr, stdout } = spawnSync('unshare', ['-n', 'sh', '-c', `ip link add eth0 type veth peer name other && keepalived --config-test --use-file=${files.keepalived}`], { encoding: 'utf8' });
  t.match({ status, said: `${stdout}${stderr}` }, { status: 0, said: /^(?!.*(unknown|invalid|WARNING))/is });
  for (const line of ['unicast_src_ip 10.97.0.1', 'nopreempt', '10.97.0.102/24 dev eth0', 'advert_int 0.1']) t.ok(text.includes(line), line);
  t.notOk(text.includes(CLUSTER.key));
  const redis = redisConfig({ ...config.cluster, redisPort: 1 }, own, files, 'derived');
  t.notOk(redis.includes(CLUSTER.key));
  writeFileSync(files.redis, redis.replace('port 1\n', 'port 0\nunixsocket redis.sock\n').replace(/^bind .*$/m, 'bind 127.0.0.1'));
  const begun = spawnSync('timeout', ['1', 'redis-server', files.redis], { encoding: 'utf8' });
  t.match(begun.stdout, /eady to accept connections/);
});

t.test('what keepalived says', async t => {
  t.same(['INSTANCE "viewlink" MASTER 100', 'INSTANCE "viewlink" BACKUP 100', 'INSTANCE "viewlink" FAULT 100', 'INSTANCE "viewlink" STOP 100', 'INSTANCE "other" MASTER 100', 'GROUP "viewlink" MASTER 0', ''].map(noticeOf), ['master', 'backup', 'fault', 'stopped', undefined, undefined, undefined]);
});
