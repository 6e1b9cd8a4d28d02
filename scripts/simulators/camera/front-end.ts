/** What a simulated camera can be asked and told besides its picture: presets, home position, recordings, configuration (gb28181.md 3). */
import { parseDeviceControl } from '#core/gb/device-control.ts';
import { formatGbTime, parseGbTime } from '#core/gb/gb-time.ts';
import { buildManscdp, buildResult } from '#core/gb/manscdp-write.ts';
import type { Manscdp } from '#core/gb/manscdp.ts';
import type { PtzCommand } from '#core/gb/ptz.ts';
import { type XmlElement, textOf } from '#core/gb/xml.ts';
import { escapeXml, xmlText } from '#core/gb/xml-text.ts';
import { wallMs } from '#core/units.ts';

const SEGMENT_MS = 30 * 60_000;
const RECORDS_PER_MESSAGE = 2;
/** Of one answer. */
const MAX_SEGMENTS = 500;

interface ChannelState {
  readonly presets: Map<number, string>;
  readonly config: Map<string, string>;
  home: { readonly enabled: boolean; readonly resetTimeS: number; readonly presetIndex: number };
  moving: PtzCommand | undefined;
}

export class FrontEnd {
  readonly #channels = new Map<string, ChannelState>();

  of(channelId: string): ChannelState {
    let state = this.#channels.get(channelId);
    if (state === undefined) {
      state = {
        presets: new Map([[1, '大门'], [5, 'gate']]),
        config: new Map([['BasicParam', '<Name>front end</Name><Expiration>3600</Expiration><HeartBeatInterval>60</HeartBeatInterval><HeartBeatCount>3</HeartBeatCount><SIPServerIP>192.0.2.10</SIPServerIP><Password>device-secret</Password>'], ['VideoParamOpt', '<DownloadSpeed>1/2/4</DownloadSpeed><Resolution>5/6</Resolution>']]),
        home: { enabled: false, resetTimeS: 60, presetIndex: 1 },
        moving: undefined,
      };
      this.#channels.set(channelId, state);
    }
    return state;
  }

  /** Messages that answer a query or a configuration; undefined: it knows no answer. */
  answers(message: Manscdp): readonly string[] | undefined {
    const { cmdType, sn, deviceId } = message;
    const head = { sn, deviceId };
    if (message.root === 'Control' && cmdType === 'DeviceConfig') return [buildResult(cmdType, head, this.#configure(message))];
    if (message.root !== 'Query') return undefined;
    if (cmdType === 'RecordInfo') return this.#records(message);
    const answer = (content: string): string[] => [buildManscdp('Response', cmdType, head, content)];
    const state = this.of(deviceId);
    switch (cmdType) {
      case 'PresetQuery':
        return answer(list('PresetList', [...state.presets].map(([id, name]) => `<Item>${xmlText('PresetID', id)}${xmlText('PresetName', name)}</Item>`)));
      case 'HomePositionQuery':
        return answer(`<HomePosition>${xmlText('Enabled', state.home.enabled ? 1 : 0)}${xmlText('ResetTime', state.home.resetTimeS)}${xmlText('PresetIndex', state.home.presetIndex)}</HomePosition>`);
      case 'CruiseTrackListQuery':
        return answer(list('CruiseTrackList', [`<CruiseTrack>${xmlText('Number', 0)}${xmlText('Name', 'tour')}</CruiseTrack>`]));
      case 'CruiseTrackQuery':
        return answer(`${xmlText('Number', textOf(message.element, 'number') ?? '0')}${xmlText('Name', 'tour')}${list('CruisePointList', [1, 5].map(preset => `<CruisePoint>${xmlText('PresetIndex', preset)}${xmlText('StayTime', 20)}${xmlText('Speed', 8)}</CruisePoint>`))}`);
      case 'PTZPosition':
        return answer('<Pan>87.50</Pan><Tilt>12.00</Tilt><Zoom>4.00</Zoom><HorizontalFieldAngle>60</HorizontalFieldAngle><VerticalFieldAngle>34</VerticalFieldAngle><MaxViewDistance>80</MaxViewDistance>');
      case 'SDCardStatus':
        return answer(list('SDCardStatusInfo', ['<Item><ID>1</ID><HddName>card1</HddName><Status>ok</Status><FormatProgress>0</FormatProgress><Capacity>122000</Capacity><FreeSpace>50100</FreeSpace></Item>']));
      case 'Alarm':
        return answer('<Result>OK</Result>');
      case 'ConfigDownload':
        return (textOf(message.element, 'configtype') ?? '').split('/').map(type => answer(`<Result>${state.config.has(type) ? 'OK' : 'ERROR'}</Result>${state.config.has(type) ? `<${type}>${state.config.get(type)!}</${type}>` : ''}`)[0]!);
      default:
        return undefined;
    }
  }

  /** A control changes what is answered later. */
  control(message: Manscdp): void {
    const control = parseDeviceControl(message.element);
    if (!control.ok) return;
    const state = this.of(message.deviceId);
    if (control.value.kind === 'home-position') {
      const { enabled, resetTimeS = 60, presetIndex = 1 } = control.value;
      state.home = { enabled, resetTimeS, presetIndex };
    }
    if (control.value.kind !== 'ptz') return;
    const { command } = control.value.instruction;
    if (command.kind === 'preset-set') state.presets.set(command.preset, control.value.presetName ?? `preset ${command.preset}`);
    else if (command.kind === 'preset-delete') state.presets.delete(command.preset);
    else if (command.kind === 'move') state.moving = (command.pan ?? command.tilt ?? command.zoom) === undefined ? undefined : command;
  }

  #configure({ deviceId, element }: Manscdp): 'OK' | 'ERROR' {
    const blocks = element.children.filter(({ key }) => !['cmdtype', 'sn', 'deviceid'].includes(key));
    for (const block of blocks) this.of(deviceId).config.set(block.name, inside(block));
    return blocks.length > 0 ? 'OK' : 'ERROR';
  }

  /** One recording each half hour of the span that is asked for. */
  #records({ sn, deviceId, element }: Manscdp): string[] {
    const [from, to] = ['starttime', 'endtime'].map(key => parseGbTime(textOf(element, key) ?? '')) as [number | undefined, number | undefined];
    const items: string[] = [];
    for (let at = from ?? 0; to !== undefined && at + SEGMENT_MS <= to + 1000 && items.length < MAX_SEGMENTS; at += SEGMENT_MS) {
      const [start, end] = [formatGbTime(wallMs(at)), formatGbTime(wallMs(at + SEGMENT_MS))];
      items.push(`<Item>${xmlText('DeviceID', deviceId)}${xmlText('Name', `seg ${items.length + 1}`)}${xmlText('FilePath', `/r/${start}`)}${xmlText('StartTime', start)}${xmlText('EndTime', end)}<Secrecy>0</Secrecy><Type>time</Type></Item>`);
    }
    const part = (each: readonly string[]): string =>
      buildManscdp('Response', 'RecordInfo', { sn, deviceId }, `<Name>front end</Name>${xmlText('SumNum', items.length)}${each.length === 0 ? '' : `<RecordList Num="${each.length}">${each.join('')}</RecordList>`}`);
    const parts = Array.from({ length: Math.ceil(items.length / RECORDS_PER_MESSAGE) }, (_, index) => part(items.slice(index * RECORDS_PER_MESSAGE, (index + 1) * RECORDS_PER_MESSAGE)));
    return parts.length === 0 ? [part([])] : parts;
  }
}

const list = (name: string, items: readonly string[]): string => `${xmlText('SumNum', items.length)}<${name} Num="${items.length}">${items.join('')}</${name}>`;
const inside = ({ text, children }: XmlElement): string => (children.length === 0 ? escapeXml(text) : children.map(child => `<${child.name}>${inside(child)}</${child.name}>`).join(''));
