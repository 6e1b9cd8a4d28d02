import { EXIT_CODE } from '#core/result.ts';
import { formatProblem, loadConfig } from '#kit/config-store.ts';
import { defineCommand, JSON_FLAG, type Context } from '../command.ts';

/** True when the file is a good configuration; otherwise its problems were printed. */
export async function checkFile(context: Context, path: string): Promise<boolean> {
  const result = await loadConfig(path, 'unopened');
  if (!result.ok) for (const problem of result.problems) context.err(`${path}: ${formatProblem(problem)}`);
  return result.ok;
}

export default defineCommand({
  path: 'config check',
  access: 'read',
  help: 'every problem of a configuration with its line; exit code 2 when there is one',
  args: { file: { type: 'argument', help: 'default: the configuration of this machine', optional: true }, json: JSON_FLAG },
  async run(context, { file, json }) {
    const path = file ?? context.configPath;
    if (json) {
      const result = await loadConfig(path, 'unopened');
      context.print(result.ok ? [] : result.problems, true, () => '');
      return result.ok ? 0 : EXIT_CODE.CONFIG_INVALID;
    }
    if (!(await checkFile(context, path))) return EXIT_CODE.CONFIG_INVALID;
    context.out(`${path}: good`);
    return 0;
  },
});
