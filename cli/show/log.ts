import { GatewayError } from '#core/result.ts';
import { defineCommand } from '../command.ts';
import { logLine } from '../log-line.ts';
import { followTool } from '../tool.ts';
import { wholeNumber } from '../values.ts';

const DEFAULT_LINES = 100;
const MAX_LINES = 100_000;
const UNIT_NAME = /^[a-z]{1,32}(@\w{1,16})?$/;

/** Where there is no systemd the daemons write to wherever they were started from. */
const noJournal = (why: string): GatewayError => new GatewayError('DAEMON_UNREACHABLE', { tool: 'journalctl', why: `there is no journal of the gateway here (${why}): without systemd the daemons write to where they were started` });

function withoutJournal(error: unknown): never {
  throw error instanceof GatewayError && error.detail['tool'] !== undefined ? noJournal(String(error.detail['why'])) : error;
}

export default defineCommand({
  path: 'show log',
  access: 'diagnose',
  help: 'what the daemons wrote into the journal, oldest first',
  args: {
    daemon: { type: 'option', help: 'only of this one: sipd, mediad@1, healthd ...', values: 'daemon' },
    lines: { type: 'option', help: `how many of the last; default ${DEFAULT_LINES}`, values: [] },
    since: { type: 'option', help: 'as journalctl takes it: "10 min ago", "2026-11-22 08:00"', values: [] },
    follow: { type: 'flag', help: 'and what comes, until Ctrl-C' },
    json: { type: 'flag', help: 'as the journal has it, one object a line' },
  },
  async run(context, { daemon, lines: wanted, since, follow, json }) {
    if (daemon !== undefined && !UNIT_NAME.test(daemon)) throw new GatewayError('BAD_REQUEST', { daemon, why: 'expected a name such as sipd or mediad@1' });
    const count = wholeNumber('lines', wanted, { min: 1, max: MAX_LINES, otherwise: DEFAULT_LINES });
    const args = ['--no-pager', '--quiet', '-o', 'json', `--unit=viewlink-${daemon ?? '*'}`, `--lines=${count}`, ...(since === undefined ? [] : [`--since=${since}`]), ...(follow ? ['--follow'] : [])];
    const complaints: string[] = [];
    let lines = 0;
    const code = await followTool('journalctl', args, context.signal, line => ((lines += 1), context.out(json ? line : logLine(line))), line => void complaints.push(line)).catch(withoutJournal);
    if (code !== 0 && !context.signal.aborted) throw noJournal(complaints.at(-1) ?? `exit code ${code}`);
    if (lines === 0 && !json) context.out('nothing was written there');
    return 0;
  },
});
