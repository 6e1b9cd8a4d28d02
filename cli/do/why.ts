import type { WhyReport, WhyStep } from '#contracts/sipd.ts';
import { defineCommand, JSON_FLAG } from '../command.ts';

/** A probe plays the channel for some seconds. */
const TIMEOUT_MS = 60_000;
const BROKEN = 1;
const MARK: Readonly<Record<WhyStep['verdict'], string>> = { ok: 'ok    ', broken: 'BROKEN', unknown: '?     ' };

function format({ channel, verdict, firstBroken, steps }: WhyReport): string {
  const lines = steps.flatMap(step => {
    const evidence = step.step === firstBroken ? Object.entries(step.evidence).map(([key, value]) => `           ${key}: ${value ?? 'none'}`) : [];
    return [`  ${MARK[step.verdict]} ${step.step.padEnd(10)} ${step.says}`, ...evidence];
  });
  const heading = verdict === 'playable' ? `${channel} is playable` : `${channel} does not play: ${firstBroken ?? 'unknown'}`;
  return [heading, ...lines].join('\n');
}

export default defineCommand({
  path: 'why',
  access: 'read',
  help: 'why a channel does not play: the first broken step and its evidence; exit code 1 when broken',
  args: {
    channel: { type: 'argument', help: 'channel ID, the ID that an upstream knows it by, or a part of its name' },
    probe: { type: 'flag', help: 'play it for some seconds when nobody does' },
    json: JSON_FLAG,
  },
  async run(context, { channel, probe, json }) {
    if (probe) context.progress(`${channel}: played for some seconds`);
    const report = await context.sipd(client => client.call('why', { channel, probe }, { timeoutMs: TIMEOUT_MS })).finally(() => context.progress(''));
    context.print(report, json, format);
    return report.verdict === 'playable' ? 0 : BROKEN;
  },
});
