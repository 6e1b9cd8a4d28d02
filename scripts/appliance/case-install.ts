/** From a stick onto two mirrored disks; the machine starts from both, and from either one alone. */
import { join } from 'node:path';
import { BOOT_LIMIT_MS, createBox, PASSWORD, putFile, readyBox, shutDown, USER } from './box.ts';
import type { Case, CaseContext } from './case.ts';
import { addressOf, PREFIX, Site } from './site.ts';
import { run, type Vm } from './vm.ts';

const ADDRESS = addressOf(0);
const DISK = '4G';
const COPY_LIMIT_MS = 1_200_000;
const SEED = { HOSTNAME_IS: 'node-m', NICS: 'bond', MANAGEMENT: `${ADDRESS}/${PREFIX}`, GATEWAY: '', NTP: '', ADMIN: USER, SSH_KEY: '', ADMIN_PASSWORD: PASSWORD };

export default {
  name: 'install',
  help: 'viewlink-install onto two mirrored disks; a start from both, and from either alone; bonded network cards',
  async run(context) {
    using site = new Site(1, { cable: true });
    const [left, right] = ['left', 'right'].map(name => join(context.work, `${name}.img`)) as [string, string];
    for (const disk of [left, right]) run('truncate', ['-s', DISK, disk]);
    await fromStick(context, site, [left, right]);
    await startsFrom(context, site, 'both', left, right);
    await startsFrom(context, site, 'the left disk alone', left);
    await startsFrom(context, site, 'the right disk alone', right);
  },
} satisfies Case;

async function fromStick(context: CaseContext, site: Site, disks: readonly string[]): Promise<void> {
  await using vm = await readyBox(context, { name: 'stick', site, drives: disks.map((disk, index) => ({ id: `disk${index}`, file: disk })) });
  await putFile(vm, '/run/seed.conf', Object.entries(SEED).map(([key, value]) => `${key}=${value}\n`).join(''));
  await vm.must('for i in $(seq 60); do [ -b /dev/vdc ] && break; sleep 1; done; [ -b /dev/vdc ]');
  context.check((await vm.run('viewlink-install /dev/vda')).code === 64, 'not onto the disk that it runs from');
  await vm.must('viewlink-install --seed /run/seed.conf /dev/vdb /dev/vdc', COPY_LIMIT_MS);
  context.say('viewlink-install has put it on two disks');
  await vm.must('for array in /dev/md/slot-A /dev/md/slot-B /dev/md/data; do mdadm --wait $array || true; done', COPY_LIMIT_MS);
  await shutDown(vm);
}

/** Nothing of what is written stays: the next one begins with the disks as they were installed. */
async function startsFrom(context: CaseContext, site: Site, what: string, disk: string, other?: string): Promise<void> {
  const name = what.replaceAll(' ', '-');
  await using vm = createBox(context, { name, site, disk, extra: other === undefined ? [] : ['-drive', `file=${other},if=virtio,format=raw,snapshot=on`] });
  vm.start();
  await vm.logIn(USER, PASSWORD, BOOT_LIMIT_MS);
  context.check((await vm.must('for at in / /data /var; do findmnt -no SOURCE $at; done')).split('\n').every(line => line.includes('/dev/md')), `it starts from ${what}: root, data and /var are on arrays`);
  await looks(vm, context, other !== undefined);
}

async function looks(vm: Vm, { check }: CaseContext, isWhole: boolean): Promise<void> {
  const arrays = (await vm.must('cat /proc/mdstat')).match(/\[[U_]{2}\]/g) ?? [];
  check(arrays.length === 3 && arrays.every(state => (state === '[UU]') === isWhole), `arrays ${arrays.join(' ')}`);
  check((await vm.must('cat /sys/class/net/bond0/bonding/slaves')).split(' ').length === 2, 'both network cards are one');
  await vm.must('for i in $(seq 300); do [ "$(systemctl is-active viewlink-confirm)" = active ] && exit 0; sleep 2; done; exit 1', BOOT_LIMIT_MS);
  check((await vm.must('grub-editenv /boot/efi/viewlink/grubenv list')).includes('A_STARTS=0'), 'the slot is confirmed on the boot partition that is there');
  if (isWhole) return;
  await vm.must("systemctl start viewlink.target; for i in $(seq 150); do vlink show alarms 2>/dev/null | grep -q raid.degraded && exit 0; sleep 2; done; vlink show alarms; exit 1", BOOT_LIMIT_MS);
  check(true, 'the missing disk is an alarm');
}
