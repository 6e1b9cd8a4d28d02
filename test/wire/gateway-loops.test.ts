/** Platforms that are registered at each other, in pairs and in rings: nothing goes round (gb28181.md 8.4). */
import t from 'tap';
import type { SipdRequests } from '#contracts/sipd.ts';
import type { RpcClient } from '#kit/rpc.ts';
import { LAB_PASSWORD, LabGateway, freePort } from '../../scripts/lab/gateway.ts';
import { CameraSimulator } from '../../scripts/simulators/camera/simulator.ts';
import { Platform } from '../../scripts/simulators/platform/platform.ts';
import { Call, GbDevice, GbPlatform, cameraAnswer, item, offer } from '../rig/gb-peer.ts';
import type { SipText } from '../rig/sip-text.ts';
import { until } from '../rig/until.ts';

t.setTimeout(180_000);
const CAMERA = '34020000001320000041';
const BELOW = '34020000002000000055';
const ABOVE = '34020000002000000066';
const LOCAL_ID = '34020000002000000099';

await t.test('an INVITE of ours that comes back is refused: by its mark, its Call-ID, its way; one that went too far goes no further', async t => {
  const sipPort = await freePort('127.0.0.1');
  await using above = await GbPlatform.open({ id: ABOVE, address: '127.0.0.10' }, { address: '127.0.0.1', port: sipPort });
  await using lab = await LabGateway.open({ sipPort, config: { upstreams: [{ name: 'above', id: ABOVE, address: '127.0.0.10', port: above.raw.port, localId: LOCAL_ID, retryS: 1 }] } });
  await using below = await GbDevice.open(lab, { id: BELOW, address: '127.0.0.11' });
  below.items = [item(CAMERA)];
  await below.register();
  await using camera = await GbDevice.open(lab, { id: '34020000001180000012', address: '127.0.0.12' });
  camera.items = [item('34020000001320000042')];
  await camera.register();
  await using rpc = await lab.rpc();
  await until('both channels above', async () => (await rpc.call('listUpstreams', {}))[0]?.sharedChannels === 2);
  const invites: SipText[] = [];
  below.onInvite = invite => invites.push(invite);
  let direct: SipText | undefined;
  camera.onInvite = invite => {
    direct = invite;
    camera.raw.answer(invite, 200, { contact: camera.raw.contact(camera.id), contentType: 'APPLICATION/SDP', body: cameraAnswer(invite, { address: '127.0.0.12', port: 40_010 }, '34020000001320000042') });
  };

  const call = new Call(above, CAMERA, offer({ address: '127.0.0.10' }), { maxForwards: 12, headers: ['X-ViewLink-Path: 00112233445566aa'] });
  const [ours] = await until('the INVITE below', () => (invites.length > 0 ? invites : undefined));
  t.equal(ours!.header('Max-Forwards'), '11', 'one less than it came with');
  const path = ours!.header('X-ViewLink-Path').split(', ');
  t.equal(path.length, 2);
  t.equal(path[0], '00112233445566aa');
  t.notMatch(ours!.bytes.toString('latin1'), new RegExp(`${ABOVE}|${LOCAL_ID}|127\\.0\\.0\\.10`), 'who is above stays with us');

  const comesBack = async (over: object): Promise<number> => (await new Call(above, CAMERA, offer({ address: '127.0.0.10', y: '0100009555' }), over).final()).status!;
  t.equal(await comesBack({ headers: [`X-ViewLink-Path: ${ours!.header('X-ViewLink-Path')}`] }), 482, 'our mark');
  t.equal(await comesBack({ callId: ours!.callId }), 482, 'our Call-ID');
  t.equal(await comesBack({ headers: [`Via: ${ours!.header('Via')}`] }), 482, 'our Via');
  t.equal(await comesBack({ maxForwards: 1 }), 483);
  t.equal(invites.length, 1, 'none of them was handed on');

  const last = new Call(above, '34020000001320000042', offer({ address: '127.0.0.10', y: '0100009777' }), { maxForwards: 1 });
  t.equal((await last.final()).status, 200, 'to a camera it is not handed on, but ours');
  t.equal(direct!.header('X-ViewLink-Path'), '', 'a camera has no use for it');
  last.ack();
  await last.bye();
  await call.cancel();
  t.equal((await call.final()).status, 487);
  t.match(await rpc.call('counters', {}), { 'relay.refused.482': 3, 'relay.refused.483': 1 });
});

interface RingNode extends AsyncDisposable {
  readonly id: string;
  readonly lab: LabGateway;
  readonly rpc: RpcClient<SipdRequests>;
}

/** Gateways that are each registered at the next one, the last at the first; `city` is above the last one too. */
async function openRing(size: number, route: boolean, city: Platform): Promise<RingNode[]> {
  const ids = Array.from({ length: size }, (_, at) => `3402000000200000001${at + 1}`);
  const ports: number[] = [];
  for (const _ of ids) ports.push(await freePort('127.0.0.1'));
  const nodes: RingNode[] = [];
  for (const [at, id] of ids.entries()) {
    const next = (at + 1) % size;
    const above = { name: 'next', id: ids[next]!, address: '127.0.0.1', port: ports[next]!, localId: id, password: LAB_PASSWORD, retryS: 1, catalog: { notifyAfterMs: 50 }, view: { route } };
    const top = { name: 'city', id: city.id, address: city.address, port: city.port, localId: id, password: 'city-secret', retryS: 1, catalog: { notifyAfterMs: 50 } };
    const config = { sip: { id }, node: { name: `ring${at}` }, devices: { known: [{ id: ids[(at + size - 1) % size]!, password: LAB_PASSWORD }], subscribe: { catalog: true }, media: { lingerS: 0, firstPacketS: 3 } }, upstreams: at === size - 1 ? [above, top] : [above] };
    const lab = await LabGateway.open({ sipPort: ports[at]!, config });
    const rpc = await lab.rpc();
    nodes.push({ id, lab, rpc, [Symbol.asyncDispose]: async () => void (await rpc[Symbol.asyncDispose](), await lab[Symbol.asyncDispose]()) });
  }
  return nodes;
}

const online = async ({ rpc }: RingNode): Promise<boolean> => (await rpc.call('listUpstreams', {})).every(row => row.state === 'online');
const sum = (counters: Readonly<Record<string, number>>, pattern: RegExp): number => Object.entries(counters).reduce((total, [name, value]) => total + (pattern.test(name) ? value : 0), 0);

for (const [size, route] of [[2, false], [3, false], [3, true]] as const) {
  await t.test(`${size} gateways in a ring${route ? ', which tell the way of their items' : ''}: catalogue, subscriptions and INVITEs come to an end`, async t => {
    await using closing = new AsyncDisposableStack();
    const city = closing.use(await Platform.open({ id: '33010000002000000001', password: 'city-secret' }));
    const ring = await openRing(size, route, city);
    for (const node of ring) closing.use(node);
    const [first, last] = [ring[0]!, ring.at(-1)!];
    await until('all are registered', async () => (await Promise.all(ring.map(online))).every(Boolean), 30_000);
    const camera = closing.use(await CameraSimulator.open({ id: '34020000001180000041', platform: { id: first.id, address: first.lab.address, port: first.lab.sipPort }, password: LAB_PASSWORD, channelList: [{ id: CAMERA, name: 'Ring', online: true }] }));
    const above = city.subscribe('Catalog', { peer: last.id });
    await above.when('the camera is told above', ({ picture }) => [...picture.values()].some(({ item: known }) => known?.name === 'Ring'));
    const ids = [...above.picture].filter(([, { item: known }]) => known?.name === 'Ring').map(([id]) => id);
    t.equal(ids.length, 1, 'once');

    const messages = async (): Promise<number> => (await Promise.all(ring.map(({ rpc }) => rpc.call('counters', {})))).reduce((total, counters) => total + sum(counters, /^(catalog\.notified|in\.SUBSCRIBE|upstream\.Query)/), 0);
    let before = -1;
    await until('quiet', async () => before === (before = await messages()), 20_000);
    const calm = await messages();
    const events = above.events.length;
    await camera.device.notifyCatalog({ events: [{ id: CAMERA, event: 'OFF' }] });
    await above.when('OFF above', ({ events: all }) => all.length > events);
    await camera.device.notifyCatalog({ events: [{ id: CAMERA, event: 'ON' }] });
    await above.when('ON above', ({ events: all }) => all.length > events + 1);
    await until('quiet again', async () => before === (before = await messages()), 20_000);
    t.same(above.events.slice(events), [`OFF ${ids[0]}`, `ON ${ids[0]}`], 'each change once');
    t.ok((await messages()) - calm <= 2 * (ring.length + 1), `two changes made ${(await messages()) - calm} notices`);
    for (const { rpc } of ring) t.ok((await rpc.call('listUpstreams', {})).every(row => row.sharedChannels <= 1), 'nobody offers it twice');
    t.equal((await first.rpc.call('listUpstreams', {}))[0]?.sharedChannels, 1, 'the first one offers its camera');
    t.equal((await last.rpc.call('listUpstreams', {})).find(row => row.name === 'next')?.sharedChannels, size === 3 && !route ? 1 : 0, 'the last one offers it back only where it cannot know, and there it is not taken');

    const play = await city.play(ids[0]!, { transport: 'udp', peer: last.id });
    await play.waitFrames(20);
    t.equal(camera.device.counters.invites, 1, 'one INVITE reaches the camera');
    t.same((await Promise.all(ring.map(({ rpc }) => rpc.call('listSessions', {})))).map(rows => rows.length), ring.map(() => 1), 'one session in each gateway');
    await play.stop();
    await until('all is released', async () => (await Promise.all(ring.map(({ rpc }) => rpc.call('listSessions', {})))).every(rows => rows.length === 0) && camera.sessions.length === 0);
  });
}

await t.test('the same camera through a platform: another way where the engineer says so, and no loop when the camera is gone', async t => {
  await using closing = new AsyncDisposableStack();
  const city = closing.use(await Platform.open({ id: '33010000002000000001', password: 'city-secret' }));
  const ports = [await freePort('127.0.0.1'), await freePort('127.0.0.1')];
  const ids = ['34020000002000000021', '34020000002000000022'];
  const open = async (at: number, config: object): Promise<LabGateway> =>
    closing.use(await LabGateway.open({ sipPort: ports[at]!, config: { sip: { id: ids[at]! }, upstreams: [{ name: 'other', id: ids[1 - at]!, address: '127.0.0.1', port: ports[1 - at]!, localId: ids[at]!, password: LAB_PASSWORD, retryS: 1 }, ...(at === 0 ? [{ name: 'city', id: city.id, address: city.address, port: city.port, localId: ids[0]!, password: 'city-secret', retryS: 1 }] : [])], ...config } }));
  // Each says that what the other one lists is another way to its own camera, which is not true.
  const media = { lingerS: 0, silenceS: 2, firstPacketS: 2, inviteTimeoutS: 4, takeOverS: 10 };
  const labs = [] as LabGateway[];
  for (const at of [0, 1]) labs.push(await open(at, { resourceRules: { sameId: true }, devices: { media, catalogEveryS: 0, known: [{ id: ids[1 - at]!, password: LAB_PASSWORD, returned: 'publish' }] } }));
  const rpcs = await Promise.all(labs.map(async lab => closing.use(await lab.rpc())));
  const camera = closing.use(await CameraSimulator.open({ id: '34020000001180000041', platform: { id: ids[0]!, address: '127.0.0.1', port: ports[0]! }, password: LAB_PASSWORD, channelList: [{ id: CAMERA, name: 'Ring', online: true }] }));
  await city.waitRegistered(ids[0]!);
  await until('the first has its camera', async () => (await rpcs[0]!.call('listChannels', {})).total >= 1);
  await until('the second is told', async () => {
    await rpcs[1]!.call('refreshCatalog', { deviceId: ids[0]! }).catch(() => undefined);
    return (await rpcs[1]!.call('listChannels', {})).total >= 1;
  }, 20_000);
  await rpcs[0]!.call('refreshCatalog', { deviceId: ids[1]! }).catch(() => undefined);
  const play = await city.play(CAMERA, { transport: 'udp', peer: ids[0]! });
  await play.waitFrames(10);
  const invites = async (): Promise<number> => (await Promise.all(rpcs.map(rpc => rpc.call('counters', {})))).reduce((total, counters) => total + (counters['in.INVITE'] ?? 0), 0);
  await camera[Symbol.asyncDispose]();
  t.match(await play.waitEnded(30_000), /BYE/, 'it ends');
  await until('nothing is left', async () => (await Promise.all(rpcs.map(rpc => rpc.call('listSessions', {})))).every(rows => rows.length === 0), 20_000);
  t.ok((await invites()) <= 4, `${await invites()} INVITEs in all`);
});
