/**
 * Update to the other slot: bundles that are foreign, changed or cut off are refused, a power cut in the middle does no harm, an update
 * that does not work is left by itself, and one that works stays.
 */
import { copyFileSync, mkdirSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { BOOT_LIMIT_MS, PASSWORD, putFile, readyBox, USER } from './box.ts';
import type { Case, CaseContext } from './case.ts';
import { Site } from './site.ts';
import { run, type Vm } from './vm.ts';

const INSTALL_LIMIT_MS = 1_800_000;
/** In the middle of the system in the bundle. */
const CHANGED_AT = 50_000_000;
/** How long the check of a new slot waits for its daemons before it goes back; ten minutes otherwise. */
const CHECK_LIMIT_S = 120;
const SIPD_FAILS_ON_B = "[Service]\nExecStartPre=+/bin/sh -c '! grep -q rauc.slot=B /proc/cmdline'\n";

const slotOf = async (vm: Vm): Promise<string> => /rauc\.slot=([AB])/.exec(await vm.must('cat /proc/cmdline'))?.[1] ?? '?';

export default {
  name: 'update',
  help: 'bad bundles are refused; update to slot B, back by itself when it does not work, there for good when it does',
  async run(context) {
    const { say, check } = context;
    using site = new Site(1);
    const drive = bundleDrive(context);
    await using vm = await readyBox(context, { name: 'vm', site, drives: [{ id: 'bundles', file: drive }] });
    check((await slotOf(vm)) === 'A', 'it runs from slot A');
    await confirmed(vm);
    await mountBundles(vm);
    for (const name of ['foreign', 'changed', 'short']) {
      const { code, output } = await vm.run(`rauc install /run/bundles/${name}.raucb`, INSTALL_LIMIT_MS);
      check(code !== 0, `a ${name} bundle is refused: ${output.split('\n').at(-1) ?? ''}`);
    }
    await cutWhileWriting(vm, context);
    await vm.must('rauc install /run/bundles/good.raucb', INSTALL_LIMIT_MS);
    say('the bundle is installed');
    await goesBack(vm, context);
    await stays(vm, context);
  },
} satisfies Case;

/** A drive with the bundle as built, and with three that nobody may install. */
function bundleDrive({ work, built }: CaseContext): string {
  const folder = join(work, 'bundles');
  mkdirSync(folder, { recursive: true });
  const bundle = (name: string): string => join(folder, `${name}.raucb`);
  for (const name of ['good', 'changed', 'short']) copyFileSync(join(built, 'update.raucb'), bundle(name));
  run('sh', ['-c', `printf '\\377\\376\\375' | dd of=${bundle('changed')} bs=1 seek=${CHANGED_AT} conv=notrunc status=none`]);
  truncateSync(bundle('short'), CHANGED_AT);
  const [key, pem] = [join(work, 'stranger.key'), join(work, 'stranger.pem')];
  run('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=a stranger', '-keyout', key, '-out', pem]);
  run('rauc', ['resign', `--cert=${pem}`, `--key=${key}`, `--keyring=${join(built, 'test-update.pem')}`, `--signing-keyring=${pem}`, bundle('good'), bundle('foreign')]);
  const drive = join(work, 'bundles.ext4');
  run('mke2fs', ['-q', '-t', 'ext4', '-L', 'bundles', '-d', folder, drive, '1400M']);
  return drive;
}

const mountBundles = (vm: Vm): Promise<string> => vm.must('mkdir -p /run/bundles; for i in $(seq 60); do [ -b /dev/disk/by-label/bundles ] && break; sleep 1; done; mount -o ro LABEL=bundles /run/bundles');

async function confirmed(vm: Vm): Promise<void> {
  await vm.must('for i in $(seq 300); do [ "$(systemctl is-active viewlink-confirm)" = active ] && exit 0; sleep 2; done; journalctl -b -u viewlink-confirm | tail -5; exit 1', INSTALL_LIMIT_MS);
}

async function cutWhileWriting(vm: Vm, { check }: CaseContext): Promise<void> {
  vm.type('rauc install /run/bundles/good.raucb\n');
  await vm.waitFor(/[4-9]\d% (?!.*done)/, INSTALL_LIMIT_MS);
  await vm.pause(5000);
  await vm.powerCut();
  await again(vm);
  check((await slotOf(vm)) === 'A', 'a power cut while slot B is written: back on slot A');
  await mountBundles(vm);
}

/** A daemon that does not start there: the check leaves the slot without anybody's help. */
async function goesBack(vm: Vm, { check, say }: CaseContext): Promise<void> {
  await vm.must('mkdir -p /etc/systemd/system/viewlink-sipd.service.d /etc/systemd/system/viewlink-confirm.service.d');
  await putFile(vm, '/etc/systemd/system/viewlink-sipd.service.d/broken.conf', SIPD_FAILS_ON_B);
  await putFile(vm, '/etc/systemd/system/viewlink-confirm.service.d/soon.conf', `[Service]\nEnvironment=VIEWLINK_CONFIRM_LIMIT_S=${CHECK_LIMIT_S}\n`);
  vm.type('sync; systemctl reboot\n');
  await vm.ended(BOOT_LIMIT_MS);
  await again(vm);
  check((await slotOf(vm)) === 'B', 'the next start is from slot B');
  check((await vm.must('cat /etc/viewlink/gateway.yaml')).includes('name: city'), 'the configuration came along');
  await vm.ended(BOOT_LIMIT_MS);
  say('a daemon does not start there: it starts anew by itself');
  await again(vm);
  check((await slotOf(vm)) === 'A', 'not confirmed: back on slot A');
}

async function stays(vm: Vm, { check }: CaseContext): Promise<void> {
  await vm.must('rm -r /etc/systemd/system/viewlink-sipd.service.d /etc/systemd/system/viewlink-confirm.service.d && rauc status mark-active rootfs.1');
  for (const start of ['first', 'second']) {
    vm.type('sync; systemctl reboot\n');
    await vm.ended(BOOT_LIMIT_MS);
    await again(vm);
    check((await slotOf(vm)) === 'B', `the ${start} start is from slot B`);
    await confirmed(vm);
  }
  check((await vm.must('rauc status')).includes('boot status: good'), 'slot B is confirmed, and stays');
}

async function again(vm: Vm): Promise<void> {
  vm.start();
  await vm.logIn(USER, PASSWORD, BOOT_LIMIT_MS);
}
