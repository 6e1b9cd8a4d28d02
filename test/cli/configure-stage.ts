/** `vlink configure` at a terminal, with the real configd: run by transcript.test.ts on a machine of its own. Prints JSON. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { DaemonProcess } from '../../scripts/lab/daemon-process.ts';
import { ptySession } from '../rig/pty-session.ts';

const PROMPT = '# \\x1b\\[\\d+G$';

await using configd = await DaemonProcess.start({ name: 'configd', entry: 'daemons/configd/main.ts', args: ['--config', '/etc/viewlink/gateway.yaml'], readyEvent: 'configd.ready', logPath: '/run/configd.log' });
const outcome = await ptySession({
  argv: [join(import.meta.dirname, '../../cli/vlink'), 'configure'],
  env: { PATH: '/usr/bin:/bin', HOME: '/run', TERM: 'xterm', LANG: 'C.UTF-8' },
  steps: [
    { expect: PROMPT },
    { send: 'set log le\t', expect: 'level ' },
    { send: '?', expect: 'debug .*least severity.*log level ' },
    { send: 'debug\r', expect: `\\*${PROMPT}` },
    { send: 'set devices known 34020000001180000001 password\r', expect: 'password: ' },
    { send: 'CANARY-secret\r', expect: 'again: ' },
    { send: 'CANARY-secret\r', expect: PROMPT },
    { send: 'compare\r', expect: `password.*\\*\\*\\*.*log.level: info -> debug.*${PROMPT}` },
    { send: 'exit\r', expect: `commit, or exit discard.*${PROMPT}` },
    { send: 'commit confirm 5 comment first try\r', expect: `revision 2 is in force until.*${PROMPT}` },
    { send: 'run config history | include first\r', expect: `2 .*first try.*\\[!confirm 5 min\\] .*${PROMPT}` },
    { send: 'confirm\r', expect: `revision 2 stays.*${PROMPT}` },
    { send: 'exit\r' },
  ],
});
const history = execFileSync('cat', ['/run/.vlink_history'], { encoding: 'utf8' });
const leaked = execFileSync('sh', ['-c', 'grep -rl CANARY /etc/viewlink /var/lib/viewlink /run || true'], { encoding: 'utf8' });
process.stdout.write(JSON.stringify({ ...outcome, history, leaked }));
void configd;
