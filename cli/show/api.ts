import type { ApidStatus, WebhookRow } from '#contracts/apid.ts';
import { defineCommand, JSON_FLAG } from '../command.ts';
import { type Column, table } from '../render.ts';

const COLUMNS: readonly Column<WebhookRow>[] = [
  { title: 'WEBHOOK', value: row => row.name },
  { title: 'AT', value: row => row.target },
  { title: 'STATE', value: row => row.state },
  { title: 'WAITING', value: row => row.queued, align: 'right' },
  { title: 'TAKEN', value: row => row.delivered, align: 'right' },
  { title: 'DROPPED', value: row => row.dropped, align: 'right' },
  { title: 'WHY', value: row => row.why },
];

function describe(status: ApidStatus): string {
  const places = status.listening.map(({ address, port, tls, why }) => `${tls ? 'https' : 'http'}://${address.includes(':') ? `[${address}]` : address}:${port}${why === null ? '' : ` (not yet: ${why})`}`);
  const lines = [
    `listens at   ${places.length === 0 ? 'nowhere: set api.listen' : places.join(', ')}`,
    ...(status.certificateSha256 === null ? [] : [`certificate  ${status.certificateSha256}${status.selfSigned ? ', vouches for itself' : ''}`]),
    `users        ${status.users}${status.firstPasswordWaits ? ', the first log-in waits: vlink api first-password' : ''}`,
    `tokens       ${status.accessTokens} log-ins, ${status.listeners} listen to events`,
  ];
  return status.webhooks.length === 0 ? lines.join('\n') : `${lines.join('\n')}\n\n${table(status.webhooks, COLUMNS, '')}`;
}

export default defineCommand({
  path: 'show api',
  access: 'read',
  help: 'the HTTP API: where it listens, its certificate, log-ins and webhooks',
  args: { json: JSON_FLAG },
  async run(context, { json }) {
    context.print(await context.apid(client => client.call('status', {})), json, describe);
    return 0;
  },
});
