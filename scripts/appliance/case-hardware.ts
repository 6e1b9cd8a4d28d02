/** What only a machine of its own has: a mirrored pair that loses a disk, an NVMe disk's health, a watchdog, memory limits, netem. */
import { join } from 'node:path';
import { answerQuestions, configure, createBox, PASSWORD, USER } from './box.ts';
import type { Case } from './case.ts';
import { HOST, Site } from './site.ts';
import { run } from './vm.ts';

const ADDRESS = '10.9.0.2';

export default {
  name: 'hardware',
  help: 'RAID1 degrades, NVMe SMART, memory limit, bonding, netem, watchdog reset',
  async run({ work, disk, say, check }) {
    using site = new Site('vl-hw', 1);
    const drives = ['m0', 'm1', 'nvme'].map(name => join(work, `${name}.img`));
    for (const drive of drives) run('truncate', ['-s', '256M', drive]);
    const extra = [...drives.slice(0, 2).flatMap(drive => ['-drive', `file=${drive},if=virtio,format=raw`]), '-drive', `file=${drives[2]!},if=none,id=nv,format=raw`, '-device', 'nvme,drive=nv,serial=VL0001'];
    await using vm = createBox({ work, name: 'vm', disk, site, address: ADDRESS, extra });
    vm.start();
    await answerQuestions(vm, 'node-a', ADDRESS);
    await configure(vm, ADDRESS, HOST);
    await vm.must('mdadm --create /dev/md/test --run --level=1 --raid-devices=2 /dev/vdb /dev/vdc && mdadm --wait /dev/md/test; true');
    const health = (): Promise<string> => vm.must('vlink show health --json');
    await vm.must("for i in $(seq 60); do vlink show health --json | grep -q 'raid' && exit 0; sleep 2; done; exit 1", 300_000);
    await vm.must('mdadm /dev/md/test --fail /dev/vdc');
    await vm.must("for i in $(seq 90); do vlink show alarms --json | grep -q 'raid' && exit 0; sleep 2; done; exit 1", 400_000);
    check((await vm.must('vlink show alarms --json')).includes('raid'), 'the degraded array is an alarm');
    say((await health()).includes('nvme0') ? 'the NVMe disk is watched' : 'the NVMe disk is not in the report');
    check((await vm.must('smartctl -j -H /dev/nvme0')).includes('"passed": true'), 'SMART of the NVMe disk answers');
    await vm.must('ip link add bond9 type bond mode active-backup && ip link del bond9');
    check(true, 'bonding is there');
    await vm.must('tc qdisc add dev lo root netem delay 5ms loss 5% && tc qdisc del dev lo root');
    check(true, 'netem is there');
    const limited = await vm.run("systemd-run --wait -q -p MemoryMax=40M -p MemorySwapMax=0 /usr/lib/viewlink/bin/node -e 'const kept=[]; for(;;) kept.push(Buffer.alloc(1e6,1))'", 200_000);
    check(limited.code !== 0, 'a process over its memory limit is ended');
    // Nobody feeds the watchdog of the machine any more.
    vm.type('echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger\n');
    await vm.ended(300_000);
    vm.start();
    await vm.logIn(USER, PASSWORD, 600_000);
    check(true, 'a kernel that died was reset, and the machine is back');
  },
} satisfies Case;
