/** JSON Schema, as far as zod writes it, to TypeScript. */
export interface Node {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly items?: Node;
  readonly properties?: Readonly<Record<string, Node>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: Node | boolean;
  readonly anyOf?: readonly Node[];
  readonly oneOf?: readonly Node[];
  readonly default?: unknown;
  readonly description?: string;
}

export const REFERENCE = '#/components/schemas/';

/** `place`: for the message when it is something new. */
export function typeOf(node: Node, place: string): string {
  if (node.$ref !== undefined) return node.$ref.slice(REFERENCE.length);
  if (node.const !== undefined) return literal(node.const);
  if (node.enum !== undefined) return node.enum.map(literal).join(' | ');
  const choices = node.anyOf ?? node.oneOf;
  if (choices !== undefined) return [...new Set(choices.map(choice => typeOf(choice, place)))].join(' | ');
  if (Array.isArray(node.type)) return node.type.map(type => typeOf({ ...node, type }, place)).join(' | ');
  switch (node.type) {
    case 'string':
    case 'boolean':
    case 'null':
      return node.type;
    case 'integer':
    case 'number':
      return 'number';
    case 'array':
      return `readonly ${grouped(typeOf(node.items ?? {}, place))}[]`;
    case 'object':
      return objectOf(node, place);
    case undefined:
      return 'unknown';
    default:
      throw new Error(`${place}: no type for ${JSON.stringify(node)}`);
  }
}

function objectOf({ properties, required = [], additionalProperties }: Node, place: string): string {
  if (properties === undefined) return `Readonly<Record<string, ${typeof additionalProperties === 'object' ? typeOf(additionalProperties, place) : 'unknown'}>>`;
  const fields = Object.entries(properties).map(([name, field]) => `readonly ${name}${required.includes(name) ? '' : '?'}: ${typeOf(field, `${place}.${name}`)}`);
  return fields.length === 0 ? 'Readonly<Record<string, never>>' : `{ ${fields.join('; ')} }`;
}

const grouped = (type: string): string => (/[|&]|^readonly /.test(type) && !type.startsWith('{') ? `(${type})` : type);

const literal = (value: unknown): string => (typeof value === 'string' ? `'${value.replaceAll("'", "\\'")}'` : JSON.stringify(value));
