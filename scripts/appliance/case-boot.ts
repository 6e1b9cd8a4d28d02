/** From power on to a picture: first questions, configuration, cameras below, a platform above, and the root stays read-only. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { answerQuestions, configure, createBox, keepAnswered, shutDown, USER } from './box.ts';
import { type Case, type CaseContext, startTime } from './case.ts';
import { addressOf, Site } from './site.ts';
import { camerasSeen, comparePicture, gatewayConfig, openCamera, openPlatform } from './surroundings.ts';
import { run, type Vm } from './vm.ts';

const ADDRESS = addressOf(0);
const CAMERAS = 2;

export default {
  name: 'boot',
  help: 'first start, questions, units, SSH, a picture from camera to platform',
  async run(context) {
    const { work, say, check } = context;
    using site = new Site(1);
    const key = join(work, 'key');
    run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
    await using vm = createBox(context, { name: 'vm', site });
    vm.start();
    await answerQuestions(vm, 'node-a', ADDRESS, readFileSync(`${key}.pub`, 'utf8').trim());
    say('the questions are answered');
    await looks(vm, context);
    await configure(vm, gatewayConfig(ADDRESS));
    await keepAnswered(context, vm);
    await units(vm, context);
    const ssh = (...command: readonly string[]): string => execFileSync('ssh', ['-i', key, '-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null', '-o', 'LogLevel=ERROR', `${USER}@${ADDRESS}`, ...command], { encoding: 'utf8', timeout: 600_000 });
    check(ssh('vlink', 'show', 'upstreams').includes('city'), 'with the key, vlink over SSH');
    await using platform = await openPlatform();
    await using camera = await openCamera(ADDRESS, CAMERAS);
    const [first] = await camerasSeen(platform, CAMERAS);
    say(`camera ${camera.device.id} is registered, and the platform has its catalogue`);
    await comparePicture(context, platform, first!, 'picture');
    check(ssh('vlink', 'show', 'devices').includes(camera.device.id), 'the device is shown');
    check((await vm.must("journalctl -b -p 3 --no-pager -q -u 'viewlink-*' | tail -5")) === '', 'no error in the journal of the daemons');
    say(await startTime(vm));
    await shutDown(vm);
    check(true, 'it switches itself off');
  },
} satisfies Case;

async function looks(vm: Vm, { check }: CaseContext): Promise<void> {
  check((await vm.run('touch /usr/x')).code !== 0, 'the root is read-only');
  check((await vm.must('findmnt -no FSTYPE /etc')) === 'overlay', 'changes of /etc go to the data partition');
  check(/^[*!]/.test(await vm.must('getent shadow root | cut -d: -f2')), 'root has no password');
  check(Number(await vm.must('findmnt -bno SIZE /data')) > 2e9, 'the data partition has taken the rest of the disk');
}

async function units(vm: Vm, { say, check }: CaseContext): Promise<void> {
  check((await vm.must('systemctl is-active viewlink.target')) === 'active', 'viewlink.target is reached');
  const failed = await vm.must('systemctl --failed --no-legend --plain');
  check(failed === '', `no unit failed ${failed}`);
  const active = await vm.must("systemctl list-units --plain --no-legend 'viewlink-*.service' --state=active | awk '{print $1}'");
  say(`active: ${active.split('\n').join(' ')}`);
}
