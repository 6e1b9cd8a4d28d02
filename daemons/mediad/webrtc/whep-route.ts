/**
 * WHEP (RFC 9725's counterpart for viewers, draft-ietf-wish-whep): POST /whep/CHANNEL with an SDP offer, answered 201 with the session's
 * Location; DELETE there ends it. Candidates stand in the answer: nothing is trickled.
 */
import type { ServerResponse } from 'node:http';
import { GatewayError } from '#core/result.ts';
import { MAX_OFFER_BYTES, parseWhepOffer } from '#core/webrtc/offer.ts';
import { failureOf, type HttpExchange, type HttpRoute, readBody, sendFailure } from '../http-route.ts';
import { WhepSession, type WhepWorld } from './whep-session.ts';

const SDP_TYPE = 'application/sdp';

export class WhepRoute implements HttpRoute, Disposable {
  readonly prefix = 'whep';
  readonly methods = ['POST', 'DELETE'];
  readonly #world: WhepWorld;
  readonly #sessions = new Map<string, WhepSession>();

  constructor(world: WhepWorld) {
    this.#world = world;
  }

  get sessions(): number {
    return this.#sessions.size;
  }

  async handle(exchange: HttpExchange, response: ServerResponse): Promise<void> {
    if (exchange.request.method === 'DELETE') return this.#delete(exchange, response);
    const { path, request, remote, user } = exchange;
    if (path.extension !== '' || path.file !== '') throw new GatewayError('CHANNEL_UNKNOWN', { why: 'expected /whep/CHANNEL' });
    const type = request.headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase();
    if (type !== SDP_TYPE) return sendFailure(response, failureOf('BAD_REQUEST', 415, { 'Accept-Post': SDP_TYPE }));
    const offer = (await readBody(request, MAX_OFFER_BYTES)).toString('latin1');
    // Before a camera is asked for anything.
    const parsed = parseWhepOffer(offer);
    if (!parsed.ok) throw new GatewayError('BAD_REQUEST', { why: parsed.error.why });
    const session = await WhepSession.open(path, offer, { remote, user }, this.#world);
    this.#sessions.set(session.id, session);
    session.onClosed = () => this.#sessions.delete(session.id);
    if (response.destroyed) return session.close('the viewer went away');
    const body = session.answer;
    const token = path.token === null ? '' : `?token=${path.token}`;
    response.writeHead(201, { 'Content-Type': SDP_TYPE, 'Content-Length': Buffer.byteLength(body), 'Location': `/whep/${path.channel}/${session.id}${token}`, 'Cache-Control': 'no-store' });
    response.end(body);
  }

  [Symbol.dispose](): void {
    for (const session of [...this.#sessions.values()]) session.close('the gateway stops');
  }

  #delete({ path }: HttpExchange, response: ServerResponse): void {
    const session = this.#sessions.get(path.file);
    if (session === undefined || session.path.channel !== path.channel) throw new GatewayError('CHANNEL_UNKNOWN', { why: 'no such session' });
    session.close('DELETE');
    response.writeHead(200, { 'Content-Length': 0 }).end();
  }
}
