/** The text of the client: one interface for each named schema, one method for each operation. */
import { type Node, typeOf } from './types.ts';

export interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly 'x-access': string;
  readonly parameters: readonly { readonly name: string; readonly in: 'path' | 'query'; readonly required: boolean; readonly schema: Node }[];
  readonly requestBody?: { readonly content: { readonly 'application/json': { readonly schema: Node } } };
  readonly responses: Readonly<Record<string, { readonly content?: Readonly<Record<string, { readonly schema: Node }>> }>>;
}

export interface OpenApiDocument {
  readonly info: { readonly version: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Node>> };
}

export function clientText({ info, paths, components }: OpenApiDocument): string {
  const operations = Object.entries(paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, operation]) => methodText(path, method.toUpperCase(), operation)));
  const types = Object.entries(components.schemas).map(([name, schema]) => typeText(name, schema));
  return [
    `/** The HTTP API of ViewLink Gateway, version ${info.version}, as a client. Written by scripts/api-client out of the OpenAPI document; not edited. */`,
    "import { type EventOptions, type GatewayEvent, Transport } from './transport.ts';",
    '',
    "export { type ClientOptions, type EventOptions, type GatewayEvent, type TokenPair, ViewLinkError } from './transport.ts';",
    '',
    ...types,
    'const part = encodeURIComponent;',
    '',
    'export class ViewLinkClient extends Transport {',
    operations.join('\n\n'),
    '}',
    '',
  ].join('\n');
}

function typeText(name: string, schema: Node): string {
  const type = typeOf(schema, name);
  const comment = schema.description === undefined ? '' : `/** ${schema.description} */\n`;
  if (schema.type !== 'object' || !type.startsWith('{')) return `${comment}export type ${name} = ${type};\n`;
  const fields = Object.entries(schema.properties ?? {}).map(([field, node]) => `${node.description === undefined ? '' : `  /** ${node.description} */\n`}  readonly ${field}${schema.required?.includes(field) === true ? '' : '?'}: ${typeOf(node, `${name}.${field}`)};`);
  return `${comment}export interface ${name} {\n${fields.join('\n')}\n}\n`;
}

function methodText(path: string, method: string, operation: Operation): string {
  const { operationId, summary, parameters, requestBody } = operation;
  const inPath = parameters.filter(each => each.in === 'path');
  const inQuery = parameters.filter(each => each.in === 'query');
  const place = `${method} ${path}`;
  const comment = `  /** ${summary}. ${place}, needs: ${operation['x-access']}. */`;
  const args = inPath.map(({ name, schema }) => `${name}: ${typeOf(schema, place)}`);
  const url = `\`${path.replaceAll(/\{(\w+)\}/g, (_, name: string) => `\${part(${inPath.find(each => each.name === name)?.schema.type === 'string' ? name : `String(${name})`})}`)}\``;
  const answer = answerOf(operation, place);
  if (answer.how === 'stream') return `${comment}\n  ${operationId}(options: EventOptions = {}): AsyncGenerator<GatewayEvent> {\n    return this.stream(${url}, options);\n  }`;
  if (requestBody !== undefined) args.push(`body: ${typeOf(requestBody.content['application/json'].schema, place)}`);
  if (inQuery.length > 0) args.push(`query: { ${inQuery.map(({ name, required, schema }) => `readonly ${name}${required ? '' : '?'}: ${typeOf(schema, place)}`).join('; ')} }${inQuery.some(({ required }) => required) ? '' : ' = {}'}`);
  const asked = [`method: '${method}'`, `path: ${url}`, ...(inQuery.length > 0 ? ['query'] : []), ...(requestBody === undefined ? [] : ['body'])];
  return `${comment}\n  ${operationId}(${args.join(', ')}): Promise<${answer.type}> {\n    return this.${answer.how}({ ${asked.join(', ')} });\n  }`;
}

function answerOf({ responses }: Operation, place: string): { readonly how: 'json' | 'bytes' | 'text' | 'stream'; readonly type: string } {
  const [contentType, content] = Object.entries(responses['200']?.content ?? {})[0] ?? [];
  if (contentType === undefined || content === undefined) return { how: 'json', type: 'null' };
  if (contentType === 'application/json') return { how: 'json', type: typeOf(content.schema, place) };
  if (contentType.startsWith('image/')) return { how: 'bytes', type: 'Uint8Array' };
  return contentType === 'text/event-stream' ? { how: 'stream', type: '' } : { how: 'text', type: 'string' };
}
