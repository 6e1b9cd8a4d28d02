import { defineCommand, JSON_FLAG } from '../command.ts';

const GONE = 'it was shown or used already; another security officer can make a new one';

export default defineCommand({
  path: 'api first-password',
  access: 'security',
  help: 'the first log-in of the HTTP API, once; root only',
  args: { json: JSON_FLAG },
  async run(context, { json }) {
    const first = await context.apid(client => client.call('takeFirstPassword', {}));
    if (first === null && json) return context.print({ error: { code: 'NOT_PERMITTED', message: GONE, detail: {} } }, true, () => ''), 1;
    context.print(first, json, found => (found === null ? GONE : `${found.user} ${found.password}\nIt must be changed at the first log-in, and is not shown again.`));
    return first === null ? 1 : 0;
  },
});
