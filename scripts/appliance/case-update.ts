/** Update to the other slot; a bundle of a stranger is refused; one that is not confirmed is left at the next start. */
import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { answerQuestions, configure, createBox, PASSWORD, USER } from './box.ts';
import type { Case } from './case.ts';
import { HOST, Site } from './site.ts';
import { run, type Vm } from './vm.ts';

const ADDRESS = '10.9.0.2';
const INSTALL_LIMIT_MS = 900_000;

const slotOf = async (vm: Vm): Promise<string> => /rauc\.slot=([AB])/.exec(await vm.must('cat /proc/cmdline'))?.[1] ?? '?';

export default {
  name: 'update',
  help: 'update to slot B and back when unconfirmed; a foreign signature is refused',
  async run({ work, disk, built, say, check }) {
    using site = new Site('vl-update', 1);
    const folder = join(work, 'bundles');
    mkdirSync(folder, { recursive: true });
    copyFileSync(join(built, 'update.raucb'), join(folder, 'good.raucb'));
    copyFileSync(join(built, 'update.raucb'), join(folder, 'changed.raucb'));
    // One octet in the middle.
    run('sh', ['-c', `printf '\\377' | dd of=${join(folder, 'changed.raucb')} bs=1 seek=50000000 conv=notrunc status=none`]);
    run('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=a stranger', '-keyout', join(work, 'stranger.key'), '-out', join(work, 'stranger.pem')]);
    run('rauc', ['resign', `--cert=${join(work, 'stranger.pem')}`, `--key=${join(work, 'stranger.key')}`, `--keyring=${join(built, 'test-update.pem')}`, join(folder, 'good.raucb'), join(folder, 'foreign.raucb')]);
    const drive = join(work, 'bundles.ext4');
    run('mke2fs', ['-q', '-t', 'ext4', '-L', 'bundles', '-d', folder, drive, '1400M']);
    await using vm = createBox({ work, name: 'vm', disk, site, address: ADDRESS, extra: ['-drive', `file=${drive},if=virtio,format=raw`] });
    vm.start();
    await answerQuestions(vm, 'node-a', ADDRESS);
    await configure(vm, ADDRESS, HOST);
    check((await slotOf(vm)) === 'A', 'it runs from slot A');
    await vm.must("for i in $(seq 300); do [ \"$(systemctl is-active viewlink-confirm)\" = active ] && exit 0; sleep 2; done; exit 1", INSTALL_LIMIT_MS);
    say('slot A is confirmed');
    await vm.must('mkdir -p /run/bundles && mount -o ro LABEL=bundles /run/bundles');
    for (const name of ['foreign', 'changed']) {
      const outcome = await vm.run(`rauc install /run/bundles/${name}.raucb`, INSTALL_LIMIT_MS);
      check(outcome.code !== 0, `a ${name} bundle is refused: ${outcome.output.split('\n').at(-1) ?? ''}`);
    }
    await vm.must('rauc install /run/bundles/good.raucb', INSTALL_LIMIT_MS);
    say('the bundle is installed');
    await restart(vm);
    check((await slotOf(vm)) === 'B', 'the next start is from slot B');
    // The update is not confirmed: its check is held back until the machine starts again.
    await vm.must('systemctl stop viewlink-confirm.service');
    check((await vm.must('vlink show upstreams --json')).includes('city'), 'the configuration came along');
    await restart(vm);
    check((await slotOf(vm)) === 'A', 'not confirmed: back on slot A');
    await vm.must('rauc install /run/bundles/good.raucb || (mkdir -p /run/bundles && mount -o ro LABEL=bundles /run/bundles && rauc install /run/bundles/good.raucb)', INSTALL_LIMIT_MS);
    await restart(vm);
    await vm.must("for i in $(seq 300); do [ \"$(systemctl is-active viewlink-confirm)\" = active ] && exit 0; sleep 2; done; exit 1", INSTALL_LIMIT_MS);
    await restart(vm);
    check((await slotOf(vm)) === 'B', 'confirmed: it stays on slot B');
  },
} satisfies Case;

async function restart(vm: Vm): Promise<void> {
  vm.type('systemctl reboot\n');
  await vm.ended(300_000);
  vm.start();
  await vm.logIn(USER, PASSWORD, 600_000);
}
