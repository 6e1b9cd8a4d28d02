/** Control/DeviceControl: whatever is taken for a control is written as one that is read the same, in either edition. */
import { utf8Decode, utf8Encode } from '#core/bytes.ts';
import { type DeviceControl, describeControl, formatDeviceControl, parseDeviceControl } from '#core/gb/device-control.ts';
import type { GbVersion } from '#core/gb/dialect.ts';
import { parseXml } from '#core/gb/xml.ts';

const BOX = '<Length>1280</Length><Width>720</Width><MidPointX>640</MidPointX><MidPointY>200</MidPointY><LengthX>320</LengthX><LengthY>180</LengthY>';
const SEEDS = [
  '<PTZCmd>A50F0101400000F6</PTZCmd><Info><ControlPriority>5</ControlPriority></Info>',
  '<PTZCmd>A50F01810005003B</PTZCmd><PTZCmdParams><PresetName>gate</PresetName></PTZCmdParams>',
  '<RecordCmd>StopRecord</RecordCmd><StreamNumber>1</StreamNumber>',
  '<AlarmCmd>ResetAlarm</AlarmCmd><Info><AlarmMethod>1/2</AlarmMethod></Info>',
  `<DragZoomIn>${BOX}</DragZoomIn>`,
  '<HomePosition><Enabled>1</Enabled><ResetTime>60</ResetTime><PresetIndex>3</PresetIndex></HomePosition>',
  '<PTZPreciseCtrl><Pan>87.50</Pan><Tilt>-12.00</Tilt></PTZPreciseCtrl>',
  '<DeviceUpgrade><Firmware>V4</Firmware><FileURL>http://192.0.2.20/x?a=1&amp;b=2</FileURL><Manufacturer>A</Manufacturer><SessionID>6f1d3a52</SessionID></DeviceUpgrade>',
  `<TargetTrack>Manual</TargetTrack><DeviceID2>33010000001320000702</DeviceID2><TargetArea>${BOX}</TargetArea>`,
  '<TeleBoot>Boot</TeleBoot>',
  '<IFameCmd>Send</IFameCmd>',
];

function read(content: string): DeviceControl | undefined {
  const document = parseXml(`<Control>${content}</Control>`);
  const control = document.ok ? parseDeviceControl(document.value.root) : document;
  return control.ok ? control.value : undefined;
}

export default {
  name: 'device-control',
  seeds: SEEDS.map(utf8Encode),
  run(input: Uint8Array): void {
    const control = read(utf8Decode(input));
    if (control === undefined) return;
    describeControl(control);
    for (const version of ['2016', '2022'] satisfies GbVersion[]) {
      const again = read(formatDeviceControl(control, version));
      if (JSON.stringify(again) !== JSON.stringify(control)) throw new Error(`control changed: ${JSON.stringify(control)}`);
    }
  },
};
