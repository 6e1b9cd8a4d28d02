/** The commented reference configuration, written out of the schema: what is printed here is what the daemons assume when a key is missing. */
import { z } from 'zod';
import { type HelpLanguage, zhHelpOf } from './help-zh.ts';
import { gatewaySchema } from './schema.ts';

const HEADER: Readonly<Record<HelpLanguage, readonly string[]>> = {
  en: [
    'ViewLink Gateway: the configuration, complete, with its defaults. As shipped, nothing listens and nobody is admitted.',
    'Keys may be left out. Edit with `vlink configure`; after an editor: `vlink config check`, then `vlink config adopt`.',
    'This file is printed by scripts/config-reference.',
  ],
  zh: [
    'ViewLink 视图智联网关:完整配置及默认值。出厂时不监听任何端口,也不准入任何设备。',
    '各项均可省略。用 `vlink configure` 修改;直接编辑文件后,先 `vlink config check`,再 `vlink config adopt`。',
    '本文件由 scripts/config-reference 生成。',
  ],
};
const COMMENT_COLUMN = 44;

/** What is used here of JSON Schema, as zod writes it. */
interface Node {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly properties?: Readonly<Record<string, Node>>;
  readonly required?: readonly string[];
  readonly items?: Node;
}

/** YAML text, ending with a line end. Parses to exactly the schema's defaults. Its help is in English, or in Chinese. */
export function referenceConfig(language: HelpLanguage = 'en'): string {
  const root = withHelp(z.toJSONSchema(gatewaySchema, { io: 'input' }) as Node, '', language);
  const sections = Object.entries(root.properties ?? {}).flatMap(([key, node]) => ['', ...entryLines(key, node, 0)]);
  return [...HEADER[language].map(line => `# ${line}`), ...sections, ''].join('\n');
}

/** The same tree, described in this language. */
function withHelp(node: Node, at: string, language: HelpLanguage): Node {
  const properties = node.properties === undefined ? {} : { properties: Object.fromEntries(Object.entries(node.properties).map(([key, child]) => [key, withHelp(child, at === '' ? key : `${at}.${key}`, language)])) };
  const items = node.items === undefined ? {} : { items: withHelp(node.items, `${at}[]`, language) };
  const zh = language === 'zh' ? zhHelpOf(at) : undefined;
  return { ...node, ...properties, ...items, ...(zh === undefined ? {} : { description: zh }) };
}

function entryLines(key: string, node: Node, depth: number): readonly string[] {
  const indent = '  '.repeat(depth);
  if (node.properties !== undefined) return [commented(`${indent}${key}:`, node), ...Object.entries(node.properties).flatMap(([name, child]) => entryLines(name, child, depth + 1))];
  // What has no default is shown as a comment: absent, it is absent.
  if (node.default === undefined) return [commented(`${indent}# ${key}:`, node, 'optional; ')];
  const lines = [commented(`${indent}${key}: ${JSON.stringify(node.default)}`, node)];
  if (node.items?.properties !== undefined) lines.push(...exampleLines(node.items, depth + 1));
  return lines;
}

/** The fields of a list entry, as comments: the list itself is empty by default. */
function exampleLines(item: Node, depth: number): readonly string[] {
  const indent = '  '.repeat(depth);
  const lines = Object.entries(item.properties ?? {}).flatMap(([name, node]) => fieldLines(name, node, item.required?.includes(name) ?? false, ''));
  return lines.map((line, i) => `${indent}# ${i === 0 ? '- ' : '  '}${line}`);
}

function fieldLines(name: string, node: Node, required: boolean, indent: string): readonly string[] {
  if (node.properties !== undefined) return [commented(`${indent}${name}:`, node), ...Object.entries(node.properties).flatMap(([key, child]) => fieldLines(key, child, false, `${indent}  `))];
  const value = node.default === undefined ? '' : ` ${JSON.stringify(node.default)}`;
  const mark = required ? 'required; ' : node.default === undefined ? 'optional; ' : '';
  return [commented(`${indent}${name}:${value}`, node, mark), ...(node.items?.properties === undefined ? [] : exampleLines(node.items, 1).map(line => `${indent}${line}`))];
}

function commented(text: string, node: Node, mark = ''): string {
  return `${text.padEnd(COMMENT_COLUMN)} # ${mark}${node.description ?? ''}${bounds(node)}`;
}

function bounds({ enum: words, minimum, maximum }: Node): string {
  if (words !== undefined) return ` (${words.join(' | ')})`;
  return minimum === undefined || maximum === undefined ? '' : ` (${minimum} to ${maximum})`;
}
