/** Bounded waiting for what has no event of its own: the condition is looked at every few milliseconds, and the test fails at the limit. */
const EVERY_MS = 15;

export async function until<T>(what: string, look: () => T | undefined | false | Promise<T | undefined | false>, limitMs = 5000): Promise<T> {
  const limit = performance.now() + limitMs;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > limit) throw new Error(`${what}: not within ${limitMs} ms`);
    await new Promise(resolve => setTimeout(resolve, EVERY_MS));
  }
}
