/**
 * A route of the HTTP API is data: where it stands, who may, what goes in and comes out, what it does. What is not in the table
 * (routes/index.ts) does not exist; the OpenAPI document and the client are made of it.
 */
import type { FastifyReply } from 'fastify';
import type { z } from 'zod';
import type { Json } from '#contracts/configd.ts';
import type { ChannelRow } from '#contracts/sipd.ts';
import type { Needs } from '#core/access/roles.ts';
import type { Caller } from './caller.ts';
import type { Services } from './services.ts';

export const API_BASE = '/api/v1';

/**
 * - `public`: nobody has to say who he is. - `self`: whoever has logged in, for what is his own.
 * - `metrics`: `read`, or from one of the networks that may read the metrics.
 */
export type RouteAccess = Needs | 'public' | 'self' | 'metrics';

/**
 * What of the channels below it concerns. - `none`: nothing. - `channel`: the one that its path names, which the caller must be allowed
 * to see. - `filtered`: the answer holds only what he may see. - `whole`: everything, so that he must be allowed to see all.
 */
export type RouteScope = 'none' | 'channel' | 'filtered' | 'whole';

export interface Answered {
  readonly contentType: string;
  readonly bytes: Uint8Array | string;
}

export interface Call<Params, Query, Body> {
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
  readonly caller: Caller;
  /** With scope `channel`. */
  readonly channel: ChannelRow;
  readonly services: Services;
  readonly reply: FastifyReply;
  /** For the audit log: what it was done to, and how it was and is. */
  note(facts: { readonly target?: string; readonly before?: Json; readonly after?: Json }): void;
}

export interface Route {
  readonly id: string;
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** With `{name}` for parameters. */
  readonly path: string;
  readonly summary: string;
  readonly access: RouteAccess;
  readonly scope: RouteScope;
  /** Action in the audit log; every write has one. */
  readonly audit?: string;
  /** configd writes down what it did itself; that it begins, and what came to nothing, is ours to write. */
  readonly auditedBelow?: true;
  readonly params?: z.ZodObject;
  readonly query?: z.ZodObject;
  readonly body?: z.ZodType;
  /** `json`: the schema is that of the body. `stream`: the handler writes by itself. Null: 204. */
  readonly answer: z.ZodType | { readonly contentType: string; readonly stream?: true } | null;
  readonly maxBodyBytes?: number;
  handle(call: Call<never, never, never>): unknown;
}

type Of<Schema> = Schema extends z.ZodType ? z.output<Schema> : Record<string, never>;
/** What a handler answers need not be ours to change. */
type Loose<T> = T extends readonly (infer Each)[] ? readonly Loose<Each>[] : T extends object ? { readonly [Key in keyof T]: Loose<T[Key]> } : T;
type AnswerOf<Schema> = Schema extends z.ZodType ? Loose<z.output<Schema>> : Schema extends { readonly stream: true } ? unknown : Schema extends { readonly contentType: string } ? Answered : null | void;

/** Ties the schemas to what `handle` receives and answers. */
export function defineRoute<
  const Params extends z.ZodObject | undefined = undefined,
  const Query extends z.ZodObject | undefined = undefined,
  const Body extends z.ZodType | undefined = undefined,
  const Answer extends Route['answer'] = null,
>(
  route: Omit<Route, 'params' | 'query' | 'body' | 'answer' | 'handle'> & {
    readonly params?: Params;
    readonly query?: Query;
    readonly body?: Body;
    readonly answer: Answer;
    handle(call: Call<Of<Params>, Of<Query>, Of<Body>>): AnswerOf<Answer> | Promise<AnswerOf<Answer>>;
  },
): Route {
  return route as unknown as Route;
}

export const isSchema = (answer: Route['answer']): answer is z.ZodType => answer !== null && '_zod' in answer;
