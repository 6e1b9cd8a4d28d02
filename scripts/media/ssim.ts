/** Structural similarity of two pictures (Wang, Bovik, Sheikh and Simoncelli 2004) by their luma: 1 when equal. */

export interface LumaSize {
  readonly width: number;
  readonly height: number;
}

/** Windows of 8x8 every 4 pixels, put together from cells of 4x4. */
const CELL = 4;
const WINDOW_PIXELS = 64;
const C1 = (0.01 * 255) ** 2;
const C2 = (0.03 * 255) ** 2;

/** Sums over one row of cells: of a, of b, of their squares, of their product. */
class CellRow {
  readonly a: Float64Array;
  readonly b: Float64Array;
  readonly squares: Float64Array;
  readonly products: Float64Array;

  constructor(cells: number) {
    this.a = new Float64Array(cells);
    this.b = new Float64Array(cells);
    this.squares = new Float64Array(cells);
    this.products = new Float64Array(cells);
  }

  fill(a: Uint8Array, b: Uint8Array, width: number, top: number): void {
    for (let cell = 0; cell < this.a.length; cell += 1) {
      let [sumA, sumB, squares, products] = [0, 0, 0, 0];
      for (let y = top; y < top + CELL; y += 1) {
        const row = y * width + cell * CELL;
        for (let at = row; at < row + CELL; at += 1) {
          const [x, z] = [a[at]!, b[at]!];
          sumA += x;
          sumB += z;
          squares += x * x + z * z;
          products += x * z;
        }
      }
      this.a[cell] = sumA;
      this.b[cell] = sumB;
      this.squares[cell] = squares;
      this.products[cell] = products;
    }
  }
}

const over = (upper: Float64Array, lower: Float64Array, cell: number): number => (upper[cell]! + upper[cell + 1]! + lower[cell]! + lower[cell + 1]!) / WINDOW_PIXELS;

function windowSsim(upper: CellRow, lower: CellRow, cell: number): number {
  const meanA = over(upper.a, lower.a, cell);
  const meanB = over(upper.b, lower.b, cell);
  const variances = over(upper.squares, lower.squares, cell) - meanA * meanA - meanB * meanB;
  const covariance = over(upper.products, lower.products, cell) - meanA * meanB;
  return ((2 * meanA * meanB + C1) * (2 * covariance + C2)) / ((meanA * meanA + meanB * meanB + C1) * (variances + C2));
}

/** Mean over all windows. Both pictures have `width * height` octets, at least 8x8. */
export function ssim(a: Uint8Array, b: Uint8Array, { width, height }: LumaSize): number {
  const cells = Math.floor(width / CELL);
  let [upper, lower] = [new CellRow(cells), new CellRow(cells)];
  upper.fill(a, b, width, 0);
  let [sum, windows] = [0, 0];
  for (let top = CELL; top + CELL <= height; top += CELL) {
    lower.fill(a, b, width, top);
    for (let cell = 0; cell + 1 < cells; cell += 1) sum += windowSsim(upper, lower, cell);
    windows += cells - 1;
    [upper, lower] = [lower, upper];
  }
  return sum / windows;
}
