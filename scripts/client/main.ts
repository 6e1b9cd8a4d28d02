import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import ts from 'typescript';
import { type OpenApiDocument, clientText } from './write.ts';

const ROOT = join(import.meta.dirname, '../..');
const { values } = parseArgs({ options: { emit: { type: 'string' } } });

const { status, stdout, stderr } = spawnSync(process.execPath, [join(ROOT, 'daemons/apid/main.ts'), '--openapi'], { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });
if (status !== 0) throw new Error(`no document: ${stderr}`);
const text = clientText(JSON.parse(stdout) as OpenApiDocument);
if (values.emit === undefined) process.stdout.write(text);
else {
  emit(values.emit, { 'client.ts': text, 'transport.ts': readFileSync(join(ROOT, 'daemons/client/transport.ts'), 'utf8') });
  // Says that these are modules; a folder that has one of its own knows.
  const manifest = join(values.emit, 'package.json');
  if (!existsSync(manifest)) writeFileSync(manifest, '{ "type": "module" }\n');
}

/** JavaScript and declarations of each file; imports between them lose their `.ts`. */
function emit(directory: string, files: Readonly<Record<string, string>>): void {
  mkdirSync(directory, { recursive: true });
  for (const [name, source] of Object.entries(files)) writeFileSync(join(directory, name), source);
  const program = ts.createProgram(
    Object.keys(files).map(name => join(directory, name)),
    { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler, declaration: true, strict: true, rewriteRelativeImportExtensions: true, lib: ['lib.es2024.d.ts', 'lib.dom.d.ts', 'lib.dom.asynciterable.d.ts'], types: [], outDir: directory },
  );
  const problems = [...ts.getPreEmitDiagnostics(program), ...program.emit().diagnostics];
  if (problems.length > 0) throw new Error(ts.formatDiagnostics(problems, { getCanonicalFileName: name => name, getCurrentDirectory: () => directory, getNewLine: () => '\n' }));
}
