/**
 * The plug is pulled at random moments while configuration, audit log and state are written. Whatever was acknowledged before the cut is
 * there after it, and no database is damaged.
 */
import { systemRandom } from '#kit/random.ts';
import { answerQuestions, configure, createBox, PASSWORD, USER } from './box.ts';
import type { Case } from './case.ts';
import { HOST, Site } from './site.ts';

const ADDRESS = '10.9.0.2';
const CUTS = Number(process.env['VIEWLINK_CUTS'] ?? 20);
const LONGEST_WRITE_MS = 8000;

export default {
  name: 'power',
  help: 'power cuts under write load: no damaged database, nothing lost that was acknowledged',
  async run({ work, disk, say, check }) {
    using site = new Site('vl-power', 1);
    await using vm = createBox({ work, name: 'vm', disk, site, address: ADDRESS });
    vm.start();
    await answerQuestions(vm, 'node-a', ADDRESS);
    await configure(vm, ADDRESS, HOST);
    let acknowledged = 0;
    for (let cut = 1; cut <= CUTS; cut++) {
      // Each commit is acknowledged on the console with its number; the cut comes somewhere among them.
      vm.type('for n in $(seq 1000); do vlink config set sip.userAgent "cut-$n" >/dev/null && vlink config commit --reason "write $n" >/dev/null && echo "acknowledged=$(vlink config history --json | grep -o \'"revision": *[0-9]*\' | head -1 | grep -o \'[0-9]*\')."; done\n');
      await vm.waitFor(/acknowledged=\d+\./, 300_000);
      await vm.pause(systemRandom.int(LONGEST_WRITE_MS));
      acknowledged = Math.max(acknowledged, ...vm.everything(/acknowledged=(\d+)\./g));
      await vm.powerCut();
      vm.start();
      await vm.logIn(USER, PASSWORD);
      const current = Number((await vm.must("for i in $(seq 100); do vlink config history --json >/tmp/h 2>/dev/null && break; sleep 1; done; grep -o '\"revision\": *[0-9]*' /tmp/h | head -1 | grep -o '[0-9]*'", 300_000)).trim());
      if (current < acknowledged) check(false, `cut ${cut}: revision ${acknowledged} was acknowledged, ${current} is there`);
      const audit = await vm.run('vlink audit verify');
      if (audit.code !== 0) check(false, `cut ${cut}: ${audit.output}`);
      const broken = await vm.must("journalctl -b --no-pager -q | grep -ciE 'malformed|database disk image|corrupt' || true");
      if (Number(broken) !== 0) check(false, `cut ${cut}: a database is damaged`);
      if ((await vm.must('ls /data/volatile 2>/dev/null || true')) !== '') check(false, `cut ${cut}: the data partition was not mounted`);
      say(`cut ${cut}: acknowledged ${acknowledged}, there ${current}`);
    }
    check(true, `${CUTS} cuts`);
  },
} satisfies Case;
