/** The daily inspection: what is wrong, what is good, how the day went; on the terminal, or as a file for those who read it later. */
import { writeFile } from 'node:fs/promises';
import { GatewayError } from '#core/result.ts';
import { defineCommand, JSON_FLAG } from '../command.ts';
import { inspectionFacts } from '../inspect/facts.ts';
import { inspectionHtml } from '../inspect/html.ts';
import { inspectionOf } from '../inspect/report.ts';
import { inspectionText } from '../inspect/text.ts';
import { version } from '../version.ts';

export default defineCommand({
  path: 'inspect',
  access: 'read',
  help: 'the daily inspection of everything; exit code 1 when something is not good',
  args: { html: { type: 'option', help: 'write it to this file as a page that needs nothing else', values: 'file' }, json: JSON_FLAG },
  async run(context, { html, json }) {
    const facts = await inspectionFacts(context, version());
    const inspection = inspectionOf(facts);
    if (html === undefined) context.print(facts, json, () => inspectionText(inspection));
    else {
      await written(html, inspectionHtml(inspection));
      context.out(`${html}: ${inspection.title}`);
    }
    return inspection.mark === 'good' && facts.silent.length === 0 ? 0 : 1;
  },
});

async function written(path: string, text: string): Promise<void> {
  try {
    await writeFile(path, text, { mode: 0o640 });
  } catch (error) {
    throw new GatewayError('BAD_REQUEST', { file: path, why: (error as Error).message }, { cause: error });
  }
}
