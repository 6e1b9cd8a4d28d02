/** What a device answers to a forwarded question, from its octets to what the upstream gets: always an XML that is read again. */
import { encodedLength } from '#core/gb/dialect.ts';
import { ForwardedQuestions, type QuestionOutput } from '#core/gb/forwarded-questions.ts';
import { buildManscdp } from '#core/gb/manscdp-write.ts';
import { type Manscdp, parseManscdp } from '#core/gb/manscdp.ts';
import { readPresetList } from '#core/gb/preset-list.ts';
import { readRecordQuery, recordPages } from '#core/gb/record-info.ts';
import { configBlocks, relayResponse } from '#core/gb/relayed-content.ts';
import { ms } from '#core/units.ts';
import { decodeBody, encodeBody } from '#kit/charset.ts';

const CAMERA = '33010000001320000701';
const ASKED = { sn: 500, deviceId: '33010000001320000901' };
const SN = 78;
const seed = (root: 'Response' | 'Query' | 'Control', cmdType: string, content: string): Uint8Array => encodeBody(buildManscdp(root, cmdType, { sn: SN, deviceId: CAMERA }, content), 'gb18030');
const RECORD = `<Item><DeviceID>${CAMERA}</DeviceID><Name>段</Name><FilePath>../../etc/shadow</FilePath><StartTime>2026-3-10 8:00:00+08:00</StartTime><EndTime>2026-03-10T08:30:00.123</EndTime><Type>time</Type></Item>`;

export default {
  name: 'forwarded-answers',
  seeds: [
    seed('Response', 'RecordInfo', `<Name>北门</Name><SumNum>2</SumNum><RecordList Num="2">${RECORD}${RECORD}</RecordList>`),
    seed('Response', 'PresetQuery', '<SumNum>2</SumNum><PresetList Num="2"><Item><PresetID>1</PresetID></Item><Item><PresetID>2</PresetID><PresetName>gate</PresetName></Item></PresetList>'),
    seed('Response', 'ConfigDownload', '<Result>OK</Result><BasicParam><Name>x</Name><Password>secret</Password><HeartBeatInterval>60</HeartBeatInterval></BasicParam>'),
    seed('Response', 'DeviceStatus', `<Result>OK</Result><Alarmstatus num="1"><Item><DeviceID>${CAMERA}</DeviceID><DutyStatus>ONDUTY</DutyStatus></Item></Alarmstatus>`),
    seed('Query', 'RecordInfo', '<StartTime>2026-03-10T00:00:00</StartTime><EndTime>2026-03-10T23:59:59</EndTime><Secrecy>0</Secrecy><Type>all</Type>'),
    seed('Control', 'DeviceConfig', '<OSDConfig><TextEnable>1</TextEnable><SumNum>1</SumNum><Item><Text>A&amp;B</Text><X>1</X><Y>2</Y></Item></OSDConfig>'),
  ],
  run(input: Uint8Array): void {
    const parsed = parseManscdp(decodeBody(input).text);
    if (!parsed.ok) return;
    const message = parsed.value;
    readRecordQuery(message.element);
    configBlocks(message, id => id);
    readPresetList(message.element);
    const questions = new ForwardedQuestions(SN - 1);
    questions.handle({ type: 'ask', question: { upstream: 'city', sn: 500, askedId: ASKED.deviceId, deviceId: CAMERA, channelId: CAMERA, root: 'Query', cmdType: message.cmdType, content: '' } }, ms(0));
    for (const output of questions.handle({ type: 'response', deviceId: CAMERA, message }, ms(1))) look(output);
    for (let now = questions.deadline; questions.size > 0; now = questions.deadline) for (const output of questions.handle({ type: 'tick' }, now)) look(output);
  },
};

function look(output: QuestionOutput): void {
  if (output.type === 'records') {
    const pages = recordPages({ head: ASKED, name: output.list.name, records: output.list.records, charset: 'gb18030', itemsPerMessage: 4, bodyBudget: 800 });
    for (const page of pages) again(page);
  } else if (output.type === 'relay') {
    for (const part of relayResponse(output.message, ASKED, () => undefined, body => encodedLength(body, 'utf-8') < 800)) again(part);
  }
}

function again(body: string): Manscdp {
  const parsed = parseManscdp(body);
  if (!parsed.ok || parsed.value.sn !== ASKED.sn || parsed.value.deviceId !== ASKED.deviceId) throw new Error(`what goes up is no answer: ${body.slice(0, 300)}`);
  return parsed.value;
}
