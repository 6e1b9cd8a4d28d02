import { GatewayError } from '#core/result.ts';
import { defineCommand } from '../command.ts';
import { ConfigureMode } from './mode.ts';

export default defineCommand({
  path: 'configure',
  access: 'configure',
  help: 'edits the configuration line by line: set, delete, show, compare, commit confirm 10, confirm, rollback',
  args: {},
  run(): Promise<number> {
    throw new GatewayError('BAD_REQUEST', { why: 'this needs a terminal: start vlink, then configure; in a script config set, config commit' });
  },
  async enter(context) {
    return await new ConfigureMode(context).begin(context);
  },
});
