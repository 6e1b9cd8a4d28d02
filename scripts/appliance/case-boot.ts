/** From power on to a picture: first questions, configuration, cameras below, a platform above, and the root stays read-only. */
import { join } from 'node:path';
import { answerQuestions, configure, createBox } from './box.ts';
import { type Case, startTime } from './case.ts';
import { HOST, Site } from './site.ts';

const ADDRESS = '10.9.0.2';
const ROOT = join(import.meta.dirname, '../..');
const PLAY_S = 15;

export default {
  name: 'boot',
  help: 'first start, questions, units, a picture from camera to platform',
  async run({ work, disk, say, check }) {
    using site = new Site('vl-boot', 1);
    await using vm = createBox({ work, name: 'vm', disk, site, address: ADDRESS });
    vm.start();
    await answerQuestions(vm, 'node-a', ADDRESS);
    say(await startTime(vm));
    check((await vm.run('touch /usr/x')).code !== 0, 'the root is read-only');
    check((await vm.must('findmnt -no FSTYPE /etc')) === 'overlay', 'changes of /etc go to the data partition');
    check((await vm.must('getent shadow root | cut -d: -f2')).startsWith('*') || (await vm.must('getent shadow root | cut -d: -f2')).startsWith('!'), 'root has no password');
    await configure(vm, ADDRESS, HOST);
    const failed = await vm.must('systemctl --failed --no-legend --plain');
    check(failed === '', `no unit failed ${failed}`);
    const units = await vm.must("systemctl list-units --plain --no-legend 'viewlink-*.service' --state=active | awk '{print $1}'");
    say(`active: ${units.split('\n').join(' ')}`);
    site.spawn(join(ROOT, 'scripts/camera'), ['--platform', `${ADDRESS}:5060`, '--address', HOST, '--channels', '2'], () => undefined);
    await vm.must("for i in $(seq 120); do vlink show channels --json | grep -q 34020000001320000001 && exit 0; sleep 1; done; exit 1", 600_000);
    say('a camera is registered and its catalogue is here');
    const lines = await site.output(join(ROOT, 'scripts/platform'), ['--id', '33010000002000000001', '--address', HOST, '--port', '5061', '--password', 'above', '--catalog', '--play', 'first', '--seconds', String(PLAY_S)]);
    say(lines.slice(-6).join(' | '));
    const pictures = Math.max(0, ...lines.flatMap(line => [...line.matchAll(/(\d+) (?:frames|pictures)/g)].map(match => Number(match[1]))));
    check(pictures >= PLAY_S * 10, `${pictures} pictures in ${PLAY_S} s at the platform`);
    check((await vm.must("journalctl -b -p 3 --no-pager -q -u 'viewlink-*' | tail -5")) === '', 'no error in the journal of the daemons');
  },
} satisfies Case;
