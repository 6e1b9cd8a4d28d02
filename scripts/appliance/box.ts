/** An appliance as it comes out of the carton: started, its first questions answered, somebody logged in as root on its console. */
import { appendFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Site } from './site.ts';
import { Vm } from './vm.ts';

export const USER = 'engineer';
/** Of a machine that lives for minutes and listens on nothing outside of its namespace. */
export const PASSWORD = 'for this test only';

export interface BoxOptions {
  readonly work: string;
  readonly name: string;
  readonly disk: string;
  readonly site: Site;
  readonly tap?: number;
  readonly address: string;
  readonly extra?: readonly string[];
  readonly memoryMb?: number;
}

export function createBox({ work, name, disk, site, tap = 0, extra = [], memoryMb }: BoxOptions): Vm {
  const folder = join(work, name);
  mkdirSync(folder, { recursive: true });
  return new Vm({ folder, disk, netns: site.name, extra: [...site.plug(tap), ...extra], ...(memoryMb !== undefined && { memoryMb }), echo: text => appendFileSync(join(folder, 'console.log'), text, 'latin1') });
}

const BOOT_LIMIT_MS = 600_000;

/** The questions of the first start. */
export async function answerQuestions(vm: Vm, name: string, address: string): Promise<void> {
  const answers: readonly (readonly [RegExp, string])[] = [
    [/Name of this node.*: /, name],
    [/Management address.*: /, `${address}/24`],
    [/Gateway.*: /, ''],
    [/Time server.*: /, ''],
    [/User name.*: /, USER],
    [/SSH public key.*: /, ''],
    [/Password for the console.*: /, PASSWORD],
  ];
  for (const [question, answer] of answers) {
    await vm.waitFor(question, BOOT_LIMIT_MS);
    vm.type(`${answer}\n`);
  }
  await vm.logIn(USER, PASSWORD, BOOT_LIMIT_MS);
}

/** A gateway with one platform above and cameras from the namespace; the daemons are told to begin. */
export async function configure(vm: Vm, address: string, host: string): Promise<void> {
  const yaml = [
    'sip:',
    '  id: "34020000002000000001"',
    '  listen:',
    `    - { transport: udp, address: ${address}, port: 5060 }`,
    'devices:',
    '  admit:',
    `    - { networks: ["${host}/32"], digest: false }`,
    'upstreams:',
    '  - name: city',
    '    id: "33010000002000000001"',
    `    address: ${host}`,
    '    port: 5061',
    '    localId: "34020000002000000001"',
    '    password: above',
    '',
  ].join('\n');
  await vm.must(`printf %s ${JSON.stringify(Buffer.from(yaml).toString('base64'))} | base64 -d >/tmp/gateway.yaml`);
  await vm.must('install -o viewlink-configd -g viewlink -m 640 /tmp/gateway.yaml /etc/viewlink/gateway.yaml');
  await vm.must('vlink config check');
  await vm.must('systemctl start viewlink.target', BOOT_LIMIT_MS);
  await vm.must('for i in $(seq 100); do vlink show devices >/dev/null 2>&1 && exit 0; sleep 1; done; vlink show devices', BOOT_LIMIT_MS);
}
