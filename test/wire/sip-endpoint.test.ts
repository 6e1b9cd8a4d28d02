/** The endpoint as its owners see it: calls, dialogs over a restart, subscriptions, several addresses, trace. */
import t from 'tap';
import type { Dialog, DialogState, IncomingRequest, Notifier, Outcome, SipEndpoint, Subscription, SubscriptionState, Target } from '#kit/sip-endpoint.ts';
import { UdpPeer, answer, asks, describe, openEndpoint, portOf, until, write } from './sip-rig.ts';

const SDP = { contentType: 'application/sdp', body: Buffer.from('v=0\r\n') };
const BRISK = { t1Ms: 20, t2Ms: 160, t4Ms: 200 };
const status = (outcome: Outcome | undefined): number | string => (outcome?.type === 'response' ? outcome.response.status : String(outcome?.type));
const toward = (endpoint: SipEndpoint, transport: 'UDP' | 'TCP' = 'UDP'): Target => ({ transport, address: '127.0.0.1', port: portOf(endpoint, transport) });
const saved = <T>(state: T): T => JSON.parse(JSON.stringify(state)) as T;

/** A calls B; both dialogs. */
async function established(a: SipEndpoint, b: SipEndpoint): Promise<{ ours: Dialog; theirs: Dialog }> {
  let theirs: Dialog | undefined;
  const committed: Dialog[] = [];
  b.onInvite = incoming => (theirs = incoming.accept(SDP, dialog => committed.push(dialog)));
  const ours = await new Promise<Dialog>((resolve, reject) => {
    const invite = a.invite({ ...asks('INVITE', '127.0.0.1', portOf(b, 'UDP')), ...SDP }, toward(b));
    invite.onFailed = outcome => reject(new Error(JSON.stringify(outcome)));
    invite.onAccepted = ({ dialog, ack }) => {
      ack();
      resolve(dialog);
    };
  });
  if (committed[0] !== theirs) throw new Error('the dialog was not committed');
  return { ours, theirs: theirs! };
}

t.test('a dialog goes on in another process', async t => {
  await using a = await openEndpoint({ timing: BRISK });
  await using b = await openEndpoint({ timing: BRISK });
  const { ours, theirs } = await established(a, b);
  const heard: string[] = [];
  theirs.onRequest = incoming => {
    heard.push(`${incoming.request.method} ${incoming.request.cseq.seq}`);
    incoming.respond(200);
  };
  t.equal(status(await ours.request('INFO')), 200);
  const state: DialogState = saved(ours.state);
  const port = portOf(a, 'UDP');
  await a[Symbol.asyncDispose]();
  await using again = await openEndpoint({ timing: BRISK, listen: [{ transport: 'udp', address: '127.0.0.1', port }] });
  const restored = again.restoreDialog(state);
  t.equal(status(await restored.request('INFO')), 200);
  t.same(heard, ['INFO 2', 'INFO 3'], 'the numbers go on');
  let ended: IncomingRequest | undefined;
  restored.onRequest = incoming => {
    ended = incoming;
    incoming.respond(200);
  };
  t.equal(status(await theirs.request('BYE')), 200, 'and it is found by the peer');
  t.equal(ended?.request.method, 'BYE');
  t.equal(status(await theirs.request('INFO')), 'transport-error');
  t.throws(() => again.restoreDialog({ ...state, remoteTarget: '' }), TypeError);
});

t.test('what comes before the owner is ready waits for him, over UDP and TCP, in a dialog and outside', async t => {
  await using a = await openEndpoint({ timing: BRISK });
  await using b = await openEndpoint({ timing: BRISK });
  const { ours, theirs } = await established(a, b);
  const state: DialogState = saved(theirs.state);
  const [udp, tcp] = [portOf(b, 'UDP'), portOf(b, 'TCP')];
  await b[Symbol.asyncDispose]();
  let traced = 0;
  await using again = await openEndpoint({ held: true, listen: [{ transport: 'udp', address: '127.0.0.1', port: udp }, { transport: 'tcp', address: '127.0.0.1', port: tcp }] });
  again.onTrace = direction => void (direction === 'out' && (traced += 1));
  let sent = 0;
  a.onTrace = direction => void (direction === 'out' && (sent += 1));
  const asked = [
    a.request(asks('MESSAGE', '127.0.0.1', udp), { transport: 'UDP', address: '127.0.0.1', port: udp }),
    a.request(asks('MESSAGE', '127.0.0.1', tcp), { transport: 'TCP', address: '127.0.0.1', port: tcp }),
    ours.request('INFO'),
  ];
  await until('what goes over UDP is repeated', () => sent >= 3 + 4);
  t.equal(traced, 0, 'nobody is told that there is no such thing here');
  again.restoreDialog(state).onRequest = incoming => incoming.respond(200);
  again.onRequest = incoming => incoming.respond(200);
  again.begin();
  t.same((await Promise.all(asked)).map(status), [200, 200, 200]);
});

t.test('what nobody attends to', async t => {
  await using a = await openEndpoint({ timing: BRISK });
  await using b = await openEndpoint({ timing: BRISK });
  t.equal(status(await a.request(asks('MESSAGE', '127.0.0.1', 1), toward(b))), 501, 'no handler for requests');
  const refused = await new Promise<Outcome>(resolve => (a.invite(asks('INVITE', '127.0.0.1', 1), toward(b)).onFailed = resolve));
  t.equal(status(refused), 501, 'nor for INVITE');
  const { ours, theirs } = await established(a, b);
  t.equal(status(await ours.request('INFO')), 501);
  t.equal(status(await ours.request('INVITE', SDP)), 488);
  t.equal(status(await ours.request('BYE')), 200, 'a call ends, though');
  t.equal(status(await theirs.request('INFO')), 'transport-error');
  const { ours: closing, theirs: closed } = await established(a, b);
  closed.close();
  t.equal(status(await closing.request('INFO')), 481);
});

t.test('drop: no answer, ever', async t => {
  await using endpoint = await openEndpoint({ timing: BRISK });
  let asked = 0;
  endpoint.onRequest = incoming => {
    asked++;
    if (incoming.request.method === 'OPTIONS') incoming.respond(200);
    else incoming.drop();
  };
  endpoint.onInvite = incoming => {
    asked++;
    incoming.drop();
    incoming.respond(200);
  };
  await using peer = await UdpPeer.open(portOf(endpoint, 'UDP'));
  const texts = [write({ method: 'MESSAGE' }), write({ method: 'INVITE' })];
  for (const text of [...texts, ...texts]) peer.send(text);
  peer.send(write());
  t.same([describe(await peer.next()), describe(await peer.next())], ['100 INVITE', '200 OPTIONS'], 'only the 100 that was due before the owner knew');
  t.equal(asked, 3);
  await until('nothing is held', () => endpoint.sizes['serverTransactions'] === 0);
});

t.test('subscriptions', async t => {
  await using a = await openEndpoint({ timing: BRISK });
  await using b = await openEndpoint({ timing: BRISK });
  const notifiers: Notifier[] = [];
  const events: string[] = [];
  b.onSubscribe = incoming => {
    if (incoming.event !== 'Catalog') return incoming.respond(489);
    const notifier = incoming.accept({ expiresS: Math.min(incoming.expiresS, 3) })!;
    notifiers.push(notifier);
    notifier.onRefreshed = (_request, expiresS) => events.push(`refreshed ${expiresS}`);
    notifier.onEnded = cause => events.push(`notifier ${cause}`);
    void notifier.notify({ contentType: 'application/manscdp+xml', body: Buffer.from('<Notify/>') });
  };
  const { method: _method, ...names } = asks('SUBSCRIBE', '127.0.0.1', portOf(b, 'UDP'));
  const wanted = { ...names, event: 'Catalog', expires: 3, contentType: 'application/manscdp+xml', body: Buffer.from('<Query/>') };
  const observe = (subscription: Subscription): Subscription => {
    subscription.onActive = expiresS => events.push(`active ${expiresS}`);
    subscription.onEnded = (cause, last) => events.push(`subscription ${cause} ${last}`);
    subscription.onNotify = (incoming, value) => {
      events.push(`notify ${value.state} ${Buffer.from(incoming.request.body).toString()}`);
      incoming.respond(200);
    };
    return subscription;
  };
  const subscription = observe(a.subscribe(wanted, toward(b)));
  t.equal(subscription.state, undefined);
  await until('the first words', () => events.length === 2);
  t.same(new Set(events), new Set(['active 3', 'notify active <Notify/>']));
  await until('a refresh', () => events.includes('refreshed 3'));
  await until('its grant', () => events.filter(event => event === 'active 3').length === 2);
  t.match(subscription.state, { event: 'Catalog', remainingS: /^[0-2]$/ });

  const state: SubscriptionState = saved({ ...subscription.state!, remainingS: 60 });
  t.equal(status(await notifiers[0]!.end('noresource')), 200);
  await until('the end at both', () => events.includes('notifier terminated:noresource') && events.some(event => event.startsWith('subscription')));
  t.ok(events.includes('subscription terminated:noresource 200'));
  t.equal(status(await notifiers[0]!.end('noresource')), 'transport-error', 'once');
  t.equal(await subscription.unsubscribe(), undefined, 'nothing left to end');

  events.length = 0;
  const restored = observe(a.restoreSubscription(state, { expires: 90 }));
  restored.refresh({ body: Buffer.from('<Other/>') });
  await until('481', () => events.length === 1);
  t.same(events, ['subscription gone 481'], 'the peer knows it no longer');

  events.length = 0;
  observe(a.subscribe({ ...wanted, event: 'presence' }, toward(b)));
  await until('489', () => events.length === 1);
  t.same(events, ['subscription rejected 489']);

  events.length = 0;
  const last = observe(a.subscribe({ ...wanted, expires: 60 }, toward(b)));
  await until('it stands', () => events.length === 2);
  const again = b.restoreNotifier(saved({ ...notifiers[1]!.state, remainingS: 30 }));
  again.onEnded = cause => events.push(`restored ${cause}`);
  t.equal(status(await again.notify({})), 200, 'a notifier that was taken up again');
  t.equal(status(await last.unsubscribe()), 200);
  await until('both are through', () => events.includes('restored unsubscribed') && events.includes('subscription unsubscribed 200'));
  t.equal(a.sizes['subscriptions'], 0);

  b.onSubscribe = undefined;
  b.onRequest = incoming => incoming.respond(403);
  events.length = 0;
  observe(a.subscribe(wanted, toward(b)));
  await until('403', () => events.length === 1);
  t.same(events, ['subscription rejected 403'], 'without onSubscribe it is a request like others');
});

t.test('several addresses: routing chooses, or the target says', async t => {
  const listen = ['127.0.0.1', '127.0.0.3'].flatMap(address => (['udp', 'tcp'] as const).map(transport => ({ transport, address, port: 0 })));
  await using endpoint = await openEndpoint({ listen });
  await using peer = await openEndpoint();
  const seen: string[] = [];
  peer.onRequest = incoming => {
    seen.push(incoming.flow.remoteAddress);
    incoming.respond(200);
  };
  for (const transport of ['UDP', 'TCP'] as const) {
    for (const localAddress of [undefined, '127.0.0.3'] as const) {
      const target = { ...toward(peer, transport), localAddress };
      t.equal(status(await endpoint.request(asks('MESSAGE', '127.0.0.1', 1), target)), 200);
      t.same(endpoint.localAddressFor(target), { address: localAddress ?? '127.0.0.1', port: portOf(endpoint, transport, localAddress ?? '127.0.0.1') });
    }
  }
  t.same(seen, ['127.0.0.1', '127.0.0.3', '127.0.0.1', '127.0.0.3'], 'a connection from one address is no connection from the other');
  await using any = await openEndpoint({}, '0.0.0.0');
  any.onRequest = incoming => incoming.respond(incoming.flow.localAddress === '127.0.0.1' ? 200 : 500);
  t.equal(status(await peer.request(asks('MESSAGE', '127.0.0.1', 1), toward(any))), 200, 'a socket for all addresses names the one that routing would');
});

t.test('trace: every message, repetitions included', async t => {
  await using endpoint = await openEndpoint({ timing: BRISK });
  await using peer = await UdpPeer.open(portOf(endpoint, 'UDP'));
  const trace: string[] = [];
  endpoint.onTrace = (direction, message, flow) => trace.push(`${direction} ${describe(message)} ${flow.remotePort === peer.port}`);
  endpoint.onRequest = incoming => incoming.respond(200);
  const text = write();
  peer.send(text);
  peer.send(text);
  await peer.response(200);
  await peer.response(200);
  const outcome = endpoint.request(asks('MESSAGE', '127.0.0.1', peer.port), { transport: 'UDP', address: '127.0.0.1', port: peer.port });
  const first = await peer.request('MESSAGE');
  await peer.request('MESSAGE');
  peer.send(answer(first, 200));
  t.equal(status(await outcome), 200);
  t.same(trace.slice(0, 4), ['in OPTIONS true', 'out 200 OPTIONS true', 'in OPTIONS true', 'out 200 OPTIONS true']);
  t.same(trace.slice(4, 6), ['out MESSAGE true', 'out MESSAGE true']);
  t.equal(trace.at(-1), 'in 200 MESSAGE true');
});
