/** One configuration on two real nodes: a commit outlives the machine that it was made on, with its secrets. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { ConfigdRequests } from '#contracts/configd.ts';
import { type AnswerOf, type ParamsOf, connectRpc } from '#kit/rpc.ts';
import { DaemonProcess } from '../../scripts/lab/daemon-process.ts';
import { LAB_ID } from '../../scripts/lab/gateway.ts';
import { PairLab, type PairNode, SIP_ADDRESS, WORLD, enterWorld } from '../../scripts/lab/pair.ts';
import { CameraSimulator } from '../../scripts/simulators/camera/simulator.ts';
import { authorCalled, set } from '../rig/configd-rig.ts';
import { until } from '../rig/until.ts';

const DEVICE = '34020000001320000077';
const PASSWORD = 'a-password-of-this-one-device';
const wang = authorCalled('wang');

async function ask<Method extends keyof ConfigdRequests & string>(node: PairNode, method: Method, params: ParamsOf<ConfigdRequests, Method>): Promise<AnswerOf<ConfigdRequests, Method>> {
  await using configd = await connectRpc<ConfigdRequests>(join(node.directory, 'run/configd.sock'));
  return await configd.call(method, params, { timeoutMs: 60_000 });
}

/** As both nodes say themselves. */
const inStep = (lab: PairLab, revision: number): Promise<true> =>
  until(`both have revision ${revision}`, async () => (await Promise.all(lab.nodes.map(async node => (await node.report())?.configuration))).every(each => each?.inStep === true && each.revision === revision) || undefined, 20_000);

async function run(): Promise<void> {
  t.setTimeout(150_000);
  await t.test('a pair and its configuration', async t => {
    await using lab = await PairLab.open({ config: { devices: { admit: [] } } });
    for (const node of lab.nodes) {
      const args = ['--config', join(node.directory, 'gateway.yaml'), '--state', join(node.directory, 'configd')];
      node.daemons.set('configd', await DaemonProcess.start({ name: `configd of ${node.name}`, entry: 'daemons/configd/main.ts', args, readyEvent: 'configd.ready', logPath: join(node.directory, 'configd.log'), within: ['ip', 'netns', 'exec', node.namespace] }));
    }
    t.teardown(() => Promise.all(lab.nodes.map(node => node.daemons.get('configd')![Symbol.asyncDispose]())));
    const first = lab.other(await lab.ready(60_000));
    const second = lab.other(first);
    await inStep(lab, 1);

    await t.test('committed at the standby, made by the active node, in force on both', async t => {
      await ask(second, 'edit', { author: wang, steps: [set(`devices.known[${DEVICE}].password`, PASSWORD)] });
      t.match(await ask(second, 'commit', { author: wang, reason: 'a camera', confirmMinutes: null }), { revision: 2, issues: [], refusals: [], warnings: [] });
      t.match((await ask(first, 'history', { limit: 1 })), [{ revision: 2, reason: 'a camera', author: { user: 'wang' }, state: 'current' }]);
      await inStep(lab, 2);
      t.match(await second.report(), { configuration: { held: null, refusals: [], peer: { node: first.name, revision: 2 } } });
      for (const node of lab.nodes) t.notMatch(readFileSync(join(node.directory, 'gateway.yaml'), 'utf8'), new RegExp(PASSWORD));
    });

    await t.test('its node loses its power: the other one knows the password', async t => {
      lab.kill(first);
      t.equal(await lab.active(), second);
      await using camera = await CameraSimulator.open({ id: DEVICE, localAddress: WORLD, platform: { id: LAB_ID, address: SIP_ADDRESS, port: 5060 }, password: PASSWORD, channels: 1 });
      await camera.registered();
      await using sipd = await second.sipd();
      t.match(await sipd.call('listDevices', {}), [{ id: DEVICE, state: 'online' }]);
    });

    await t.test('what is committed meanwhile, and who did it, is there when the node is back', async t => {
      await ask(second, 'edit', { author: wang, steps: [set('devices.keepaliveS', 45)] });
      const result = await ask(second, 'commit', { author: wang, reason: 'faster', confirmMinutes: null });
      t.match(result, { revision: 3, issues: [], refusals: [] });
      t.match(result.warnings.join(), new RegExp(`${first.name} is not reached`));
      await lab.revive(first);
      await inStep(lab, 3);
      t.match(await first.report(), { role: 'standby' });
      t.match(readFileSync(join(first.directory, 'gateway.yaml'), 'utf8'), /keepaliveS: 45/);
      const entry = await until('the audit log too', async () => (await ask(first, 'auditLog', { fromSequence: -50, limit: 50, of: second.name }).catch(() => [])).find(({ target }) => target === 'revision 3'));
      t.match(entry, { action: 'config.commit', author: { user: 'wang' }, node: second.name });
      for (const node of lab.nodes) t.match(await ask(node, 'auditVerify', {}), { brokenAt: null, copies: [{ brokenAt: null }] });
    });
  });
}

if (enterWorld()) await run();
