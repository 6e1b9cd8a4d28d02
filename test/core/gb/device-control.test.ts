import t from 'tap';
import { type DeviceControl, CONTROL_GROUP, describeControl, formatDeviceControl, parseDeviceControl, wantsResponse } from '#core/gb/device-control.ts';
import { LENS_STOP, PTZ_STOP } from '#core/gb/ptz.ts';
import { parseXml } from '#core/gb/xml.ts';

function parse(content: string): DeviceControl | string {
  const document = parseXml(`<Control><CmdType>DeviceControl</CmdType><SN>31</SN><DeviceID>33010000001320000701</DeviceID>${content}</Control>`);
  if (!document.ok) return document.error.why;
  const control = parseDeviceControl(document.value.root);
  return control.ok ? control.value : control.error.why;
}

const BOX = { length: 1280, width: 720, midPointX: 640, midPointY: 200, lengthX: 320, lengthY: 180 };
const BOX_XML = '<Length>1280</Length><Width>720</Width><MidPointX>640</MidPointX><MidPointY>200</MidPointY><LengthX>320</LengthX><LengthY>180</LengthY>';
const right = { command: { ...PTZ_STOP, pan: 'right', panSpeed: 0x40 }, address: 1 } as const;

/** Every element of gb28181.md 3.3 as it is written, and whether a Response follows (3.1). */
const CONTROLS: readonly (readonly [string, DeviceControl, boolean])[] = [
  ['<PTZCmd>A50F0101400000F6</PTZCmd>', { kind: 'ptz', instruction: right }, false],
  ['<PTZCmd>A50F0101400000F6</PTZCmd>\r\n<Info><ControlPriority>5</ControlPriority></Info>', { kind: 'ptz', instruction: right, priority: 5 }, false],
  ['<PTZCmd>A50F01810005003B</PTZCmd>\r\n<PTZCmdParams><PresetName>北门</PresetName></PTZCmdParams>', { kind: 'ptz', instruction: { command: { kind: 'preset-set', preset: 5 }, address: 1 }, presetName: '北门' }, false],
  ['<PTZCmd>A50F01880100003E</PTZCmd>\r\n<PTZCmdParams><CruiseTrackName>tour</CruiseTrackName></PTZCmdParams>', { kind: 'ptz', instruction: { command: { kind: 'cruise-start', group: 1 }, address: 1 }, cruiseTrackName: 'tour' }, false],
  ['<TeleBoot>Boot</TeleBoot>', { kind: 'tele-boot' }, false],
  ['<RecordCmd>Record</RecordCmd>', { kind: 'record', on: true }, true],
  ['<RecordCmd>StopRecord</RecordCmd>\r\n<StreamNumber>1</StreamNumber>', { kind: 'record', on: false, streamNumber: 1 }, true],
  ['<GuardCmd>SetGuard</GuardCmd>', { kind: 'guard', on: true }, true],
  ['<GuardCmd>ResetGuard</GuardCmd>', { kind: 'guard', on: false }, true],
  ['<AlarmCmd>ResetAlarm</AlarmCmd>', { kind: 'alarm-reset' }, true],
  ['<AlarmCmd>ResetAlarm</AlarmCmd>\r\n<Info><AlarmMethod>1/2</AlarmMethod><AlarmType>2</AlarmType></Info>', { kind: 'alarm-reset', alarmMethod: '1/2', alarmType: '2' }, true],
  [`<DragZoomIn>${BOX_XML}</DragZoomIn>`, { kind: 'drag-zoom', way: 'in', box: BOX }, false],
  [`<DragZoomOut>${BOX_XML}</DragZoomOut>`, { kind: 'drag-zoom', way: 'out', box: BOX }, false],
  ['<HomePosition><Enabled>1</Enabled><ResetTime>60</ResetTime><PresetIndex>3</PresetIndex></HomePosition>', { kind: 'home-position', enabled: true, resetTimeS: 60, presetIndex: 3 }, true],
  ['<HomePosition><Enabled>0</Enabled></HomePosition>', { kind: 'home-position', enabled: false }, true],
  ['<PTZPreciseCtrl><Pan>87.5</Pan><Tilt>-12</Tilt><Zoom>4</Zoom></PTZPreciseCtrl>', { kind: 'ptz-precise', pan: 87.5, tilt: -12, zoom: 4 }, false],
  ['<DeviceUpgrade><Firmware>V4.3</Firmware><FileURL>http://192.0.2.20/n16?a=1&amp;b=2</FileURL><Manufacturer>ACME</Manufacturer><SessionID>6f1d3a52b8c94e07a1550cfd2290be31</SessionID></DeviceUpgrade>',
    { kind: 'upgrade', firmware: 'V4.3', fileUrl: 'http://192.0.2.20/n16?a=1&b=2', manufacturer: 'ACME', sessionId: '6f1d3a52b8c94e07a1550cfd2290be31' }, true],
  ['<FormatSDCard>0</FormatSDCard>', { kind: 'format-sd-card', card: 0 }, false],
  ['<TargetTrack>Auto</TargetTrack>', { kind: 'target-track', mode: 'Auto' }, false],
  [`<TargetTrack>Manual</TargetTrack>\r\n<DeviceID2>33010000001320000702</DeviceID2>\r\n<TargetArea>${BOX_XML}</TargetArea>`, { kind: 'target-track', mode: 'Manual', panoramicId: '33010000001320000702', area: BOX }, false],
];

t.test('every control, in both directions', async t => {
  for (const [content, control, answered] of CONTROLS) {
    t.same(parse(content), control, content);
    t.equal(formatDeviceControl(control, '2016'), `${content}\r\n`, content);
    t.equal(formatDeviceControl(control, '2022'), `${content}\r\n`, 'the editions differ in the I-frame only');
    t.equal(wantsResponse(control), answered, content);
  }
  t.same(Object.keys(CONTROL_GROUP).filter(kind => kind !== 'i-frame' && !CONTROLS.some(([, control]) => control.kind === kind)), [], 'none is missing here');
});

t.test('I-frame: each edition spells it in its own way, both are read', async t => {
  t.same(parse('<IFameCmd>Send</IFameCmd>'), { kind: 'i-frame' });
  t.same(parse('<IFrameCmd>Send</IFrameCmd>'), { kind: 'i-frame' });
  t.equal(formatDeviceControl({ kind: 'i-frame' }, '2016'), '<IFameCmd>Send</IFameCmd>\r\n');
  t.equal(formatDeviceControl({ kind: 'i-frame' }, '2022'), '<IFrameCmd>Send</IFrameCmd>\r\n');
  t.notOk(wantsResponse({ kind: 'i-frame' }));
});

t.test('tolerated: any order and case, empty elements of others, unknown ones', async t => {
  t.same(parse('<info><controlpriority> 5 </controlpriority></info><ptzcmd>a50f0101400000f6</ptzcmd>'), CONTROLS[1]![1]);
  t.same(parse('<PTZCmd>A50F0101400000F6</PTZCmd><RecordCmd></RecordCmd><TeleBoot/><Vendor>x</Vendor>'), CONTROLS[0]![1]);
  t.same(parse('<PTZCmd>A50F0101400000F6</PTZCmd><Info><ControlPriority>high</ControlPriority></Info>'), CONTROLS[0]![1]);
  t.same(parse('<recordcmd>RECORD</recordcmd>'), { kind: 'record', on: true });
  t.same(parse('<TargetTrack>Auto</TargetTrack><DeviceID2>33\x00\x0001</DeviceID2>'), { kind: 'target-track', mode: 'Auto', panoramicId: '3301' }, 'characters that XML cannot carry');
});

t.test('refused with a reason (faults 22, 41)', async t => {
  const long = 'x'.repeat(2000);
  for (const [content, why] of [
    ['', 'no control'],
    ['<Vendor>x</Vendor>', 'no control'],
    ['<__proto__>x</__proto__><constructor>x</constructor>', 'no control'],
    ['<PTZCmd>A50F0101400000F6</PTZCmd><PTZCmd>A50F0100000000B5</PTZCmd>', '2 controls'],
    ['<PTZCmd>A50F0101400000F6</PTZCmd><TeleBoot>Boot</TeleBoot>', '2 controls'],
    ['<PTZCmd>A50F0101400000F7</PTZCmd>', 'checksum'],
    ['<PTZCmd>left</PTZCmd>', 'not hex'],
    [`<PTZCmd>${long}</PTZCmd>`, 'too long'],
    ['<TeleBoot>now</TeleBoot>', 'TeleBoot'],
    ['<RecordCmd>1</RecordCmd>', 'RecordCmd'],
    ['<GuardCmd>1</GuardCmd>', 'GuardCmd'],
    ['<AlarmCmd>1</AlarmCmd>', 'AlarmCmd'],
    ['<IFrameCmd>1</IFrameCmd>', 'IFrameCmd'],
    ['<DragZoomIn>x</DragZoomIn>', 'Length'],
    [`<DragZoomIn>${BOX_XML.replace('640', '-640')}</DragZoomIn>`, 'MidPointX'],
    ['<HomePosition>1</HomePosition>', 'Enabled'],
    ['<PTZPreciseCtrl><Pan>1e9</Pan></PTZPreciseCtrl>', '1e9'],
    ['<PTZPreciseCtrl>1</PTZPreciseCtrl>', 'without Pan'],
    ['<DeviceUpgrade><Firmware>1</Firmware></DeviceUpgrade>', 'FileURL'],
    [`<DeviceUpgrade><Firmware>1</Firmware><FileURL>${long}</FileURL><Manufacturer>A</Manufacturer><SessionID>1</SessionID></DeviceUpgrade>`, 'FileURL'],
    ['<DeviceUpgrade><Firmware>1</Firmware><FileURL>u</FileURL><Manufacturer>A</Manufacturer><SessionID>../x</SessionID></DeviceUpgrade>', 'SessionID'],
    ['<FormatSDCard>all</FormatSDCard>', 'FormatSDCard'],
    ['<TargetTrack>Left</TargetTrack>', 'TargetTrack'],
    ['<TargetTrack>Manual</TargetTrack><TargetArea>1</TargetArea>', 'TargetArea'],
  ] as const) t.match(parse(content), new RegExp(why), content.slice(0, 80));
});

t.test('an audit line says what, and nothing that is secret', async t => {
  const said = CONTROLS.map(([, control]) => describeControl(control));
  t.equal(said[0], 'ptz move panSpeed=64 tiltSpeed=0 zoomSpeed=0 pan=right');
  t.ok(said.includes('record off') && said.includes('guard on') && said.includes('upgrade'));
  t.equal(describeControl({ kind: 'ptz', instruction: { command: LENS_STOP, address: 1 } }), 'ptz lens stop');
  t.notMatch(said.join(' '), /http|6f1d|北门/);
});
