/** The OpenAPI 3.1 document, out of the route table. */
import { z } from 'zod';
import { needsText } from '#core/access/roles.ts';
import { type Route, isSchema } from './route.ts';
import { ROUTES } from './routes/index.ts';
import { failure } from './schemas/common.ts';

type Node = Record<string, unknown>;

const TITLE = 'ViewLink Gateway';
const VERSION = '1.0.0';

let made: Node | undefined;

/** Made once: the table does not change. */
export function openApi(): Node {
  made ??= document();
  return made;
}

function document(): Node {
  const schemas: Node = {};
  const paths: Record<string, Node> = {};
  for (const route of ROUTES) (paths[route.path] ??= {})[route.method.toLowerCase()] = operation(route, schemas);
  return {
    openapi: '3.1.0',
    info: { title: TITLE, version: VERSION, description: 'Times are milliseconds since 1970. Failures are answered with a Failure: a code to branch on, words, and facts.' },
    paths,
    components: { schemas: Object.fromEntries(Object.entries(schemas).sort(([a], [b]) => (a < b ? -1 : 1))), securitySchemes: { bearer: { type: 'http', scheme: 'bearer' }, certificate: { type: 'mutualTLS' } } },
  };
}

function operation(route: Route, schemas: Node): Node {
  const take = (schema: z.ZodType, io: 'input' | 'output'): Node => lifted(schema, io, schemas);
  const isPublic = route.access === 'public';
  return {
    operationId: route.id,
    summary: route.summary,
    'x-access': needsText(route.access),
    'x-scope': route.scope,
    security: isPublic ? [] : [{ bearer: [] }, { certificate: [] }],
    parameters: [...parameters(route.params, 'path', take), ...parameters(route.query, 'query', take)],
    ...(route.body !== undefined && { requestBody: { required: true, content: { 'application/json': { schema: take(route.body, 'input') } } } }),
    responses: { ...answers(route, take), default: { description: 'It failed', content: { 'application/json': { schema: take(failure, 'output') } } } },
  };
}

function parameters(schema: z.ZodObject | undefined, place: 'path' | 'query', take: (schema: z.ZodType, io: 'input') => Node): Node[] {
  return Object.entries(schema?.shape ?? {}).map(([name, field]) => {
    const { description, asText, ...rest } = take(field as z.ZodType, 'input');
    return { name, in: place, required: place === 'path' || !(field as z.ZodType).safeParse(undefined).success, ...(description !== undefined && { description }), schema: asText ?? rest };
  });
}

function answers({ answer }: Route, take: (schema: z.ZodType, io: 'output') => Node): Node {
  if (answer === null) return { 204: { description: 'Done' } };
  if (isSchema(answer)) return { 200: { description: 'Done', content: { 'application/json': { schema: take(answer, 'output') } } } };
  return { 200: { description: 'Done', content: { [answer.contentType]: { schema: answer.contentType.startsWith('image/') ? { type: 'string', contentEncoding: 'binary' } : { type: 'string' } } } } };
}

/** Schemas that have a name stand once, under it. */
function lifted(schema: z.ZodType, io: 'input' | 'output', schemas: Node): Node {
  const { $schema: _, $defs, ...root } = z.toJSONSchema(schema, { io, target: 'draft-2020-12' }) as Node & { $defs?: Node };
  for (const [name, definition] of Object.entries($defs ?? {})) schemas[name] = referring(definition);
  const { id, ...own } = root;
  if (typeof id !== 'string') return referring(own) as Node;
  schemas[id] = referring(own);
  return { $ref: `#/components/schemas/${id}` };
}

function referring(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(referring);
  if (typeof node !== 'object' || node === null) return node;
  return Object.fromEntries(Object.entries(node).filter(([key, value]) => !(key === 'id' && typeof value === 'string' && 'type' in node)).map(([key, value]) => [key, key === '$ref' && typeof value === 'string' ? value.replace('#/$defs/', '#/components/schemas/') : referring(value)]));
}
