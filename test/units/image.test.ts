/** The parts of the appliance that need no machine: which slot the boot loader takes, and what the first questions make of their answers. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';

const IMAGE = join(import.meta.dirname, '../../image');
const read = (path: string): string => readFileSync(join(IMAGE, path), 'utf8');

function workFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'vl-image-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

type GrubEnv = Readonly<Record<string, string>>;
const FRESH: GrubEnv = { ORDER: 'A B', A_OK: '1', B_OK: '0', A_TRY: '0', B_TRY: '0', A_STARTS: '0', B_STARTS: '0' };

/** The language of GRUB is that of a shell, but for `set` and `menuentry`: the choice itself runs here as it stands in the file. */
function chooser(): string {
  const [choice] = read('boot/grub.cfg').split('if [ "$chosen" = "A" ]; then set other');
  const stubs = 'set() { eval "${1%%=*}=\\${1#*=}"; }\nserial() { :; }\nterminal_input() { :; }\nterminal_output() { :; }\nsave_env() { shift 2; for name in "$@"; do echo "$name=${!name}"; done; }\nload_env() { eval "$GIVEN"; }\n';
  return `${stubs}${choice!.replace('set timeout=@TIMEOUT@', '')}\necho "chosen=$chosen"\n`;
}

const CHOOSER = chooser();

/** One start: which slot, and what the boot loader remembers afterwards. */
function start(before: GrubEnv): { readonly slot: string; readonly env: GrubEnv } {
  const given = Object.entries(before).map(([name, value]) => `${name}='${value}'`).join('\n');
  const { status, stdout, stderr } = spawnSync('bash', ['-c', CHOOSER], { encoding: 'utf8', env: { PATH: '/usr/bin:/bin', GIVEN: given } });
  if (status !== 0) throw new Error(stderr);
  const after = Object.fromEntries(stdout.trim().split('\n').map(line => line.split(/=(.*)/s).slice(0, 2) as [string, string]));
  const { chosen, ...env } = after;
  return { slot: chosen!, env: { ...before, ...env } };
}

/** What the check of a slot does when all is well, and what an update does to the slot that it has written. */
const confirm = (env: GrubEnv, slot: string, version: string): GrubEnv => ({ ...env, [`${slot}_OK`]: '1', [`${slot}_TRY`]: '0', [`${slot}_CONFIRMED`]: version, [`${slot}_STARTS`]: '0' });
const installed = (env: GrubEnv, slot: string): GrubEnv => ({ ...env, ORDER: slot === 'A' ? 'A B' : 'B A', [`${slot}_OK`]: '1', [`${slot}_TRY`]: '0', [`${slot}_CONFIRMED`]: '', [`${slot}_STARTS`]: '0' });

/** Starts one after another with nobody who confirms. */
function starts(env: GrubEnv, count: number): string {
  let slots = '';
  for (let index = 0; index < count; index++) {
    const one = start(env);
    slots += one.slot;
    env = one.env;
  }
  return slots;
}

t.test('the boot loader: a new slot has one start, one that worked three, and the machine is never dark', async t => {
  t.equal(starts(FRESH, 4), 'AAAA', 'an image as built has no other slot');
  const worked = confirm(start(FRESH).env, 'A', '1');
  t.match(worked, { A_TRY: '0', A_STARTS: '0' });
  const updated = installed(worked, 'B');
  t.equal(starts(updated, 2), 'BA', 'not confirmed: back');
  t.equal(starts(updated, 5), 'BAAAB', 'cuts during every start: the new one once, the old one three times, then from the beginning');
  const both = confirm(start(updated).env, 'B', '2');
  t.equal(starts(both, 4), 'BBBA', 'one that worked survives two cuts during its start');
  t.equal(starts({ ...both, B_OK: '0' }, 2), 'AA', 'one that was marked bad is not taken');
  t.equal(start({}).slot, 'A', 'a boot loader that lost its memory');
  t.equal(start({ ...FRESH, A_OK: '0' }).slot, 'A', 'nothing is good: rather try than stay dark');
});

t.test('GRUB itself can read both files', async t => {
  const folder = workFolder(t);
  for (const name of ['grub.cfg', 'embedded.cfg']) {
    writeFileSync(join(folder, name), read(`boot/${name}`).replace('@TIMEOUT@', '2').replace('@ARGUMENTS@', 'quiet'));
    const { status, stderr } = spawnSync('grub-script-check', [join(folder, name)], { encoding: 'utf8' });
    t.equal(status, 0, `${name} ${stderr}`);
  }
});

/** A machine of its own for the wizard: this one under a layer that goes with it. Its cards are folders. */
const STAGE = `set -e
mount -t tmpfs stage "$STAGE"
mkdir "$STAGE"/{upper,work,root}
mount -t overlay -o "lowerdir=/,upperdir=$STAGE/upper,workdir=$STAGE/work" root "$STAGE/root"
cd "$STAGE/root"
mount --rbind /dev dev; mount -t proc proc proc; mount -t tmpfs sys sys; mount -t tmpfs run run
mkdir -p data boot/efi/viewlink var/home etc/systemd/network etc/chrony/sources.d
for card in $CARDS; do mkdir -p "sys/class/net/$card/device"; done
echo 1.0 >etc/viewlink-image; echo viewlink-1234 >etc/hostname
cp "$IMAGE/rootfs/etc/systemd/network/80-viewlink-first.network" etc/systemd/network/
cp "$IMAGE/rootfs/usr/lib/viewlink/appliance/setup" setup
for group in viewlink-admin systemd-journal sudo; do grep -q "^$group:" etc/group || echo "$group:x:$((900 + RANDOM % 90)):" >>etc/group; done
[ -z "$SEED" ] || printf %s "$SEED" >boot/efi/viewlink/seed.conf
chroot . sh -ec "$BEFORE"
chroot . /setup >said 2>&1 || { cat said; exit 1; }
for file in etc/hostname etc/systemd/network/*viewlink* etc/chrony/sources.d/viewlink.sources; do [ ! -f "$file" ] || printf '== %s\\n%s\\n' "\${file##*/}" "$(cat "$file")"; done
printf '== user\\n%s %s\\n' "$(chroot . id -nG engineer)" "$(sed -n 's/^engineer:\\(.\\).*/\\1/p' etc/shadow)"
printf '== password\\n%s\\n' "$(sed -n 's/^engineer:\\([^:]*\\):.*/\\1/p' etc/shadow)"
printf '== key\\n%s\\n' "$(cat var/home/engineer/.ssh/authorized_keys 2>/dev/null)"
ls data boot/efi/viewlink
echo '== said'; cat said
`;

const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKNWuEQvw/hFulb1NbHCCIsMs0Tgi0hd2UYenXPbtJDO engineer';

interface Wizard {
  readonly cards?: string;
  readonly seed?: string;
  readonly answers?: readonly string[];
  /** What happened there already: commands. */
  readonly before?: string;
}

/** The first questions with these answers: everything that they left behind, as text. */
function wizard(t: Test, { cards = 'enp1s0', seed = '', answers = [], before = '' }: Wizard): string {
  const stage = workFolder(t);
  const { status, stdout, stderr } = spawnSync('unshare', ['--mount', '--uts', '--net', 'bash', '-c', STAGE], { encoding: 'utf8', input: answers.map(line => `${line}\n`).join(''), timeout: 30_000, env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', TERM: 'dumb', STAGE: stage, IMAGE, CARDS: cards, SEED: seed, BEFORE: before } });
  if (status !== 0) throw new Error(`${stdout}\n${stderr}`);
  return stdout;
}

t.test('the first questions: what is not usable is asked again', async t => {
  const text = wizard(t, { answers: ['Node A', 'node-a', '10.97.0.1', '10.97.0.1/33', '10.297.0.1/24', '10.97.0.1/24', '10.97.0.254', 'not a host!', '10.97.0.253', 'root', 'engineer', 'ssh-rsa nonsense', '', 'short', '', 'long enough for once'] });
  t.match(text, '== hostname\nnode-a\n');
  t.match(text, '[Match]\nName=enp1s0\n\n[Network]\nLinkLocalAddressing=ipv6\nAddress=10.97.0.1/24\nGateway=10.97.0.254\n');
  t.match(text, '== viewlink.sources\nserver 10.97.0.253 iburst');
  t.match(text, /== user\nengineer .*sudo.* \$/);
  t.equal(text.match(/That is not usable here\./g)?.length, 8);
  t.match(text, 'A key or a password is needed.');
  t.notMatch(text, /80-viewlink-first|long enough/);
  t.match(text, /^configured$/m);
});

t.test('with a key on the console a password is asked for all the same: sudo wants one', async t => {
  const text = wizard(t, { answers: ['', 'dhcp', '', '', KEY, ''] });
  t.match(text, 'Password for the console');
  t.match(text, `== key\n${KEY}\n`);
  t.match(text, /== user\nengineer .* !/);
});

t.test('the answers may come from the boot partition: bonded, with a key, nothing asked', async t => {
  const seed = ['HOSTNAME_IS=node-b', 'MANAGEMENT=10.200.30.4/22', 'GATEWAY=', 'NICS=bond', 'NTP=', 'ADMIN=engineer', `SSH_KEY=${KEY}`, ''].join('\r\n');
  const text = wizard(t, { cards: 'enp1s0 enp2s0', seed });
  t.match(text, 'Name=bond0\nKind=bond\n\n[Bond]\nMode=active-backup');
  t.match(text, '[Match]\nName=enp1s0 enp2s0\n\n[Network]\nBond=bond0');
  t.match(text, '[Match]\nName=bond0\n\n[Network]\nLinkLocalAddressing=ipv6\nAddress=10.200.30.4/22\n');
  t.match(text, `== key\n${KEY}\n`);
  t.match(text, /== user\nengineer .* !/, 'no password');
  t.notMatch(text, 'seed.conf', 'and it is gone afterwards');
});

t.test('two cards apart, and a seed of which one answer is wrong', async t => {
  const seed = 'HOSTNAME_IS=node-c\nNICS=two\nMANAGEMENT=dhcp\nSERVICE=10.98.0.700/24\nNTP=\nADMIN=engineer\nSSH_KEY=\nADMIN_PASSWORD=long enough for once\n';
  const text = wizard(t, { cards: 'enp1s0 enp2s0', seed, answers: ['10.98.0.7/24'] });
  t.match(text, 'seed.conf: SERVICE is not usable');
  t.match(text, '[Match]\nName=enp1s0\n\n[Network]\nLinkLocalAddressing=ipv6\nDHCP=yes');
  t.match(text, '[Match]\nName=enp2s0\n\n[Network]\nLinkLocalAddressing=ipv6\nAddress=10.98.0.7/24');
});

t.test('addresses that no card can have, a gateway that it cannot reach, and names that the system has', async t => {
  const wrong = ['10.97.0.0/24', '10.97.0.255/24', '10.97.0.01/24', '10.97.0.1/0', '10.97.0.1/024', '127.0.0.1/8', '239.1.2.3/24', 'fd00::1/64'];
  const gateways = ['10.98.0.254', '10.97.0.1', '10.97.0.0254'];
  const services = ['10.97.0.2/24', '10.0.0.2/8'];
  const names = ['root', 'viewlink-admin', 'operator', 'staff'];
  const text = wizard(t, { cards: 'enp1s0 enp2s0', answers: ['', 'two', ...wrong, '10.97.0.1/24', ...gateways, '10.97.0.254', ...services, '10.98.0.2/24', '', ...names, 'engineer', KEY, ''] });
  t.equal(text.match(/That is not usable here\./g)?.length, wrong.length + gateways.length + services.length + names.length);
  t.match(text, 'Address=10.97.0.1/24\nGateway=10.97.0.254\n');
  t.match(text, 'Address=10.98.0.2/24\n');
});

/** What chpasswd makes of it begins with a dollar; perl is there with every Debian. */
const isPassword = (hash: string, password: string): boolean => spawnSync('perl', ['-e', 'exit(crypt($ARGV[0], $ARGV[1]) eq $ARGV[1] ? 0 : 1)', password, hash]).status === 0;
const hashIn = (text: string): string => /== password\n(.*)\n/.exec(text)?.[1] ?? '';

t.test('a seed as editors leave it: a mark before it, values that end with "=", no end of the last line', async t => {
  const password = 'it ends with an = and a ==';
  const key = 'ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBIANAYJ4+kvWpA1R9q4ytk39REOWoKn4YZRagRsQ7x0JR1D0R3+hsYwPvZIxPScrIGJUpCqRrryRRo1Rr8MJcok=';
  const text = wizard(t, { seed: `\ufeffHOSTNAME_IS=node-d\nMANAGEMENT=dhcp\nNTP=\nADMIN=engineer\nADMIN_PASSWORD=${password}=\nSSH_KEY=${key}` });
  t.match(text, '== hostname\nnode-d\n');
  t.ok(isPassword(hashIn(text), `${password}=`));
  t.notOk(isPassword(hashIn(text), password));
  t.match(text, `== key\n${key}\n`);
});

t.test('a power cut came between the administrator and the end: he is the same, with what is said now', async t => {
  const before = 'useradd --create-home --home-dir /var/home/engineer engineer; echo engineer:what was said before | chpasswd; mkdir /var/home/engineer/.ssh; echo old >/var/home/engineer/.ssh/authorized_keys';
  const keyed = wizard(t, { before, answers: ['', 'dhcp', '', 'engineer', KEY, ''] });
  t.match(keyed, /== user\nengineer .*sudo.* !/);
  t.match(keyed, `== key\n${KEY}\n`);
  const typed = wizard(t, { before, answers: ['', 'dhcp', '', 'engineer', '', 'what is said now'] });
  t.ok(isPassword(hashIn(typed), 'what is said now'));
  t.match(typed, /== key\n\n/);
  t.match(typed, /^configured$/m);
});

/** The installer with everything that would touch a disk in place of what it calls: it says what it is asked for. Disks are nodes of a file system in memory. */
const INSTALL = `set -e
mount -t tmpfs stage "$STAGE"; mount -t tmpfs run /run; mount -t tmpfs boot /boot; mount -t tmpfs sys /sys
mkdir -p /boot/efi/EFI /boot/efi/viewlink "$STAGE/tools" "$STAGE/here"
touch /boot/efi/viewlink/grub.cfg
for disk in sda sdb sdc; do mknod "$STAGE/$disk" b 7 200; done
ln -s sda "$STAGE/ata-by-id"; mknod "$STAGE/sda1" b 7 201
for holder in sda2/holders/md127 sdb2/holders/md127; do mkdir -p "/sys/class/block/$holder"; done
for tool in wipefs udevadm dd e2fsck mke2fs mkfs.vfat grub-editenv sync umount findmnt; do printf '#!/bin/sh\necho %s "$@" >>"$STAGE/said"\n' $tool >"$STAGE/tools/$tool"; done
printf '#!/bin/sh\necho mdadm "$@" >>"$STAGE/said"\n[ "$1" != --stop ] || rm -r /sys/class/block/*/holders/"\${3##*/}"\n' >"$STAGE/tools/mdadm"
printf '#!/bin/sh\necho mount "$@" >>"$STAGE/said"\nrm -rf /run/viewlink-install/*\n' >"$STAGE/tools/mount"
printf '#!/bin/sh\nfor file; do :; done; [ ! -e /run/viewlink-install/viewlink/seed.conf ] || echo seed on "$(grep -c mount "$STAGE/said")" >>"$STAGE/said"\n' >"$STAGE/tools/umount"
printf '#!/bin/sh\necho Block count: 5; echo Block size: 4096\n' >"$STAGE/tools/tune2fs"
cat >"$STAGE/tools/lsblk" <<'END'
#!/bin/sh
for disk; do :; done
case "$*" in
  *PKNAME*) echo sdc ;;
  *TYPE*) case "$*" in -d*) case $disk in *1) echo part ;; *) echo disk ;; esac ;; *) printf '%s disk\\n%s1 part\\n%s2 part\\nmd127 raid1\\n' "$disk" "$disk" "$disk" ;; esac ;;
  *MOUNTPOINT*) printf '\\n\\n'; case " $MOUNTED " in *" \${disk##*/} "*) echo /var ;; esac ;;
esac
END
printf '#!/bin/sh\necho partitions "$@" >>"$STAGE/said"\n' >"$STAGE/here/partitions"
chmod +x "$STAGE"/tools/* "$STAGE/here/partitions"
sed "s,^here=.*,here=$STAGE/here,; s,^running=/dev/,running=$STAGE/," "$IMAGE/rootfs/usr/lib/viewlink/appliance/install" >"$STAGE/install"
cd "$STAGE"; : >said; echo HOSTNAME_IS=a >seed
code=0; PATH="$STAGE/tools:$PATH" bash install $ARGUMENTS || code=$?
echo "code $code"; sed "s,$STAGE/,,g" said
`;

function install(t: Test, args: string, { mounted = '' } = {}): string {
  const stage = workFolder(t);
  const { stdout, stderr } = spawnSync('unshare', ['--mount', 'bash', '-c', INSTALL], { encoding: 'utf8', input: '', timeout: 30_000, env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', STAGE: stage, IMAGE, ARGUMENTS: args, MOUNTED: mounted } });
  return stdout.replaceAll(`${stage}/`, '') + stderr;
}

t.test('the installer: what is wrong is seen before anything is written', async t => {
  for (const [args, says, code, mounted = ''] of [
    ['sda sda', 'sda twice is no mirror', 64],
    ['sda ata-by-id', 'sda twice is no mirror', 64],
    ['sda1', 'sda1 is not a disk', 66],
    ['sdd', 'sdd is not a disk', 66],
    ['sdc', 'sdc is what this machine runs from', 64],
    ['sda sdb', 'sdb is in use', 75, 'sdb'],
    ['--seed nowhere sda', 'nowhere cannot be read', 66],
    ['--seed', 'is not a disk', 66],
    ['sda sdb sdc', 'viewlink-install [--seed FILE] DISK [DISK]', 64],
  ] as const) {
    const text = install(t, args, { mounted });
    t.match(text, says);
    t.match(text, `code ${code}\n`);
    t.notMatch(text, /^(?:wipefs|partitions|mdadm)/m, args);
  }
});

t.test('the installer: a disk by another name, with what an installation of before left on both', async t => {
  const text = install(t, '--seed seed ata-by-id sdb');
  t.match(text, 'installed; take the stick out and restart\ncode 0\n');
  const order = text.split('\n').filter(line => /^(?:wipefs|partitions|mdadm)/.test(line)).map(line => line.replace(/ --run.* --name=\S+/, ''));
  t.same(order, [
    'mdadm --stop --quiet /dev/md127',
    'wipefs -qa sda1', 'wipefs -qa sda2', 'wipefs -qa sda', 'partitions sda', 'wipefs -qa sdb1', 'wipefs -qa sdb2', 'wipefs -qa sdb', 'partitions sdb',
    'mdadm --create /dev/md/slot-A sda2 sdb2', 'mdadm --create /dev/md/slot-B sda3 sdb3', 'mdadm --create /dev/md/data sda4 sdb4',
  ]);
  t.match(text, /^mke2fs -F /m, 'nobody is asked whether an old file system may go');
  t.same(text.match(/^seed on .*$/gm), ['seed on 1'], 'on the one boot partition that it is removed from');
});

const COPY = `set -e
mount -t tmpfs stage "$STAGE"; mount -t tmpfs run /run; mount -t tmpfs boot /boot
mkdir -p /boot/efi/viewlink /run/viewlink-boot2/viewlink "$STAGE/tools" "$STAGE/labels"
echo new >/boot/efi/viewlink/grubenv; echo ADMIN_PASSWORD=x >/run/viewlink-boot2/viewlink/seed.conf
for label in VIEWLINKEFI VIEWLINKEF2; do mknod "$STAGE/labels/$label" b 7 200; done
printf '#!/bin/sh\necho "$STAGE/labels/VIEWLINKEFI"\n' >"$STAGE/tools/findmnt"
for tool in mount umount sync; do printf '#!/bin/sh\n' >"$STAGE/tools/$tool"; done
chmod +x "$STAGE"/tools/*
sed "s,/dev/disk/by-label,$STAGE/labels," "$IMAGE/rootfs/usr/lib/viewlink/appliance/copy-boot" >"$STAGE/copy"
PATH="$STAGE/tools:$PATH" sh "$STAGE/copy"
ls /run/viewlink-boot2/viewlink
`;

t.test('the boot partition of the second disk gets what the first one has, and loses the answers that were removed there', async t => {
  const { status, stdout, stderr } = spawnSync('unshare', ['--mount', 'bash', '-c', COPY], { encoding: 'utf8', timeout: 30_000, env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', STAGE: workFolder(t), IMAGE } });
  t.equal(status, 0, stderr);
  t.equal(stdout, 'grubenv\n');
});

/** A machine whose engineer has a key and no password, with everything that the image lets him do as root. */
const SUDO = `set -e
mount -t tmpfs stage "$STAGE"
mkdir "$STAGE"/{upper,work,root}
mount -t overlay -o "lowerdir=/,upperdir=$STAGE/upper,workdir=$STAGE/work" root "$STAGE/root"
cd "$STAGE/root"
mount --rbind /dev dev; mount -t proc proc proc; mount -t tmpfs run run
printf 'root:x:0:0::/root:/bin/sh\nengineer:x:1001:1001::/:/bin/bash\nwatcher:x:1002:1002::/:/bin/bash\n' >etc/passwd
printf 'root:x:0:\nsudo:x:27:engineer\nviewlink-admin:x:900:engineer\nviewlink-viewer:x:901:watcher\n' >etc/group
printf 'Defaults env_reset\nDefaults secure_path="/usr/sbin:/usr/bin:/sbin:/bin"\nroot ALL=(ALL) ALL\n%%viewlink-viewer ALL=(ALL) !ALL\n@includedir /etc/sudoers.d\n' >etc/sudoers
mkdir -p etc/sudoers.d; rm -f etc/sudoers.d/*
install -m 440 "$IMAGE/rootfs/etc/sudoers.d/viewlink" etc/sudoers.d/viewlink
for tool in usr/bin/rauc usr/sbin/viewlink-install; do [ -e "$tool" ] || install -D -m 755 bin/true "$tool"; done
chroot . visudo -c >&2
while IFS= read -r line; do
  read -ra words <<<"$line"
  if chroot . sudo -n -l -U "\${words[@]}" >/dev/null 2>&1; then echo "may $line"; else echo "not $line"; fi
done
`;

const MAY = ['rauc install /var/home/engineer/viewlink-1.2.0-20260101.abcdef-amd64.raucb', 'rauc status', 'rauc status --detailed', 'systemctl reboot', 'systemctl poweroff', 'reboot', 'poweroff', 'viewlink-install /dev/sda', 'viewlink-install /dev/nvme0n1 /dev/nvme1n1', 'systemctl enable --now viewlink-clusterd viewlink-pair-state viewlink-pair-addresses', 'systemctl restart viewlink-pair-addresses', 'systemctl start viewlink.target', 'systemctl restart viewlink.target'];
const MAY_NOT = ['rauc install --conf=/tmp/x /tmp/x.raucb', 'rauc install /tmp/x.raucb --conf=/tmp/x', 'rauc --conf=/tmp/x install /tmp/x.raucb', 'rauc install -c /tmp/x.raucb', 'rauc install x.raucb', 'rauc install /tmp/x', 'rauc status --conf=/tmp/x', 'rauc status mark-good other', 'rauc', 'rauc write-slot rootfs.0 /tmp/x', 'reboot --force', 'systemctl poweroff --force', 'systemctl restart sshd', 'systemctl edit viewlink-sipd', 'systemctl enable --now /tmp/x.service', 'viewlink-install --seed /etc/shadow /dev/sdb', 'viewlink-install /dev/sda /dev/sdb /dev/sdc', 'viewlink-install /dev/../etc/shadow', 'bash', 'vlink', 'visudo', 'nft list ruleset'];

t.test('an administrator with a key and no password: what he may as root, word by word, and nothing beside it', async t => {
  const stage = workFolder(t);
  const asked = [...MAY, ...MAY_NOT].map(line => `engineer ${line}`);
  const { status, stdout, stderr } = spawnSync('unshare', ['--mount', 'bash', '-c', SUDO], { encoding: 'utf8', input: [...asked, ...MAY.map(line => `watcher ${line}`), ''].join('\n'), timeout: 60_000, env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', STAGE: stage, IMAGE } });
  t.equal(status, 0, stderr);
  t.match(stderr, /^\/etc\/sudoers\.d\/viewlink: parsed OK$/m);
  t.same(stdout.trim().split('\n'), [...MAY.map(line => `may engineer ${line}`), ...MAY_NOT.map(line => `not engineer ${line}`), ...MAY.map(line => `not watcher ${line}`)]);
  t.match(read('build'), /^chmod 440 "\$root\/etc\/sudoers\.d\/viewlink"\nchroot "\$root" visudo -cq$/m, 'and sudo takes the file as it is installed');
});
