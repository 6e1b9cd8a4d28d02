import { EXIT_CODE, GatewayError } from '#core/result.ts';
import { defineCommand, JSON_FLAG } from '../command.ts';
import { authorOf } from '../identity.ts';

export default defineCommand({
  path: 'alarm ack',
  access: 'operate',
  help: 'say that an alarm was seen: it stands until its cause is gone',
  args: { id: { type: 'argument', help: 'number of the alarm, as show alarms tells' }, json: JSON_FLAG },
  async run(context, { id, json }) {
    if (!/^\d{1,15}$/.test(id)) throw new GatewayError('BAD_REQUEST', { id, why: 'expected the number of an alarm' });
    try {
      await context.healthd(client => client.call('acknowledge', { alarmId: Number(id), author: authorOf(context.identity) }));
    } catch (error) {
      if (!(error instanceof GatewayError) || error.code !== 'PEER_UNKNOWN' || json) throw error;
      context.err(`no such alarm: ${id}`);
      return EXIT_CODE.PEER_UNKNOWN;
    }
    context.print({ alarmId: Number(id), by: context.identity.user }, json, () => `alarm ${id} is seen by ${context.identity.user}`);
    return 0;
  },
});
