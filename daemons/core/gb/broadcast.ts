/**
 * Voice broadcast (gb28181.md 9.1): a platform says that it wants to speak, the device calls it back for the sound. Through us:
 *
 *   asked ──Response OK──► told ──INVITE of the device──► called ──both sides answered──► (media sessions)
 *     └─── Response ERROR, or nothing in time ──► over      the platform hears OK with the device's Response, ERROR otherwise
 */
import type { Manscdp } from './manscdp.ts';
import { type XmlElement, textOf } from './xml.ts';
import { xmlText } from './xml-text.ts';
import { type Ms, NEVER, addMs } from '../units.ts';

const MAX_ID = 64;
/** A device that does not say whether it will call. */
const RESPONSE_MS = 8000;
/** From its word to its call. */
const CALL_MS = 15_000;

export interface BroadcastNotice {
  /** Who speaks: a platform, or a voice input (136). */
  readonly sourceId: string;
  /** Who shall hear it: a voice output (137), a camera, or a device with all its outputs. */
  readonly targetId: string;
}

/** Undefined when it names nobody. */
export function readBroadcast({ root, cmdType, element }: Manscdp): BroadcastNotice | undefined {
  if (root !== 'Notify' || cmdType !== 'Broadcast') return undefined;
  const [sourceId, targetId] = [idOf(element, 'sourceid'), idOf(element, 'targetid')];
  return sourceId === undefined || targetId === undefined ? undefined : { sourceId, targetId };
}

function idOf(element: XmlElement, key: string): string | undefined {
  const text = textOf(element, key);
  return text !== undefined && text !== '' && text.length <= MAX_ID ? text : undefined;
}

/** The schema has no DeviceID. */
export const buildBroadcast = (sn: number, { sourceId, targetId }: BroadcastNotice): string =>
  `<Notify>\r\n${xmlText('CmdType', 'Broadcast')}\r\n${xmlText('SN', sn)}\r\n${xmlText('SourceID', sourceId)}\r\n${xmlText('TargetID', targetId)}\r\n</Notify>\r\n`;

export type BroadcastPhase = 'asked' | 'told' | 'called' | 'over';

export type BroadcastOutput =
  /** To the platform. */
  | { readonly type: 'answer'; readonly result: 'OK' | 'ERROR' }
  | { readonly type: 'over'; readonly why: string };

export class BroadcastSession {
  #phase: BroadcastPhase = 'asked';
  #deadline: Ms;

  constructor(now: Ms) {
    this.#deadline = addMs(now, RESPONSE_MS);
  }

  get phase(): BroadcastPhase {
    return this.#phase;
  }

  get deadline(): Ms {
    return this.#deadline;
  }

  responded(result: 'OK' | 'ERROR', now: Ms): BroadcastOutput[] {
    if (this.#phase !== 'asked') return [];
    if (result === 'ERROR') return [{ type: 'answer', result }, ...this.#end('the device does not want to hear it')];
    this.#phase = 'told';
    this.#deadline = addMs(now, CALL_MS);
    return [{ type: 'answer', result }];
  }

  /** Some call without a word before. */
  called(): BroadcastOutput[] {
    const outputs: BroadcastOutput[] = this.#phase === 'asked' ? [{ type: 'answer', result: 'OK' }] : [];
    this.#phase = 'called';
    this.#deadline = NEVER;
    return outputs;
  }

  /** It cannot be reached, or was told to stop. */
  failed(why: string): BroadcastOutput[] {
    if (this.#phase === 'over') return [];
    return [...(this.#phase === 'asked' ? [{ type: 'answer', result: 'ERROR' } as const] : []), ...this.#end(why)];
  }

  tick(now: Ms): BroadcastOutput[] {
    if (now < this.#deadline) return [];
    return this.failed(this.#phase === 'asked' ? 'the device said nothing' : 'the device did not call');
  }

  #end(why: string): BroadcastOutput[] {
    this.#phase = 'over';
    this.#deadline = NEVER;
    return [{ type: 'over', why }];
  }
}
