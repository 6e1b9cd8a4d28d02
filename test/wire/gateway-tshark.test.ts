/** A whole scenario of the gateway as tshark reads it from the wire: SIP, SDP, XML and RTP, nothing malformed, nothing for its expert to complain about. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { LAB_ID, LAB_PASSWORD, LabGateway, freePort } from '../../scripts/lab/gateway.ts';
import { CameraSimulator } from '../../scripts/simulators/camera/simulator.ts';
import { Platform } from '../../scripts/simulators/platform/platform.ts';
import { until } from '../rig/until.ts';
import { Capture } from './capture.ts';

t.setTimeout(90_000);
const MEDIA = { first: 11_000, last: 11_019 };
const PASSWORD = 'upper-secret';
const sipPort = await freePort('127.0.0.1');
await using byUdp = await Platform.open({ id: '34020000002000000098', password: PASSWORD, address: '127.0.0.2' });
await using byTcp = await Platform.open({ id: '34020000002000000099', password: PASSWORD, address: '127.0.0.3', version: '2022', charset: 'gb18030' });
const upstreamOf = (name: string, platform: Platform, localId: string, over: object) => ({ name, id: platform.id, localId, address: platform.address, port: platform.port, password: PASSWORD, retryS: 1, ...over });
await using lab = await LabGateway.open({
  sipPort,
  mediaPorts: MEDIA,
  // The kernel cuts runs of datagrams apart behind the place where captures are taken.
  env: { VIEWLINK_UDP: 'unsegmented' },
  config: {
    devices: { media: { lingerS: 0 } },
    upstreams: [upstreamOf('udp', byUdp, '34020000002000000002', {}), upstreamOf('tcp', byTcp, '34020000002000000003', { transport: 'tcp', version: '2022', charset: 'gb18030' })],
  },
});
await using rpc = await lab.rpc();
const file = join(lab.directory, 'scenario.pcap');
const mediaPorts = Array.from({ length: MEDIA.last - MEDIA.first + 1 }, (_, index) => MEDIA.first + index);
await using capture = await Capture.start([sipPort, byTcp.port, ...mediaPorts], file);

/** What tshark says about the packets that fit, a line each. */
async function tshark(filter: string, fields: readonly string[], decode: readonly string[] = []): Promise<string[]> {
  const sip = [`udp.port==${sipPort},sip`, `tcp.port==${byTcp.port},sip`, 'media_type==application/manscdp+xml,xml', ...decode].flatMap(rule => ['-d', rule]);
  const { stdout } = await promisify(execFile)('tshark', ['-n', '-r', file, ...sip, '-Y', filter, '-T', 'fields', '-E', 'separator=|', ...fields.flatMap(field => ['-e', field])], { maxBuffer: 64 << 20 });
  return stdout.split('\n').filter(line => line !== '');
}

let sink = 0;
let ssrc = 0;
await t.test('the scenario', { timeout: 30_000 }, async t => {
  await using camera = await CameraSimulator.open({ platform: { id: LAB_ID, address: '127.0.0.1', port: sipPort }, password: LAB_PASSWORD, channels: 2, localAddress: '127.0.0.4', keepaliveS: 5 });
  await camera.registered();
  await until('its channels', async () => (await rpc.call('listChannels', {})).total === 2);
  for (const platform of [byUdp, byTcp]) {
    const peer = [...platform.registrar.peers.keys()][0]!;
    const { items } = await platform.catalog({ peer });
    t.equal(items.filter(item => item.deviceId.slice(10, 13) === '132').length, 2);
    await platform.deviceInfo(peer);
    await platform.deviceStatus(peer);
  }
  const [one] = camera.device.channels;
  const play = await byUdp.play(one!.id, { transport: 'udp' });
  const second = await byTcp.play(one!.id, { transport: 'tcp-passive' });
  await Promise.all([play.waitFrames(20), second.waitFrames(20)]);
  const [session] = await rpc.call('listSessions', {});
  const leg = session!.bridge!.sinks.find(each => each.transport === 'udp')!;
  sink = leg.local.port;
  ssrc = (await play.stop()).expectedSsrc!;
  await second.stop();
  t.ok(sink >= MEDIA.first && sink <= MEDIA.last);
  await byTcp.play('34020000001320009999', { transport: 'udp' }).catch(() => undefined);
});

await t.test('tshark finds nothing malformed, in anything', async t => {
  const { sip, malformed } = await capture.judge();
  t.ok(sip > 60, `${sip} SIP packets`);
  t.same(malformed, []);
});

await t.test('its expert has no error to report about what we sent', async t => {
  const ours = 'sip && ip.src == 127.0.0.1';
  t.ok((await tshark(ours, ['frame.number'])).length > 30);
  t.same(await tshark(`${ours} && _ws.expert.severity == "Error"`, ['frame.number', '_ws.expert.message']), []);
  const warned = await tshark(`${ours} && _ws.expert.severity == "Warning"`, ['_ws.expert.message']);
  t.same(warned, []);
});

await t.test('it reads our SDP, all but the two lines that only GB/T 28181 has', async t => {
  const bodies = await tshark(`sdp && ip.src == 127.0.0.1`, ['sip.Method', 'sip.Status-Code', 'sdp.session_name', 'sdp.connection_info.address', 'sdp.media.proto', 'sdp.mime.type', 'sdp.unknown']);
  t.ok(bodies.length >= 3, 'the INVITE to the camera and two answers');
  for (const body of bodies) {
    t.match(body, /\|Play\|127\.0\.0\.1\|(TCP\/)?RTP\/AVP\|PS/);
    const unknown = body.split('|').at(-1)!;
    t.notMatch(unknown, /[^yf,]=/, `unknown to it: ${unknown}`);
  }
});

await t.test('it reads our XML', async t => {
  const commands = await tshark(`sip.Method == "MESSAGE" && ip.src == 127.0.0.1 && sip.Content-Type contains "xml"`, ['xml.cdata', 'xml.tag', 'frame.protocols']);
  t.ok(commands.length >= 8);
  t.equal(commands.filter(line => /\bxml\b/.test(line.split('|').at(-1)!)).length, commands.length, 'every body is dissected as XML');
});

await t.test('the RTP that leaves us is RTP', async t => {
  const packets = await tshark(`rtp && udp.srcport == ${sink}`, ['rtp.version', 'rtp.p_type', 'rtp.ssrc', 'rtp.seq'], [`udp.port==${sink},rtp`]);
  t.ok(packets.length > 50, `${packets.length} packets`);
  const hex = `0x${ssrc.toString(16).padStart(8, '0')}`;
  t.ok(packets.every(line => line.startsWith(`2|96|${hex}|`)));
  const numbers = packets.map(line => Number(line.split('|')[3]));
  t.ok(numbers.every((number, index) => index === 0 || ((number - numbers[index - 1]! + 65_536) & 0xffff) === 1), 'numbered without a gap');
});
