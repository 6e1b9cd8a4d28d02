/** The copyright file of the Debian package: our licence, and that of every npm package inside. `copyright.ts NODE_MODULES` */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

interface Manifest {
  readonly name?: string;
  readonly version?: string;
  readonly license?: string | { readonly type?: string };
}

/** Every package under a node_modules folder, those inside packages too. */
function manifestsUnder(folder: string): readonly Manifest[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap(entry => {
    const path = join(folder, entry.name);
    if (!entry.isDirectory()) return entry.name === 'package.json' ? [JSON.parse(readFileSync(path, 'utf8')) as Manifest] : [];
    return manifestsUnder(path);
  });
}

const licenceOf = ({ license }: Manifest): string => (typeof license === 'string' ? license : (license?.type ?? 'see its own file'));

const rows = manifestsUnder(process.argv[2]!).flatMap(each => (each.name === undefined || each.version === undefined ? [] : [`${each.name} ${each.version}: ${licenceOf(each)}`]));
process.stdout.write(
  [
    'ViewLink Gateway (viewlink-gateway)',
    '',
    'Copyright 2025-2026 the authors of ViewLink Gateway',
    'License: Apache-2.0, in /usr/share/common-licenses/Apache-2.0',
    '',
    'It carries these packages of the npm registry in /usr/lib/viewlink/node_modules, each under its own licence:',
    '',
    ...[...new Set(rows)].sort(),
    '',
  ].join('\n'),
);
