import fc from 'fast-check';
import t from 'tap';
import { ControlLine } from '#core/gb/control-line.ts';
import { CONTROLS_PER_S, ControlPolicy } from '#core/gb/control-policy.ts';
import { ForwardedQuestions, LINGER_MS, MAX_PER_UPSTREAM, MAX_QUEUED_PER_DEVICE, QUIET_MS, type Question, type QuestionOutput, SETTLE_MS, TOTAL_MS } from '#core/gb/forwarded-questions.ts';
import { buildManscdp } from '#core/gb/manscdp-write.ts';
import { type Manscdp, parseManscdp } from '#core/gb/manscdp.ts';
import { LENS_STOP, PTZ_STOP } from '#core/gb/ptz.ts';
import { RecordList, readRecordPart, readRecordQuery, recordPages } from '#core/gb/record-info.ts';
import { configBlocks, relayResponse } from '#core/gb/relayed-content.ts';
import { textOf } from '#core/gb/xml.ts';
import { ms } from '#core/units.ts';

const NVR = '33010000001180000007';
const CAMERA = '33010000001320000701';
const ABOVE = '33010000001320000901';
const channel = { deviceId: NVR, channelId: CAMERA };
const left = { ...PTZ_STOP, pan: 'left', panSpeed: 64 } as const;
const far = { ...LENS_STOP, focus: 'far', focusSpeed: 32 } as const;

function parse(root: 'Response' | 'Query' | 'Control', cmdType: string, sn: number, content = '', deviceId = CAMERA): Manscdp {
  const parsed = parseManscdp(buildManscdp(root, cmdType, { sn, deviceId }, content));
  if (!parsed.ok) throw new Error(parsed.error.why);
  return parsed.value;
}

t.test('rate: ten a second for one upstream and channel, stops always (fault 22)', async t => {
  const policy = new ControlPolicy();
  const passed = (upstream: string, command: typeof left | typeof PTZ_STOP, from: number, count: number): number => {
    let sum = 0;
    for (let i = 0; i < count; i++) sum += Number(policy.admit(upstream, channel, command, ms(from + i * 10)));
    return sum;
  };
  t.equal(passed('city', left, 0, 100), CONTROLS_PER_S + 9, 'a second of a flood of 100/s');
  t.equal(passed('city', PTZ_STOP, 1000, 100), 100);
  t.equal(passed('county', left, 1000, 5), 5, 'another upstream has its own');
  t.ok(policy.admit('city', { ...channel, channelId: 'x' }, left, ms(1000)), 'so has another channel');
  t.equal(passed('city', left, 60_000, 10), 10, 'and after a rest it is full again');
  t.equal(policy.admit('city', channel, left, ms(60_000)), false, 'time that goes back gives nothing');
  t.ok(policy.admit('city', channel, 'question', ms(60_000)), 'questions have their own');
});

t.test('dead-man: what an upstream moves is stopped when it goes', async t => {
  const policy = new ControlPolicy();
  policy.sent('city', channel, left);
  policy.sent('city', channel, far);
  policy.sent('city', { ...channel, channelId: 'x' }, left);
  policy.sent('county', { ...channel, channelId: 'x' }, left);
  policy.sent('city', { ...channel, channelId: 'y' }, left);
  policy.sent('county', { ...channel, channelId: 'y' }, { ...PTZ_STOP, panSpeed: 3 });
  policy.sent('city', { ...channel, channelId: 'z' }, { kind: 'preset-call', preset: 1 });
  t.same(policy.upstreamGone('city'), [{ channel, motion: 'move' }, { channel, motion: 'lens' }], 'not what another one moves or has stopped, not what ends by itself');
  t.same(policy.upstreamGone('city'), [], 'once');
  t.equal(policy.moving, 1);
  policy.deviceGone(NVR);
  t.same(policy.upstreamGone('county'), []);
  policy.sent('city', channel, left);
  policy.sent('county', { ...channel, channelId: 'x' }, far);
  t.equal(policy.upstreamGone().length, 2, 'all of them, when it is we who go');
  t.equal(policy.moving, 0);
});

t.test('line: one after the other, the newest motion, a stop before all', async t => {
  const line = new ControlLine<string>();
  const put = (value: string, motion: 'move' | 'lens' | undefined, stop = false) => line.put({ motion, stop, value }, ms(0));
  t.same(put('left', 'move'), { ticket: 1, value: 'left' });
  for (const [value, motion, stop] of [['preset', undefined, false], ['right', 'move', false], ['far', 'lens', false], ['up', 'move', false], ['stop', 'move', true]] as const) t.equal(put(value, motion, stop), undefined);
  t.same(line.answered(1, ms(10)), { ticket: 2, value: 'stop' });
  t.equal(line.answered(1, ms(11)), undefined, 'an answer counts once');
  t.same(line.answered(2, ms(12)), { ticket: 3, value: 'preset' });
  t.equal(line.deadline, 2012);
  t.equal(line.tick(ms(2011)), undefined);
  t.same(line.tick(ms(2012)), { ticket: 4, value: 'far' }, 'a device that does not answer');
  t.equal(line.answered(4, ms(2013)), undefined);
  t.ok(line.idle);
  t.equal(line.deadline, Infinity);
  const taps = new ControlLine<string>();
  for (const [value, stop] of [['left', false], ['stop', true], ['right', false], ['left again', false]] as const) taps.put({ motion: 'move', stop, value }, ms(0));
  t.equal(taps.answered(1, ms(1))?.value, 'stop', 'two taps stay two');
  t.equal(taps.answered(2, ms(2))?.value, 'left again');
});

const question = (cmdType: string, over: Partial<Question> = {}): Question => ({ upstream: 'city', sn: 500, askedId: ABOVE, deviceId: NVR, channelId: CAMERA, root: 'Query', cmdType, content: '', ...over });
const types = (outputs: readonly QuestionOutput[]): string[] => outputs.map(({ type }) => type);

class Asking {
  readonly questions = new ForwardedQuestions(76);
  now = 0;
  ask(cmdType: string, over: Partial<Question> = {}): number | undefined {
    const [output] = this.questions.handle({ type: 'ask', question: question(cmdType, over) }, ms(this.now));
    return output?.type === 'send' ? output.sn : undefined;
  }
  answer(cmdType: string, sn: number, content = '', deviceId = NVR): QuestionOutput[] {
    return this.questions.handle({ type: 'response', deviceId, message: parse('Response', cmdType, sn, content) }, ms(this.now));
  }
  /** Jumps to the next deadline. */
  wait(): QuestionOutput[] {
    this.now = this.questions.deadline;
    return this.questions.handle({ type: 'tick' }, ms(this.now));
  }
}

t.test('question: asked under our SN, answered once', async t => {
  const asking = new Asking();
  const sn = asking.ask('PTZPosition')!;
  t.equal(sn, 77);
  t.same(types(asking.answer('PTZPosition', 500)), ['unasked'], 'not the SN of the upstream');
  t.same(types(asking.answer('DeviceStatus', sn)), ['unasked'], 'not another command');
  t.same(types(asking.answer('PTZPosition', sn, '', '33010000001180000008')), ['unasked'], 'not another device');
  t.match(asking.answer('PTZPosition', sn, '<Pan>1</Pan>'), [{ type: 'relay', question: { sn: 500 }, message: { sn } }]);
  t.same(types(asking.answer('PTZPosition', sn)), ['unasked']);
  t.equal(asking.questions.size, 0);
  t.equal(asking.questions.deadline, Infinity);
});

t.test('question: every way in which no answer comes', async t => {
  const asking = new Asking();
  asking.ask('PresetQuery');
  t.match(asking.wait(), [{ type: 'failed', why: 'the device gave no answer' }]);
  t.equal(asking.now, QUIET_MS);
  const sn = asking.ask('PresetQuery')!;
  t.match(asking.questions.handle({ type: 'refused', sn }, ms(asking.now)), [{ type: 'failed', why: 'the device refused it' }]);
  t.same(asking.questions.handle({ type: 'refused', sn }, ms(asking.now)), []);
  asking.ask('PresetQuery');
  asking.ask('PresetQuery', { deviceId: 'other' });
  t.match(asking.questions.handle({ type: 'device-gone', deviceId: NVR }, ms(asking.now)), [{ type: 'failed', why: 'the device is offline' }]);
  t.same(asking.questions.handle({ type: 'upstream-gone', upstream: 'city' }, ms(asking.now)), [], 'nobody to tell');
  t.equal(asking.questions.size, 0);
});

t.test('question: lists and configurations in several messages', async t => {
  const asking = new Asking();
  const presets = asking.ask('PresetQuery')!;
  const part = (items: number): string => `<SumNum>3</SumNum><PresetList Num="${items}">${'<Item><PresetID>1</PresetID></Item>'.repeat(items)}</PresetList>`;
  t.same(types(asking.answer('PresetQuery', presets, part(2))), ['relay']);
  t.equal(asking.questions.deadline, QUIET_MS);
  t.same(types(asking.answer('PresetQuery', presets, part(1))), ['relay']);
  t.equal(asking.questions.size, 0);
  const old = asking.ask('PresetQuery')!;
  asking.answer('PresetQuery', old, '<PresetList Num="1"><Item><PresetID>1</PresetID></Item></PresetList>');
  t.equal(asking.questions.deadline, LINGER_MS, '2016 has no SumNum');
  t.same(asking.wait(), [], 'it was answered');
  const config = asking.ask('ConfigDownload', { parts: 2 })!;
  t.same(types(asking.answer('ConfigDownload', config, '<Result>OK</Result><BasicParam><Name>x</Name></BasicParam>')), ['relay']);
  t.equal(asking.questions.size, 1, 'one type a message');
  t.same(types(asking.answer('ConfigDownload', config, '<Result>OK</Result><VideoParamOpt><Resolution>5</Resolution></VideoParamOpt>')), ['relay']);
  t.equal(asking.questions.size, 0);
});

const record = (start: string, end = start, over = ''): string => `<Item><DeviceID>${CAMERA}</DeviceID><Name>seg</Name><StartTime>${start}</StartTime><EndTime>${end}</EndTime>${over}</Item>`;
const list = (sum: number | string, ...items: string[]): string => `<Name>gate</Name><SumNum>${sum}</SumNum><RecordList Num="${items.length}">${items.join('')}</RecordList>`;
const records = (outputs: readonly QuestionOutput[]) => outputs.flatMap(output => (output.type === 'records' ? [{ starts: output.list.records.map(({ StartTime }) => StartTime), complete: output.complete }] : []));

t.test('records: one question at a time for a device (quirk 36), the next one when it ends', async t => {
  const asking = new Asking();
  const first = asking.ask('RecordInfo')!;
  t.equal(asking.ask('RecordInfo', { sn: 501 }), undefined, 'waits');
  t.ok(asking.ask('RecordInfo', { deviceId: 'other' }), 'another device does not');
  t.ok(asking.ask('PresetQuery'), 'nor another question');
  asking.answer('RecordInfo', first, list(2, record('2026-03-10T08:30:00')));
  asking.answer('RecordInfo', first, list(2, record('2026-03-10T08:00:00')));
  const outputs = asking.wait();
  t.equal(asking.now, SETTLE_MS);
  t.same(records(outputs), [{ starts: ['2026-03-10T08:00:00', '2026-03-10T08:30:00'], complete: true }]);
  t.match(outputs[1], { type: 'send', sn: first + 1, question: { sn: 501 } });
  t.same(types(asking.answer('RecordInfo', first, list(2, record('2026-03-10T09:00:00')))), ['unasked'], 'what comes late belongs to nobody');
});

t.test('records: a device that stalls, repeats, or has none (quirks 31, 34, 35)', async t => {
  const asking = new Asking();
  let sn = asking.ask('RecordInfo')!;
  asking.answer('RecordInfo', sn, list(299, record('2026-03-10T08:00:00'), record('2026-03-10T08:00:00'), record('2026-3-10 8:00:00+08:00')));
  t.same(records(asking.wait()), [{ starts: ['2026-03-10T08:00:00'], complete: false }], 'what came, each once');
  t.equal(asking.now, QUIET_MS);
  for (const none of ['<SumNum>0</SumNum>', '<SumNum>0</SumNum><RecordList Num="0"/>', '<RecordList/>', '']) {
    sn = asking.ask('RecordInfo')!;
    t.same(records(asking.answer('RecordInfo', sn, none)), [{ starts: [], complete: true }], none || 'nothing at all');
  }
  sn = asking.ask('RecordInfo')!;
  const begun = asking.now;
  while (asking.questions.size > 0) {
    asking.now = Math.min(asking.now + 9_000, asking.questions.deadline);
    if (asking.now === asking.questions.deadline) t.equal(records(asking.wait())[0]?.complete, false);
    else asking.answer('RecordInfo', sn, list(1000, record(`2026-03-10T08:00:${String(asking.now / 1000 % 60).padStart(2, '0')}`)));
  }
  t.equal(asking.now - begun, TOTAL_MS, 'and it does not go on for ever');
});

t.test('bounds: of an upstream, and of the line before a device', async t => {
  const asking = new Asking();
  for (let i = 0; i <= MAX_QUEUED_PER_DEVICE; i++) asking.ask('RecordInfo');
  t.match(asking.questions.handle({ type: 'ask', question: question('RecordInfo') }, ms(0)), [{ type: 'failed', why: 'too many questions at once' }]);
  while (asking.questions.size < MAX_PER_UPSTREAM) asking.ask('PTZPosition');
  t.match(asking.questions.handle({ type: 'ask', question: question('PTZPosition') }, ms(0)), [{ type: 'failed' }]);
  t.ok(asking.ask('PTZPosition', { upstream: 'county' }), 'another one has its own share');
  let failed = 0;
  while (asking.questions.size > 0) failed += asking.wait().filter(({ type }) => type === 'failed').length;
  t.equal(failed, MAX_PER_UPSTREAM + 1, 'everybody is told');
  t.ok(asking.now <= TOTAL_MS + TOTAL_MS);
});

t.test('property: whatever comes in whatever order, every question ends exactly once', async () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('ask' as const), cmdType: fc.constantFrom('RecordInfo', 'PresetQuery', 'DeviceControl'), device: fc.constantFrom('a', 'b') }),
    fc.record({ do: fc.constant('answer' as const), cmdType: fc.constantFrom('RecordInfo', 'PresetQuery', 'DeviceControl'), device: fc.constantFrom('a', 'b'), sn: fc.integer({ min: 77, max: 90 }), sum: fc.integer({ min: 0, max: 2 }) }),
    fc.record({ do: fc.constant('refused' as const), sn: fc.integer({ min: 77, max: 90 }) }),
    fc.record({ do: fc.constant('gone' as const), device: fc.constantFrom('a', 'b') }),
    fc.constant({ do: 'tick' as const }),
  );
  fc.assert(fc.property(fc.array(step, { maxLength: 40 }), steps => {
    const asking = new Asking();
    const ended = new Map<number, number>();
    let asked = 0;
    const count = (outputs: readonly QuestionOutput[]): void => {
      for (const output of outputs) if (output.type === 'failed' || output.type === 'records' || output.type === 'relay') ended.set(output.question.sn, (ended.get(output.question.sn) ?? 0) + 1);
    };
    for (const each of steps) {
      if (each.do === 'ask') count(asking.questions.handle({ type: 'ask', question: question(each.cmdType, { deviceId: each.device, sn: ++asked }) }, ms(asking.now)));
      else if (each.do === 'answer') count(asking.answer(each.cmdType, each.sn, `<SumNum>${each.sum}</SumNum>`, each.device));
      else if (each.do === 'refused') count(asking.questions.handle({ type: 'refused', sn: each.sn }, ms(asking.now)));
      else if (each.do === 'gone') count(asking.questions.handle({ type: 'device-gone', deviceId: each.device }, ms(asking.now)));
      else if (asking.questions.size > 0) count(asking.wait());
    }
    while (asking.questions.size > 0) count(asking.wait());
    for (let sn = 1; sn <= asked; sn++) if (!ended.has(sn)) throw new Error(`question ${sn} never ended`);
    if (asking.questions.deadline !== Infinity) throw new Error('a deadline is left');
  }), { numRuns: 500 });
});

t.test('RecordInfo: query, list and pages', async t => {
  const query = parse('Query', 'RecordInfo', 70, '<Type>all</Type><EndTime>2026-3-10 23:59:59</EndTime><StartTime>2026-03-10T00:00:00+08:00</StartTime><Secrecy>0</Secrecy><Vendor>1</Vendor>');
  t.same(readRecordQuery(query.element), { content: '<StartTime>2026-03-10T00:00:00</StartTime>\r\n<EndTime>2026-03-10T23:59:59</EndTime>\r\n<Secrecy>0</Secrecy>\r\n<Type>all</Type>\r\n' }, 'in schema order, in the form of the standard');
  t.equal(readRecordQuery(parse('Query', 'RecordInfo', 70, '<StartTime>2026-03-10T00:00:00</StartTime>').element), 'no EndTime');
  t.equal(readRecordQuery(parse('Query', 'RecordInfo', 70, '<StartTime>now</StartTime><EndTime>2026-03-10T00:00:00</EndTime>').element), 'no StartTime');
  const found = new RecordList();
  found.add(readRecordPart(parse('Response', 'RecordInfo', 70, list(4, record('2026-03-10T09:00:00', '2026-03-10T09:30:00', '<FilePath>../../etc/shadow</FilePath><FileSize>471859200</FileSize><StreamNumber>0</StreamNumber>'), record('2026-03-10T08:00:00'), record('2026-03-10T08:00:00', '2026-03-10T08:00:00', '<StreamNumber>1</StreamNumber>'), '<Item><FilePath>a</FilePath></Item><Item><FilePath>b</FilePath></Item>')).element));
  t.equal(found.records.length, 5, 'two streams of one span, two files without one');
  t.equal(found.records[2]!.FilePath, '../../etc/shadow', 'a path is only text (fault 48)');
  const options = { head: { sn: 500, deviceId: ABOVE }, name: '北门', records: found.records, charset: 'gb18030', itemsPerMessage: 100 } as const;
  const [whole, ...more] = recordPages({ ...options, bodyBudget: undefined });
  t.same(more, []);
  t.match(whole, /<SN>500<\/SN>\r\n<DeviceID>33010000001320000901<\/DeviceID>\r\n<Name>北门<\/Name>\r\n<SumNum>5<\/SumNum>\r\n<RecordList Num="5">/);
  t.notMatch(whole, CAMERA);
  const pages = recordPages({ ...options, bodyBudget: 800 });
  t.ok(pages.length > 1 && pages.every(page => Buffer.byteLength(page) <= 800 && page.includes('<SumNum>5</SumNum>')));
  t.equal(pages.flatMap(page => page.match(/<Item>/g) ?? []).length, 5);
  t.equal(recordPages({ ...options, bodyBudget: 1 }).length, 5, 'one at least');
  t.same(recordPages({ ...options, records: [], name: undefined, bodyBudget: 800 }), [buildManscdp('Response', 'RecordInfo', options.head, '<SumNum>0</SumNum>\r\n')], 'none: no list (A.7)');
});

t.test('relayed: IDs mapped wherever they stand, names in their right spelling, private things left out', async t => {
  const head = { sn: 500, deviceId: ABOVE };
  const mapId = (id: string): string | undefined => (id === CAMERA || id === NVR ? ABOVE : undefined);
  const up = (cmdType: string, content: string, fits = true): string[] => relayResponse(parse('Response', cmdType, 77, content, NVR), head, mapId, () => fits);
  const [status] = up('DeviceStatus', `<Result>OK</Result><online>ONLINE</online><Alarmstatus num=" 2 "><Item><DeviceID>${CAMERA}</DeviceID><DutyStatus>ALARM</DutyStatus></Item><Item><DeviceID>33010000001340000701</DeviceID></Item></Alarmstatus>`);
  t.equal(status, buildManscdp('Response', 'DeviceStatus', head, `<Result>OK</Result>\r\n<Online>ONLINE</Online>\r\n<Alarmstatus Num="1"><Item><DeviceID>${ABOVE}</DeviceID><DutyStatus>ALARM</DutyStatus></Item></Alarmstatus>\r\n`));
  const [config] = up('ConfigDownload', `<Result>OK</Result><BasicParam><Name>A&amp;B</Name><DeviceID>${NVR}</DeviceID><SIPServerIP>192.0.2.10</SIPServerIP><Password>secret</Password><HeartBeatCount>3</HeartBeatCount></BasicParam>`);
  t.match(config, `<BasicParam><Name>A&amp;B</Name><DeviceID>${ABOVE}</DeviceID><HeartBeatCount>3</HeartBeatCount></BasicParam>`);
  t.notMatch(config, /secret|192\.0\.2/);
  const preset = (id: number): string => `<Item><PresetID>${id}</PresetID><PresetName>p${id}</PresetName></Item>`;
  const presets = `<PresetList Num="3">${preset(1)}${preset(2)}${preset(3)}</PresetList>`;
  t.same(up('PresetQuery', presets), [buildManscdp('Response', 'PresetQuery', head, `${presets}\r\n`)]);
  const parts = up('PresetQuery', presets, false);
  t.equal(parts.length, 3);
  t.equal(parts[1], buildManscdp('Response', 'PresetQuery', head, `<SumNum>3</SumNum>\r\n<PresetList Num="1">${preset(2)}</PresetList>\r\n`));
  const down = (content: string): string | undefined => configBlocks(parse('Control', 'DeviceConfig', 40, content, ABOVE), id => (id === ABOVE ? CAMERA : undefined));
  t.equal(down('<basicparam><Name>北门</Name><SIPServerIP>203.0.113.66</SIPServerIP><password>x</password></basicparam>'), '<BasicParam><Name>北门</Name></BasicParam>\r\n', 'nobody above takes the camera away from us');
  t.equal(down('<FrameMirror>1</FrameMirror><Vendor>x</Vendor>'), '<FrameMirror>1</FrameMirror>\r\n');
  t.equal(down('<Vendor>x</Vendor>'), undefined);
  t.equal(textOf(parse('Control', 'DeviceConfig', 40, '<FrameMirror>1</FrameMirror>').element, 'framemirror'), '1');
});
