/** The notice of a broadcast in both directions, and the way to the device's call, in virtual time. */
import t from 'tap';
import { BroadcastSession, buildBroadcast, readBroadcast } from '#core/gb/broadcast.ts';
import { parseManscdp } from '#core/gb/manscdp.ts';
import { NEVER, ms } from '#core/units.ts';

const NOTICE = { sourceId: '33010000002000000001', targetId: '33010000001370000701' };

t.test('the notice of gb28181.md 9.1', async t => {
  const xml = '<Notify><CmdType>Broadcast</CmdType><SN>55</SN><SourceID>33010000002000000001</SourceID><TargetID>33010000001370000701</TargetID></Notify>';
  for (const text of [xml, buildBroadcast(55, NOTICE)]) {
    const parsed = parseManscdp(text);
    t.ok(parsed.ok);
    if (parsed.ok) t.same([parsed.value.sn, readBroadcast(parsed.value)], [55, NOTICE]);
  }
  for (const bad of [xml.replace('Notify>', 'Query>').replace('</Notify>', '</Query>'), xml.replace(/<TargetID>.*<\/TargetID>/, ''), xml.replace('33010000002000000001', 'x'.repeat(65))]) {
    const parsed = parseManscdp(bad);
    if (parsed.ok) t.equal(readBroadcast(parsed.value), undefined);
  }
});

t.test('told, then called', async t => {
  const session = new BroadcastSession(ms(0));
  t.same(session.responded('OK', ms(100)), [{ type: 'answer', result: 'OK' }]);
  t.same(session.responded('OK', ms(101)), [], 'said twice');
  t.same(session.called(), []);
  t.equal(session.deadline, NEVER);
  t.match(session.failed('hung up'), [{ type: 'over', why: 'hung up' }]);
  t.same(session.failed('again'), []);
});

t.test('a device that calls without a word has said yes', async t => {
  const session = new BroadcastSession(ms(0));
  t.same(session.called(), [{ type: 'answer', result: 'OK' }]);
  t.same(session.responded('OK', ms(1)), []);
});

t.test('no, silence, and a promise that is not kept', async t => {
  t.match(new BroadcastSession(ms(0)).responded('ERROR', ms(1)), [{ type: 'answer', result: 'ERROR' }, { type: 'over' }]);
  const silent = new BroadcastSession(ms(0));
  t.same(silent.tick(ms(7999)), []);
  t.match(silent.tick(ms(8000)), [{ type: 'answer', result: 'ERROR' }, { type: 'over' }]);
  const promised = new BroadcastSession(ms(0));
  promised.responded('OK', ms(1000));
  t.match(promised.tick(ms(16_000)), [{ type: 'over' }]);
});
