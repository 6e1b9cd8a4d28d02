/**
 * Bytes that a correct SIP stack does not send: a UDP relay in front of the camera's endpoint, seen by the platform as the camera.
 * What the camera sends passes through `mangle`; what comes back passes untouched.
 */
import { type Socket, createSocket } from 'node:dgram';
import { once } from 'node:events';
import type { Quirks } from './quirks.ts';

const MANGLING = ['content-length-zero', 'header-spaces', 'no-contact-in-200', 'lower-case-headers'] as const;

export const needsMangler = (quirks: Quirks): boolean => MANGLING.some(quirk => quirks.has(quirk));

/** Rewrites the header lines of one datagram. Body octets stay as they are. */
export function mangle(datagram: Buffer, quirks: Quirks): Buffer {
  const end = datagram.indexOf('\r\n\r\n');
  if (end < 0) return datagram;
  const [start = '', ...fields] = datagram.toString('latin1', 0, end).split('\r\n');
  const isInviteAnswer = start.startsWith('SIP/2.0 200') && fields.some(field => /^cseq:.*INVITE$/i.test(field));
  const kept = quirks.has('no-contact-in-200') && isInviteAnswer ? fields.filter(field => !/^(contact|m)\s*:/i.test(field)) : fields;
  const changed = kept.map(field => mangleField(field, quirks, datagram.length > end + 4));
  return Buffer.concat([Buffer.from([start, ...changed].join('\r\n'), 'latin1'), datagram.subarray(end)]);
}

function mangleField(field: string, quirks: Quirks, hasBody: boolean): string {
  const colon = field.indexOf(':');
  if (colon < 0) return field;
  const name = field.slice(0, colon).trim();
  const value = quirks.has('content-length-zero') && hasBody && name.toLowerCase() === 'content-length' ? '0' : field.slice(colon + 1).trim();
  return `${quirks.has('lower-case-headers') ? name.toLowerCase() : name}:${quirks.has('header-spaces') ? '         ' : ' '}${value}`;
}

export class WireMangler implements AsyncDisposable {
  readonly #outer: Socket;
  readonly #inner: Socket;
  /** Where the camera's endpoint sends instead of to the platform. */
  readonly port: number;
  readonly address: string;
  #camera: { address: string; port: number } | undefined;

  private constructor(outer: Socket, inner: Socket, platform: { address: string; port: number }, quirks: Quirks) {
    this.#outer = outer;
    this.#inner = inner;
    ({ address: this.address, port: this.port } = inner.address());
    inner.on('message', (datagram, from) => {
      this.#camera = { address: from.address, port: from.port };
      outer.send(mangle(datagram, quirks), platform.port, platform.address);
    });
    outer.on('message', datagram => {
      if (this.#camera !== undefined) inner.send(datagram, this.#camera.port, this.#camera.address);
    });
  }

  /** `outerAddress`: our address toward the platform. */
  static async open(platform: { address: string; port: number }, outerAddress: string, quirks: Quirks): Promise<WireMangler> {
    const type = outerAddress.includes(':') ? 'udp6' : 'udp4';
    const [outer, inner] = [createSocket(type), createSocket(type)];
    outer.bind(0, outerAddress);
    inner.bind(0, outerAddress);
    await Promise.all([once(outer, 'listening'), once(inner, 'listening')]);
    return new WireMangler(outer, inner, platform, quirks);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#outer, this.#inner].map(socket => new Promise<void>(resolve => socket.close(resolve))));
  }
}
