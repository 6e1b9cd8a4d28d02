/** `smartctl -j -H -A` of ATA, SCSI and NVMe drives: what of it says that a drive wears out or fails. */
const MAX_TEXT = 1 << 20;

export interface Smart {
  readonly device: string;
  readonly model: string | null;
  readonly serial: string | null;
  /** Null: the drive does not judge itself. */
  readonly passed: boolean | null;
  readonly temperatureC: number | null;
  /** Of an SSD: share of its life that is used, in per cent; may pass 100. */
  readonly wearPercent: number | null;
  /** Sectors that were moved away or wait for it; NVMe: media errors. */
  readonly badBlocks: number | null;
  readonly powerOnHours: number | null;
}

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** ATA attributes of remaining life, as vendors number them: 100 when new. */
const LIFE_LEFT_IDS = [231, 233, 202, 177, 173, 169];
const REALLOCATED = 5;
const PENDING = 197;

export function parseSmart(text: string): Smart | undefined {
  const root = jsonOf(text);
  const device = textAt(root, 'device', 'name');
  if (device === null) return undefined;
  return {
    device,
    model: textAt(root, 'model_name') ?? textAt(root, 'scsi_model_name'),
    serial: textAt(root, 'serial_number'),
    passed: booleanAt(root, 'smart_status', 'passed'),
    temperatureC: numberAt(root, 'temperature', 'current'),
    wearPercent: wearOf(root),
    badBlocks: numberAt(root, 'nvme_smart_health_information_log', 'media_errors') ?? sumOf(rawOf(root, REALLOCATED), rawOf(root, PENDING)),
    powerOnHours: numberAt(root, 'power_on_time', 'hours'),
  };
}

/** Names of `smartctl --scan-open -j`. */
export function parseSmartScan(text: string): readonly { readonly name: string; readonly type: string | null }[] {
  const devices = at(jsonOf(text), 'devices');
  if (!Array.isArray(devices)) return [];
  return devices.slice(0, 64).flatMap((device: Json) => {
    const name = textAt(device, 'name');
    const type = textAt(device, 'type');
    return name !== null && /^\/dev\/[\w/]{1,64}$/.test(name) ? [{ name, type: type !== null && /^[\w,+]{1,32}$/.test(type) ? type : null }] : [];
  });
}

function wearOf(root: Json): number | null {
  const nvme = numberAt(root, 'nvme_smart_health_information_log', 'percentage_used');
  const scsi = numberAt(root, 'scsi_percentage_used_endurance_indicator');
  if (nvme !== null || scsi !== null) return nvme ?? scsi;
  // A disk that turns has no such life; its attributes of these numbers mean other things.
  if (numberAt(root, 'rotation_rate') !== 0) return null;
  const left = LIFE_LEFT_IDS.map(id => numberAt(attribute(root, id), 'value')).find(value => value !== null && value >= 0 && value <= 100);
  return left === undefined || left === null ? null : 100 - left;
}

function attribute(root: Json, id: number): Json {
  const table = at(at(root, 'ata_smart_attributes'), 'table');
  return Array.isArray(table) ? ((table as readonly Json[]).find(row => numberAt(row, 'id') === id) ?? null) : null;
}

const rawOf = (root: Json, id: number): number | null => numberAt(attribute(root, id), 'raw', 'value');
const sumOf = (a: number | null, b: number | null): number | null => (a === null && b === null ? null : (a ?? 0) + (b ?? 0));

export function jsonOf(text: string): Json {
  if (text.length > MAX_TEXT) return null;
  try {
    return JSON.parse(text) as Json;
  } catch {
    return null;
  }
}

export function at(value: Json, key: string): Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && Object.hasOwn(value, key) ? (value as { readonly [key: string]: Json })[key]! : null;
}

const walk = (value: Json, keys: readonly string[]): Json => keys.reduce(at, value);
export function numberAt(value: Json, ...keys: readonly string[]): number | null {
  const found = walk(value, keys);
  return typeof found === 'number' && Number.isFinite(found) ? found : null;
}
function booleanAt(value: Json, ...keys: readonly string[]): boolean | null {
  const found = walk(value, keys);
  return typeof found === 'boolean' ? found : null;
}
export function textAt(value: Json, ...keys: readonly string[]): string | null {
  const found = walk(value, keys);
  return typeof found === 'string' && found !== '' ? found.slice(0, 128) : null;
}
