/** One line for each event: for people, or as JSON for programs. */
import type { Report } from './names.ts';

export function statusLines(json: boolean, write: (line: string) => void = line => process.stdout.write(`${line}\n`)): Report {
  return (event, detail) => {
    const time = new Date().toISOString();
    if (json) write(JSON.stringify({ time, event, ...detail }));
    else write([time.slice(11, 23), event, ...Object.entries(detail).map(([key, value]) => `${key}=${value}`)].join(' '));
  };
}

/** Runs `close` at the first SIGTERM or SIGINT, once, then ends the process with 0. A second signal ends it at once. */
export function closeOnSignal(close: () => Promise<void>): void {
  let closing = false;
  const onSignal = (): void => {
    if (closing) process.exit(1);
    closing = true;
    close().then(
      () => process.exit(0),
      (error: unknown) => {
        console.error(error);
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
}

/** `address:port`, `[v6]:port` or an address alone. */
export function parseEndpoint(text: string, defaultPort: number): { address: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(text);
  const address = match?.[1] ?? match?.[2] ?? (/^[0-9a-fA-F:.]+$/.test(text) ? text : undefined);
  const port = match?.[3] === undefined ? defaultPort : Number(match[3]);
  if (address === undefined || port > 65535) throw new RangeError(`not an address: ${text}`);
  return { address, port };
}
