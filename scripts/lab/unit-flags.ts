/** Options of Node in the unit of a daemon: what is weighed runs as it does on the appliance. */
import { readFileSync } from 'node:fs';

export function unitFlags(daemon: string): readonly string[] {
  const unit = readFileSync(new URL(`../../systemd/viewlink-${daemon}.service`, import.meta.url), 'utf8');
  const line = /^ExecStart=\S+ (.*)\S+main\.ts/m.exec(unit)?.[1] ?? '';
  return line.split(' ').filter(word => word.startsWith('--'));
}
