/** An appliance as it comes out of the carton: started, its first questions answered, somebody logged in as root on its console. */
import { appendFileSync, existsSync, mkdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { CaseContext } from './case.ts';
import { addressOf, PREFIX, type Site } from './site.ts';
import { gatewayConfig } from './surroundings.ts';
import { type Drive, layerIn, memoryIn, run, varsIn, Vm } from './vm.ts';

export const USER = 'engineer';
/** Of a machine that lives for minutes and listens on nothing outside of its namespace. */
export const PASSWORD = 'for this test only';
export const BOOT_LIMIT_MS = 900_000;
const SLOW_MS = 1_200_000;

export interface BoxOptions {
  readonly name: string;
  readonly site: Site;
  readonly index?: number;
  /** Default: the image as built. */
  readonly disk?: string;
  readonly vars?: string | undefined;
  readonly extra?: readonly string[];
  readonly drives?: readonly Drive[];
  readonly memory?: string | undefined;
  readonly memoryMb?: number;
}

export function createBox({ work, disk }: CaseContext, { name, site, index = 0, extra = [], ...rest }: BoxOptions): Vm {
  const folder = join(work, name);
  mkdirSync(folder, { recursive: true });
  return new Vm({ folder, disk, ...rest, extra: [...site.plug(index, rest.memory !== undefined), ...extra], echo: text => appendFileSync(join(folder, 'console.log'), text, 'latin1') });
}

/** A copy of the image whose boot partition has the answers already. */
export function seededDisk({ work, disk }: CaseContext, name: string, answers: Readonly<Record<string, string>>): string {
  const [copy, seed] = [join(work, `${name}.img`), join(work, `${name}.conf`)];
  run('cp', ['--sparse=always', disk, copy]);
  writeFileSync(seed, Object.entries(answers).map(([key, value]) => `${key}=${value}\n`).join(''));
  run('mcopy', ['-i', `${copy}@@1M`, seed, '::viewlink/seed.conf']);
  return copy;
}

/** The questions of the first start. `sshKey`: one line, or nothing. */
export async function answerQuestions(vm: Vm, name: string, address: string, sshKey = ''): Promise<void> {
  const answers: readonly (readonly [RegExp, string])[] = [
    [/Name of this node.*: /, name],
    [/Management address.*: /, `${address}/${PREFIX}`],
    [/Gateway.*: /, ''],
    [/Time server.*: /, ''],
    [/User name.*: /, USER],
    [/SSH public key.*: /, sshKey],
    [/Password for the console.*: /, PASSWORD],
  ];
  for (const [question, answer] of answers) {
    await vm.waitFor(question, BOOT_LIMIT_MS);
    vm.type(`${answer}\n`);
  }
  await vm.logIn(USER, PASSWORD, BOOT_LIMIT_MS);
}

/** Puts a text into a file of the machine. */
export async function putFile(vm: Vm, path: string, text: string): Promise<void> {
  await vm.must(`base64 -d >${path} <<'END'\n${Buffer.from(text).toString('base64').replaceAll(/.{1,200}/g, '$&\n')}END`);
}

/** The daemons answer, and take over this configuration. */
export async function configure(vm: Vm, config: Readonly<Record<string, unknown>>): Promise<void> {
  await putFile(vm, '/run/gateway.yaml', stringify(config));
  await vm.must('systemctl start viewlink.target', SLOW_MS);
  await daemonsAnswer(vm);
  await vm.must('vlink config load /run/gateway.yaml && vlink config commit --restart --reason "first configuration"', SLOW_MS);
  await daemonsAnswer(vm);
}

export async function daemonsAnswer(vm: Vm): Promise<void> {
  // What vlink says of a machine that is not well is an exit code too.
  await vm.must('for i in $(seq 300); do vlink config history --json >/dev/null 2>&1 && vlink show devices --json >/dev/null 2>&1 && break; sleep 1; done; vlink show devices --json >/dev/null', SLOW_MS);
}

export async function shutDown(vm: Vm): Promise<void> {
  vm.type('systemctl poweroff\n');
  await vm.ended(SLOW_MS);
}

const keptIn = (context: CaseContext): string => join(context.built, 'answered');

/** What this machine has become, somebody logged in, for the cases after this one to begin with: its first start takes minutes. */
export async function keepAnswered(context: CaseContext, vm: Vm): Promise<void> {
  const kept = keptIn(context);
  rmSync(kept, { recursive: true, force: true });
  rmSync(`${kept}.new`, { recursive: true, force: true });
  mkdirSync(`${kept}.new`, { recursive: true });
  await vm.sleep(`${kept}.new`);
  renameSync(`${kept}.new`, kept);
  await vm.wake();
}

/** A machine whose questions were answered and whose gateway runs, with somebody logged in. */
export async function readyBox(context: CaseContext, options: Omit<BoxOptions, 'disk' | 'vars' | 'memory' | 'index'>): Promise<Vm> {
  const kept = keptIn(context);
  if (!existsSync(memoryIn(kept)) || statSync(memoryIn(kept)).mtimeMs < statSync(context.disk).mtimeMs) await makeAnswered(context, options.site);
  const vm = createBox(context, { ...options, disk: layerIn(kept), vars: varsIn(kept), memory: memoryIn(kept) });
  await vm.resume();
  return vm;
}

async function makeAnswered(context: CaseContext, site: Site): Promise<void> {
  await using vm = createBox(context, { name: 'first', site });
  vm.start();
  await answerQuestions(vm, 'node-a', addressOf(0));
  await configure(vm, gatewayConfig(addressOf(0)));
  await keepAnswered(context, vm);
}
