import fc from 'fast-check';
import t from 'tap';
import { systemHashes } from '#kit/hashes.ts';
import { DigestClient } from '#core/sip/digest-client.ts';
import { DigestGuard, type DigestVerdict } from '#core/sip/digest-guard.ts';
import { type DigestAlgorithm, type DigestCredentials, type DigestSecret, digestHa1, digestResponse, formatAuthorization, formatChallenge, ha1Of, parseAuthorization, parseChallenge, sameSecret } from '#core/sip/digest.ts';
import { nameAddr, parseVia } from '#core/sip/headers.ts';
import { type HeaderField, NO_BODY, type SipRequest, type SipResponse, header } from '#core/sip/message.ts';
import { sipUri } from '#core/sip/uri.ts';
import { ms, seconds } from '#core/units.ts';

const ID = '33010000001180000007';
const REALM = '3301000000';
const URI = 'sip:33010000002000000001@3301000000';
const PASSWORD = 'Gate#2026';
const CAMERA = '192.0.2.71';
const PLAIN = { qop: undefined, nc: undefined, cnonce: undefined };

const must = <T>(result: { ok: true; value: T } | { ok: false; error: { why: string } }): T => {
  if (!result.ok) throw new Error(result.error.why);
  return result.value;
};

const via = must(parseVia('SIP/2.0/UDP 192.0.2.71:5060;rport;branch=z9hG4bKa11'));
const common = {
  via: [via], from: nameAddr(sipUri(ID, REALM), { tag: 'd7a' }), to: nameAddr(sipUri(ID, REALM)), callId: '7f01@192.0.2.71', cseq: { seq: 1, method: 'REGISTER' },
  contact: [], route: [], recordRoute: [], expires: 3600, contentType: undefined, headers: [], body: NO_BODY,
};

function register(authorization?: string | HeaderField, changes: Partial<SipRequest> = {}): SipRequest {
  const field = typeof authorization === 'string' ? { name: 'Authorization', value: authorization } : authorization;
  return { type: 'request', method: 'REGISTER', uri: sipUri('33010000002000000001', REALM), maxForwards: 70, ...common, headers: field === undefined ? [] : [field], ...changes };
}

const unauthorized = (headers: readonly HeaderField[], status = 401): SipResponse => ({ type: 'response', status, reason: '', ...common, headers });

t.test('vectors of gb28181.md 2.3', async t => {
  const ha1 = digestHa1(systemHashes, 'MD5', ID, REALM, PASSWORD);
  t.equal(ha1, '319a26f0133f88c690d53154ff622a00');
  t.equal(systemHashes.md5(`REGISTER:${URI}`), 'a81337ed1979c263ef574b29fdce8acb');
  const parts = { nonce: '5c1e0a77d3f84b21', uri: URI };
  t.equal(digestResponse(systemHashes, 'MD5', ha1, 'REGISTER', { ...parts, ...PLAIN }), '63489d9962b2b31bcf3165a49adb2500');
  t.equal(digestResponse(systemHashes, 'MD5', ha1, 'REGISTER', { ...parts, qop: 'auth', nc: '00000001', cnonce: '8a1f33c0' }), '85cadfab6b635d32482c331ff44afb9e');

  const second = { nonce: '9bd055e1f1a2f2a5', uri: 'sip:34020000002000000001@3402000000', ...PLAIN };
  const ha1Second = digestHa1(systemHashes, 'MD5', '34020000001320000001', '3402000000', '12345678');
  t.equal(ha1Second, '8258341d7dd730ce4d3b8fd2db050320');
  t.equal(digestResponse(systemHashes, 'MD5', ha1Second, 'REGISTER', second), 'b04b9822c35dae1b9d553b19ca525a36');
  const sha = digestHa1(systemHashes, 'SHA-256', '34020000001320000001', '3402000000', '12345678');
  t.equal(digestResponse(systemHashes, 'SHA-256', sha, 'REGISTER', second), '7aae465359271499cdfeadc886a12b2af11476c460bdfc87817e69383387548e');
});

t.test('vectors of RFC 7616 3.9.1', async t => {
  const parts = { nonce: '7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v', uri: '/dir/index.html', qop: 'auth', nc: '00000001', cnonce: 'f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ' };
  const responses: Readonly<Record<DigestAlgorithm, string>> = { MD5: '8ca523f5e9506fed4657c9700eebdbec', 'SHA-256': '753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1' };
  for (const [algorithm, response] of Object.entries(responses) as [DigestAlgorithm, string][]) {
    const ha1 = digestHa1(systemHashes, algorithm, 'Mufasa', 'http-auth@example.org', 'Circle of Life');
    t.equal(digestResponse(systemHashes, algorithm, ha1, 'GET', parts), response, algorithm);
  }
  t.equal(digestHa1(systemHashes, 'MD5', 'u', 'r', '密'), systemHashes.md5(Buffer.from('u:r:密', 'utf8').toString('latin1')), 'texts are UTF-8');
  const stored: DigestSecret = { ha1: 'a'.repeat(64) };
  t.same([ha1Of(systemHashes, stored, 'SHA-256', 'u', 'r'), ha1Of(systemHashes, stored, 'MD5', 'u', 'r')], ['a'.repeat(64), undefined], 'a stored HA1 serves its own algorithm');
});

t.test('challenges and credentials on the wire', async t => {
  t.same(must(parseChallenge('Digest realm="3301000000",nonce="5c1e",algorithm=MD5,qop="auth,auth-int",opaque="",stale=TRUE')), { realm: REALM, nonce: '5c1e', opaque: '', algorithm: 'MD5', qop: ['auth', 'auth-int'], stale: true });
  t.same(must(parseChallenge('digest  nonce = 5c1e , , realm = "a \\"b\\"" ,')), { realm: 'a "b"', nonce: '5c1e', opaque: undefined, algorithm: undefined, qop: [], stale: false });
  t.equal(formatChallenge(must(parseChallenge('Digest realm="r",nonce="n",qop=auth,algorithm=sha-256,stale=true'))), 'Digest realm="r",nonce="n",algorithm=SHA-256,qop="auth",stale=true');
  const text = `Digest username="${ID}",realm="${REALM}",nonce="5c1e",uri="${URI}",response="AB",algorithm=MD5,qop=auth,nc=0000000A,cnonce="8a"`;
  const credentials = must(parseAuthorization(text));
  t.match(credentials, { username: ID, uri: URI, response: 'ab', qop: 'auth', nc: '0000000A', ncValue: 10, cnonce: '8a', opaque: undefined });
  t.equal(formatAuthorization(credentials), text.replace('AB', 'ab'));
  const refused = [
    '', 'Digest', 'Basic dTpw', 'NoOneKnowsThisScheme opaque-data=here', 'Digest username="u"', 'Digest realm="r" nonce="n"', 'Digest realm="r",realm="s",nonce="n"', 'Digest realm="r,nonce="n"',
    'Digest realm', 'Digest =x', `Digest ${Array.from({ length: 40 }, (_, i) => `a${i}=b`).join(',')},realm=r,nonce=n`, `Digest realm="${'r'.repeat(5000)}",nonce="n"`,
  ];
  for (const value of refused) t.notOk(parseChallenge(value).ok || parseAuthorization(value).ok, value.slice(0, 40));
  for (const end of ['qop=auth', 'qop=auth,nc=1', 'qop=auth,cnonce="x"', 'qop=auth,nc=xyz,cnonce="x"', 'qop=auth,nc=123456789,cnonce="x"']) t.notOk(parseAuthorization(`Digest username="u",realm="r",nonce="n",uri="x",response="0",${end}`).ok, end);
  t.same([sameSecret('abc', 'abc'), sameSecret('abc', 'abd'), sameSecret('', 'a'), sameSecret('a', ''), sameSecret('ab', 'abab'), sameSecret('', '')], [true, false, false, false, false, true]);
});

/** A registrar with one user, and a camera that answers as told. */
class Scene {
  now = ms(1_000_000);
  readonly guard: DigestGuard;
  constructor(options: { algorithms?: readonly DigestAlgorithm[]; secret?: DigestSecret; qop?: boolean } = {}) {
    this.secret = options.secret ?? { password: PASSWORD };
    this.guard = new DigestGuard({ realm: REALM, algorithms: options.algorithms ?? ['MD5'], secret: new Uint8Array(32).fill(7), hashes: systemHashes, ...(options.qop === undefined ? {} : { qop: options.qop }) });
  }
  readonly secret: DigestSecret;

  ask(request: SipRequest, source = CAMERA): DigestVerdict {
    return this.guard.check(request, source, (username, realm, algorithm) => (username === ID ? ha1Of(systemHashes, this.secret, algorithm, username, realm) : undefined), this.now);
  }

  nonce(source = CAMERA, changes: Partial<SipRequest> = {}): string {
    const verdict = this.ask(register(undefined, changes), source);
    if (verdict.type !== 'challenge') throw new Error(verdict.type);
    return must(parseChallenge(verdict.headers[0]!.value)).nonce;
  }

  answer(nonce: string, changes: Partial<DigestCredentials> & { password?: string } = {}): string {
    const { password = PASSWORD, ...given } = changes;
    const parts = { username: ID, realm: REALM, nonce, uri: URI, algorithm: 'MD5', opaque: undefined, ncValue: undefined, ...PLAIN, ...given };
    const algorithm = parts.algorithm === 'SHA-256' ? 'SHA-256' : 'MD5';
    const response = digestResponse(systemHashes, algorithm, digestHa1(systemHashes, algorithm, parts.username, parts.realm, password), 'REGISTER', parts);
    return formatAuthorization({ response, ...parts });
  }

  counted(nonce: string, nc: number, changes: Partial<DigestCredentials> & { password?: string } = {}): string {
    return this.answer(nonce, { qop: 'auth', nc: nc.toString(16).padStart(8, '0'), cnonce: '8a1f33c0', ...changes });
  }
}

const brief = (verdict: DigestVerdict): string => (verdict.type === 'challenge' && verdict.stale ? 'stale' : verdict.type);

t.test('the registrar believes an answer to its own nonce, once', async t => {
  const scene = new Scene();
  const asked = scene.ask(register());
  t.equal(brief(asked), 'challenge');
  t.match(asked.type === 'challenge' && asked.headers, [{ name: 'WWW-Authenticate', value: /^Digest realm="3301000000",nonce="[0-9a-f]{44}",algorithm=MD5,qop="auth"$/ }]);

  const nonce = scene.nonce();
  t.same(scene.ask(register(scene.answer(nonce))), { type: 'accepted', username: ID });
  t.equal(brief(scene.ask(register(scene.answer(nonce)))), 'stale', 'a replay without qop (faults.md 18)');
  t.equal(brief(scene.ask(register(scene.counted(nonce, 5)))), 'stale', 'the nonce is spent for qop too');
  scene.now = ms(scene.now + 1);
  t.equal(brief(scene.ask(register(scene.answer(scene.nonce()), { callId: 'other' }))), 'stale', 'without qop it serves the Call-ID it was given to');
  const other = scene.nonce();
  t.equal(brief(scene.ask(register(scene.answer(other)), '192.0.2.72')), 'challenge', 'another source was not given it');
  t.equal(brief(scene.ask(register(scene.answer('0'.repeat(44))))), 'challenge', 'a nonce of somebody else');
  t.equal(brief(scene.ask(register(scene.answer('')))), 'challenge');
  t.equal(brief(scene.ask(register(scene.answer(other, { realm: 'elsewhere' })))), 'challenge', 'another realm');
  t.equal(brief(scene.ask(register('NoOneKnowsThisScheme opaque-data=here'))), 'challenge', 'regaut01');
  t.equal(brief(scene.ask(register('Digest username="x"'))), 'malformed');
  t.equal(brief(scene.ask(register(scene.counted(other, 1, { qop: 'auth-int' })))), 'malformed');
  t.equal(brief(scene.ask(register(scene.answer(other, { algorithm: 'SHA-256' })))), 'challenge', 'an algorithm that was not offered');
  t.equal(brief(scene.ask(register(scene.answer(other, { algorithm: undefined })))), 'accepted', 'no algorithm is MD5');
  scene.now = ms(scene.now + 1);
  t.equal(brief(scene.ask(register(scene.answer(scene.nonce(), { uri: 'sip:anything@1.2.3.4' })))), 'accepted', 'the digest-uri is taken from the header (gb28181.md 11 #10)');
  scene.now = ms(scene.now + 1);
  t.equal(brief(scene.ask(register(scene.answer(scene.nonce()).replace(/response="[^"]*"/, `response="${systemHashes.md5(`${digestHa1(systemHashes, 'MD5', ID, REALM, PASSWORD)}:${scene.nonce()}`)}"`)))), 'refused', 'the short form MD5(HA1:nonce) is none');
});

t.test('expiry and clock', async t => {
  const scene = new Scene();
  const nonce = scene.nonce();
  scene.now = ms(scene.now + 119_000);
  t.equal(brief(scene.ask(register(scene.counted(nonce, 1)))), 'accepted');
  scene.now = ms(scene.now + 2_000);
  t.equal(brief(scene.ask(register(scene.counted(nonce, 2)))), 'stale', 'expired, and the hash was right');
  t.equal(brief(scene.ask(register(scene.counted(nonce, 3, { password: 'wrong' })))), 'refused', 'expired nonces are no free oracle');
  const later = scene.nonce();
  scene.now = ms(500);
  t.equal(brief(scene.ask(register(scene.counted(later, 1)))), 'stale', 'from the future: the node was changed');
});

t.test('nc is counted, after the hash was found right (faults.md 19)', async t => {
  const scene = new Scene();
  const nonce = scene.nonce();
  const ask = (nc: number, password?: string): string => brief(scene.ask(register(scene.counted(nonce, nc, password === undefined ? {} : { password }))));
  t.equal(ask(1), 'accepted');
  t.equal(ask(0xffff, 'wrong'), 'refused');
  t.equal(ask(2), 'accepted', 'a forged jump ahead did not count');
  t.equal(ask(2), 'stale');
  t.equal(ask(1), 'stale');
  t.equal(ask(10), 'accepted');
  t.equal(ask(7), 'accepted', 'late by reordering');
  t.equal(ask(7), 'stale', 'but once');
  t.equal(ask(100), 'accepted');
  t.equal(ask(69), 'accepted', 'the far end of the window');
  t.equal(ask(68), 'stale', 'behind it');
  t.equal(ask(0xffffffff), 'accepted');
  t.equal(ask(0xfffffffe), 'accepted');
  t.equal(ask(101), 'stale');
  const twice = new Scene();
  const used = twice.nonce();
  const order = fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 60 });
  t.doesNotThrow(() => fc.assert(fc.property(order, counts => {
    const fresh = new Scene();
    const given = fresh.nonce();
    const accepted = counts.filter(nc => fresh.ask(register(fresh.counted(given, nc))).type === 'accepted');
    return new Set(accepted).size === accepted.length && (counts.length === 0 || accepted[0] === counts[0]);
  }), { numRuns: 60 }), 'each nc at most once');
  t.equal(brief(twice.ask(register(twice.counted(used, 0)))), 'accepted');
  t.equal(brief(twice.ask(register(twice.counted(used, 0)))), 'stale');
});

t.test('wrong five times in five minutes (faults.md 17)', async t => {
  const scene = new Scene();
  const nonce = scene.nonce();
  const wrong = (nc: number): string => brief(scene.ask(register(scene.counted(nonce, nc, { password: 'guess' }))));
  t.same([1, 2, 3, 4, 5].map(wrong), Array(5).fill('refused'));
  t.equal(wrong(6), 'locked');
  t.equal(brief(scene.ask(register())), 'locked', 'the whole source and ID is silent');
  t.equal(brief(scene.ask(register(scene.counted(nonce, 7)))), 'locked', 'even with the right password');
  t.equal(brief(scene.ask(register(), '192.0.2.99')), 'challenge', 'the same ID from elsewhere is not');
  t.equal(brief(scene.ask(register(undefined, { to: nameAddr(sipUri('1', REALM)) }))), 'challenge', 'nor another ID there');
  scene.now = ms(scene.now + seconds(300));
  t.equal(brief(scene.ask(register())), 'challenge', 'for 300 s');

  const patient = new Scene();
  for (let i = 0; i < 4; i++) t.equal(brief(patient.ask(register(patient.counted(patient.nonce(), i + 1, { password: 'guess' })))), 'refused');
  patient.now = ms(patient.now + seconds(301));
  for (let i = 0; i < 4; i++) t.equal(brief(patient.ask(register(patient.counted(patient.nonce(), i + 1, { password: 'guess' })))), 'refused', 'four in each five minutes');
  t.equal(brief(patient.ask(register(patient.counted(patient.nonce(), 9)))), 'accepted');
  for (let i = 0; i < 4; i++) t.equal(brief(patient.ask(register(patient.counted(patient.nonce(), 20 + i, { password: 'guess' })))), 'refused', 'a success forgives');
  t.equal(brief(patient.ask(register(patient.counted(patient.nonce(), 40)))), 'accepted');

  const unknown = new Scene();
  for (let i = 0; i < 5; i++) t.equal(brief(unknown.ask(register(unknown.counted(unknown.nonce(), i + 1, { username: 'nobody' })))), 'refused', 'an unknown user is a wrong password');
  t.equal(brief(unknown.ask(register())), 'locked');

  const spoofed = new Scene();
  for (let i = 0; i < 20; i++) t.equal(brief(spoofed.ask(register(spoofed.answer('f'.repeat(44), { password: 'guess' })))), 'challenge', 'who cannot receive a nonce locks nobody out');
  t.same(spoofed.guard.rows, { uses: 0, failures: 0 });
});

t.test('memory is bounded (faults.md 24)', async t => {
  const flood = new Scene();
  for (let i = 0; i < 65_536; i++) flood.ask(register(), `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`);
  t.same(flood.guard.rows, { uses: 0, failures: 0 }, 'challenges leave nothing');

  const busy = new Scene();
  const first = busy.nonce();
  t.equal(brief(busy.ask(register(busy.counted(first, 1)))), 'accepted');
  for (let i = 0; i < 16_500; i++) {
    busy.now = ms(busy.now + 1);
    busy.ask(register(busy.counted(busy.nonce(), 1)));
  }
  t.ok(busy.guard.rows.uses <= 16_384);
  t.equal(brief(busy.ask(register(busy.counted(first, 1)))), 'stale', 'a row that had to go does not make its nonce new');
  t.equal(brief(busy.ask(register(busy.counted(busy.nonce(), 2)))), 'accepted');
  busy.now = ms(busy.now + seconds(300));
  busy.ask(register(busy.counted(busy.nonce(), 1)));
  t.equal(busy.guard.rows.uses, 1, 'what has expired is forgotten');

  const guesser = new Scene();
  const nonce = guesser.nonce();
  for (let i = 0; i < 16_500; i++) guesser.ask(register(guesser.counted(nonce, 1, { password: 'guess' }), { to: nameAddr(sipUri(`${i}${'x'.repeat(200)}`, REALM)) }));
  t.ok(guesser.guard.rows.failures <= 16_384);
  guesser.now = ms(guesser.now + seconds(700));
  guesser.ask(register(guesser.counted(guesser.nonce(), 1, { password: 'guess' })));
  t.equal(guesser.guard.rows.failures, 1);
});

t.test('algorithms: what is offered can be checked', async t => {
  const offered = (scene: Scene): string[] => {
    const verdict = scene.ask(register());
    return verdict.type === 'challenge' ? verdict.headers.map(field => must(parseChallenge(field.value)).algorithm ?? '') : [];
  };
  const both = new Scene({ algorithms: ['SHA-256', 'MD5'] });
  t.same(offered(both), ['SHA-256', 'MD5']);
  t.equal(brief(both.ask(register(both.counted(both.nonce(), 1, { algorithm: 'SHA-256' })))), 'accepted');
  t.equal(brief(both.ask(register(both.counted(both.nonce(), 2, { algorithm: 'MD5' })))), 'accepted');
  const stored = new Scene({ algorithms: ['SHA-256', 'MD5'], secret: { ha1: digestHa1(systemHashes, 'MD5', ID, REALM, PASSWORD) } });
  t.same(offered(stored), ['MD5'], 'only an MD5 HA1 is stored');
  t.equal(brief(stored.ask(register(stored.counted(stored.nonce(), 1)))), 'accepted');
  const old = new Scene({ qop: false }).ask(register());
  t.notMatch(old.type === 'challenge' && old.headers[0]?.value, /qop/);
});

const client = (secret: DigestSecret = { password: PASSWORD }): DigestClient => new DigestClient({ realms: [REALM], peerAddress: '192.0.2.1', username: ID, secret, hashes: systemHashes });
const challenge = (nonce: string, more = '', name = 'WWW-Authenticate'): HeaderField => ({ name, value: `Digest realm="${REALM}",nonce="${nonce}"${more}` });
const asks = { method: 'REGISTER', uri: URI, cnonce: '8a1f33c0' };

t.test('the client answers the configured realm and peer only (faults.md 20)', async t => {
  const answer = client().onChallenge(unauthorized([challenge('5c1e0a77d3f84b21', ',algorithm=MD5,qop="auth"')]), '192.0.2.1', asks);
  t.same(answer, { type: 'authorize', field: {
    name: 'Authorization',
    value: `Digest username="${ID}",realm="${REALM}",nonce="5c1e0a77d3f84b21",uri="${URI}",response="85cadfab6b635d32482c331ff44afb9e",algorithm=MD5,qop=auth,nc=00000001,cnonce="8a1f33c0"`,
  } });
  t.match(client().onChallenge(unauthorized([challenge('5c1e0a77d3f84b21')]), '::ffff:192.0.2.1', asks), { type: 'authorize', field: { value: /response="63489d9962b2b31bcf3165a49adb2500"$/ } }, 'without qop');
  t.match(client().onChallenge(unauthorized([challenge('5c1e', ',opaque="o"', 'Proxy-Authenticate')], 407), '192.0.2.1', asks), { type: 'authorize', field: { name: 'Proxy-Authorization', value: /,opaque="o"$/ } });
  const why = (headers: readonly HeaderField[], source = '192.0.2.1', secret?: DigestSecret): string => {
    const refused = client(secret).onChallenge(unauthorized(headers), source, asks);
    return refused.type === 'failed' ? refused.why : refused.field.value;
  };
  t.equal(why([challenge('n')], '192.0.2.66'), 'foreign peer');
  t.equal(why([{ name: 'WWW-Authenticate', value: 'Digest realm="bank",nonce="n"' }]), 'foreign realm');
  t.equal(why([]), 'no usable challenge');
  t.equal(why([{ name: 'WWW-Authenticate', value: 'Basic realm="x"' }]), 'no usable challenge');
  t.equal(why([challenge('n', ',algorithm=SM3')]), 'no usable challenge');
  t.equal(why([challenge('n', ',qop="auth-int"')]), 'no usable challenge');
  t.equal(why([challenge('n', ',algorithm=SHA-256')], '192.0.2.1', { ha1: 'a'.repeat(32) }), 'no usable challenge', 'only an MD5 HA1 is stored');
  t.match(why([challenge('n', ',algorithm=MD5'), challenge('n', ',algorithm=SHA-256')]), /algorithm=SHA-256/, 'the stronger of two');
  t.match(why([challenge('n', ',algorithm=SHA-256'), challenge('n', ',algorithm=MD5')], '192.0.2.1', { ha1: 'a'.repeat(32) }), /algorithm=MD5/, 'the one that we can');
  t.match(why([{ name: 'WWW-Authenticate', value: 'Digest realm="bank",nonce="n"' }, challenge('m')]), /nonce="m"/, 'a foreign realm beside ours');
});

t.test('the client tries once, and once more when its nonce was stale', async t => {
  const result = (one: DigestClient, nonce: string, more = ''): string => {
    const answer = one.onChallenge(unauthorized([challenge(nonce, `,qop="auth"${more}`)]), '192.0.2.1', asks);
    return answer.type === 'failed' ? answer.why : must(parseAuthorization(answer.field.value)).nc!;
  };
  const same = client();
  t.same([same.begin(asks), result(same, 'a'), result(same, 'a')], [undefined, '00000001', 'wrong credentials']);
  const fresh = client();
  t.same([result(fresh, 'a'), result(fresh, 'b')], ['00000001', 'wrong credentials'], 'a fresh nonce for a wrong password makes no loop');
  const stale = client();
  t.same([result(stale, 'a'), result(stale, 'b', ',stale=true'), result(stale, 'c', ',stale=true')], ['00000001', '00000001', 'wrong credentials']);

  const again = client();
  result(again, 'a');
  const ahead = again.begin(asks);
  t.equal(ahead && must(parseAuthorization(ahead.value)).nc, '00000002', 'the next request counts on');
  t.equal(result(again, 'b'), '00000001', 'and its 401 is answered');
  again.begin(asks);
  t.equal(result(again, 'b'), 'wrong credentials', 'unless the nonce is the one that was just used');
  t.equal(again.begin(asks), undefined, 'and then it is forgotten');
  const plain = client();
  plain.onChallenge(unauthorized([challenge('n')]), '192.0.2.1', asks);
  t.equal(plain.begin(asks), undefined, 'without qop a nonce serves once');
});

t.test('client: another process goes on with the nonce', async t => {
  const first = client();
  first.onChallenge(unauthorized([challenge('n')]), '192.0.2.1', asks);
  const { held } = first;
  const second = new DigestClient({ realms: [REALM], peerAddress: '192.0.2.1', username: ID, secret: { password: PASSWORD }, hashes: systemHashes, held: held && (JSON.parse(JSON.stringify(held)) as typeof held) });
  t.same(second.begin(asks), first.begin(asks), 'with the next count');
});

t.test('nodes with one secret believe the nonces of each other, though their clocks count from elsewhere', async t => {
  const secret = new Uint8Array(32).fill(9);
  const guard = (clockOffsetMs: number): DigestGuard => new DigestGuard({ realm: REALM, algorithms: ['MD5'], secret, hashes: systemHashes, clockOffsetMs });
  const [first, second] = [guard(1_700_000_000_000), guard(1_700_000_900_000)];
  const scene = new Scene();
  const lookup = (username: string): string | undefined => (username === ID ? digestHa1(systemHashes, 'MD5', ID, REALM, PASSWORD) : undefined);
  const asked = first.check(register(), CAMERA, lookup, ms(1_000_000));
  const nonce = asked.type === 'challenge' ? must(parseChallenge(asked.headers[0]!.value)).nonce : '';
  let count = 0;
  const verdict = (at: number): string => brief(second.check(register(scene.counted(nonce, (count += 1))), CAMERA, lookup, ms(at)));
  t.equal(verdict(100_010), 'accepted', 'ten milliseconds later, on the other one');
  t.equal(verdict(97_000), 'accepted', 'whose clock is three seconds behind');
  t.equal(verdict(90_000), 'stale', 'not ten');
  t.equal(verdict(100_000 + 120_001), 'stale', 'and it grows old there too');
});

t.test('client and registrar understand each other', async t => {
  for (const algorithms of [['MD5'], ['SHA-256'], ['SHA-256', 'MD5']] as const) {
    for (const qop of [true, false]) {
      const scene = new Scene({ algorithms, qop });
      const camera = new DigestClient({ realms: [REALM], peerAddress: '192.0.2.1', username: ID, secret: { password: PASSWORD }, hashes: systemHashes });
      for (let round = 0; round < 3; round++) {
        scene.now = ms(scene.now + seconds(10));
        let request = register(camera.begin(asks));
        let verdict = scene.ask(request);
        for (let tries = 0; verdict.type === 'challenge' && tries < 3; tries++) {
          const answer = camera.onChallenge(unauthorized(verdict.headers), '192.0.2.1', asks);
          if (answer.type === 'failed') throw new Error(answer.why);
          request = register(answer.field);
          verdict = scene.ask(request);
        }
        t.equal(verdict.type, 'accepted', `${algorithms.join()} qop ${String(qop)} round ${round}: ${header(request, 'Authorization') ?? ''}`);
      }
    }
  }
});
