/**
 * How history is kept: values of one series and step stand together in a chunk, as 32-bit floats, little-endian. The finest step has
 * one value a second; the others mean, least and most of their time. What was not measured is NaN. Counters are kept as what they
 * gain in a second.
 */
export interface Step {
  readonly stepS: number;
  readonly chunkS: number;
  readonly keepS: number;
  /** Floats of a point. */
  readonly width: 1 | 3;
}

export const STEPS = [
  { stepS: 1, chunkS: 60, keepS: 3600, width: 1 },
  { stepS: 60, chunkS: 3600, keepS: 7 * 86_400, width: 3 },
  { stepS: 900, chunkS: 43_200, keepS: 366 * 86_400, width: 3 },
] as const satisfies readonly Step[];

export interface Point {
  readonly atS: number;
  readonly mean: number;
  readonly min: number;
  readonly max: number;
}

export type Chunk = Float32Array;

export const slotsOf = ({ chunkS, stepS }: Step): number => chunkS / stepS;
export const emptyChunk = (step: Step): Chunk => new Float32Array(slotsOf(step) * step.width).fill(NaN);

export function encodeChunk(chunk: Chunk): Uint8Array {
  const view = new DataView(new ArrayBuffer(chunk.length * 4));
  chunk.forEach((value, i) => view.setFloat32(i * 4, value, true));
  return new Uint8Array(view.buffer);
}

/** Whatever stands in the file: a chunk of the right length, with what cannot be read missing. */
export function decodeChunk(bytes: Uint8Array, step: Step): Chunk {
  const chunk = emptyChunk(step);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const floats = Math.min(chunk.length, Math.floor(bytes.byteLength / 4));
  for (let i = 0; i < floats; i++) chunk[i] = view.getFloat32(i * 4, true);
  return chunk;
}

/** Points that are there. */
export function pointsOf(chunk: Chunk, startS: number, { stepS, width }: Step): Point[] {
  const points: Point[] = [];
  for (let i = 0; i * width < chunk.length; i++) {
    const mean = chunk[i * width]!;
    if (!Number.isFinite(mean)) continue;
    points.push({ atS: startS + i * stepS, mean, min: width === 1 ? mean : chunk[i * width + 1]!, max: width === 1 ? mean : chunk[i * width + 2]! });
  }
  return points;
}

/** One point over all of them; undefined: there are none. */
export function merge(points: readonly Point[]): Omit<Point, 'atS'> | undefined {
  if (points.length === 0) return undefined;
  let [sum, min, max] = [0, Infinity, -Infinity];
  for (const point of points) {
    sum += point.mean;
    if (point.min < min) min = point.min;
    if (point.max > max) max = point.max;
  }
  return { mean: sum / points.length, min, max };
}

/** Puts one merged point of a finer step into a chunk of a coarser one. */
export function setPoint(chunk: Chunk, slot: number, { mean, min, max }: Omit<Point, 'atS'>): void {
  chunk[slot * 3] = mean;
  chunk[slot * 3 + 1] = min;
  chunk[slot * 3 + 2] = max;
}

/** The finest step that reaches back so far. */
export function stepFor(fromS: number, nowS: number): Step {
  return STEPS.find(({ keepS }) => fromS >= nowS - keepS - 60) ?? STEPS[STEPS.length - 1]!;
}

/** So many steps go into one point that no more than `maxPoints` come out. */
export function stride(fromS: number, toS: number, { stepS }: Step, maxPoints: number): number {
  return Math.max(1, Math.ceil((toS - fromS) / stepS / maxPoints));
}

/** Points by groups of so many seconds, each at the begin of its group, in the order in which the first of each came. */
export class Thinner {
  readonly #groupS: number;
  readonly #groups = new Map<number, { sum: number; count: number; min: number; max: number }>();

  constructor(groupS: number) {
    this.#groupS = groupS;
  }

  add({ atS, mean, min, max }: Point): void {
    const key = Math.floor(atS / this.#groupS) * this.#groupS;
    const group = this.#groups.get(key);
    if (group === undefined) {
      this.#groups.set(key, { sum: mean, count: 1, min, max });
      return;
    }
    group.sum += mean;
    group.count += 1;
    if (min < group.min) group.min = min;
    if (max > group.max) group.max = max;
  }

  get points(): Point[] {
    return [...this.#groups].map(([atS, { sum, count, min, max }]) => ({ atS, mean: sum / count, min, max }));
  }
}
