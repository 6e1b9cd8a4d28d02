import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { WhyReport } from '#contracts/sipd.ts';
import { openRelayRig } from '../rig/relay-rig.ts';
import { until } from '../rig/until.ts';
import { LAB_ID } from '../../scripts/lab/gateway.ts';
import { CameraSimulator } from '../../scripts/simulators/camera/simulator.ts';

t.setTimeout(120_000);

const VLINK = fileURLToPath(new URL('../../cli/vlink', import.meta.url));

const quirky = (index: number, quirk: 'reject-486' | 'never-sends' | 'wrong-target-port' | 'wrong-source-port') => ({
  id: `3402000000118000010${index}`,
  quirks: [quirk],
  channelList: [{ id: `3402000000132000010${index}`, name: quirk, online: true }],
});

await using rig = await openRelayRig({
  cameras: [{ channelList: [{ id: '34020000001320000100', name: 'good', online: true }, { id: '34020000001320000109', name: 'switched off', online: false }] }, quirky(1, 'reject-486'), quirky(2, 'never-sends'), quirky(3, 'wrong-target-port'), quirky(4, 'wrong-source-port'), { id: '34020000001180000105', channelList: [{ id: '34020000001320000105', name: 'gone', online: true }] }],
  devices: { media: { lingerS: 0, firstPacketS: 2 } },
});

/** As the field engineer asks: through the command line. */
async function why(channel: string): Promise<{ report: WhyReport; code: number; text: string }> {
  const run = (args: string[]): Promise<{ code: number; stdout: string }> =>
    new Promise(resolve => execFile(VLINK, ['--run-dir', join(rig.gateway.directory, 'run'), 'why', channel, '--probe', ...args], (error, stdout) => resolve({ code: error === null ? 0 : Number(error.code), stdout })));
  const { stdout, code } = await run(['--json']);
  return { report: JSON.parse(stdout) as WhyReport, code, text: JSON.stringify(stdout) };
}

await t.test('a channel that plays has nothing broken', async t => {
  const { report, code } = await why('34020000001320000100');
  t.equal(report.verdict, 'playable');
  t.equal(report.firstBroken, null);
  t.equal(code, 0);
  t.match(report.steps.map(step => `${step.step} ${step.verdict}`), ['channel ok', 'register ok', 'catalogue ok', 'ports ok', 'invite ok', 'rtp ok', 'ps ok', 'upstream ok']);
});

await t.test('wrong password', async t => {
  await using wrong = await CameraSimulator.open({ id: '34020000001180000106', platform: { id: LAB_ID, address: rig.gateway.address, port: rig.gateway.sipPort }, password: 'not the secret', channelList: [{ id: '34020000001320000106', name: 'locked out', online: true }] });
  await until('it is refused', async () => (await rig.rpc.call('counters', {}))['register.403']);
  for (const asked of ['34020000001180000106', '34020000001320000106']) {
    const { report, code } = await why(asked);
    t.equal(report.firstBroken, 'register', asked);
    t.match(report.steps.at(-1), { says: /34020000001180000106 was refused .* wrong password/, evidence: { status: 403 } });
    t.not(code, 0);
  }
  await wrong.vanish();
});

await t.test('channel unknown', async t => {
  const { report, code } = await why('44030000001320009999');
  t.equal(report.firstBroken, 'channel');
  t.not(code, 0);
});

await t.test('camera offline, and a channel that its device calls off', async t => {
  await rig.cameras[5]![Symbol.asyncDispose]();
  const { report } = await why('34020000001320000105');
  t.equal(report.firstBroken, 'register');
  t.match(report.steps.at(-1), { says: /offline: unregistered/, evidence: { reason: 'unregistered' } });
  const off = await why('34020000001320000109');
  t.equal(off.report.firstBroken, 'catalogue');
});

await t.test('camera rejects', async t => {
  const { report } = await why('34020000001320000101');
  t.equal(report.firstBroken, 'invite');
  t.match(report.steps.at(-1), { says: /486/, evidence: { status: 486 } });
});

await t.test('no media', async t => {
  const { report } = await why('34020000001320000102');
  t.equal(report.firstBroken, 'rtp');
  t.match(report.steps.at(-1), { says: /sent nothing/, evidence: { packets: 0 } });
});

await t.test('media to the wrong port, media from the wrong port', async t => {
  const to = await why('34020000001320000103');
  t.equal(to.report.firstBroken, 'rtp');
  t.match(to.report.steps.at(-1), { says: /wrong port/ });
  t.type(to.report.steps.at(-1)!.evidence['strayPort'], 'number', 'and names it');
  const from = await why('34020000001320000104');
  t.equal(from.report.firstBroken, 'rtp');
  t.match(from.report.steps.at(-1), { says: /refused: wrong-source/ });
});
