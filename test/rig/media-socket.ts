/** A bare media socket: sees what comes to an address, and sends RTP written by hand. */
import { type Socket, createSocket } from 'node:dgram';
import { once } from 'node:events';
import type { Place } from './sip-text.ts';

export interface HeardPacket {
  readonly from: Place;
  readonly bytes: Buffer;
}

/** A pack header and a start of PS: what a payload probe takes for a program stream. */
const PS = Buffer.concat([Buffer.from('000001ba44000400040100000000f8', 'hex').subarray(0, 14), Buffer.from('000001e00003800000', 'hex')]);

export class MediaSocket implements AsyncDisposable {
  readonly heard: HeardPacket[] = [];
  readonly #socket: Socket;
  #seq = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('message', (bytes, info) => void this.heard.push({ bytes, from: { address: info.address, port: info.port } }));
  }

  /** On an even port unless one is named: RTP takes no others. */
  static async open(address: string, port?: number): Promise<MediaSocket> {
    for (;;) {
      const socket = createSocket('udp4');
      socket.bind(port ?? 0, address);
      await once(socket, 'listening');
      if (port !== undefined || socket.address().port % 2 === 0) return new MediaSocket(socket);
      await new Promise<void>(resolve => socket.close(resolve));
    }
  }

  get place(): Place {
    const { address, port } = this.#socket.address();
    return { address, port };
  }

  /** One packet of the SSRC, PS inside, numbers going up. */
  rtp(ssrc: number, to: Place, payloadType = 96): void {
    const header = Buffer.alloc(12);
    header[0] = 0x80;
    header[1] = 0x80 | payloadType;
    header.writeUInt16BE((this.#seq += 1) & 0xffff, 2);
    header.writeUInt32BE(this.#seq * 3600, 4);
    header.writeUInt32BE(ssrc, 8);
    this.#socket.send(Buffer.concat([header, PS]), to.port, to.address);
  }

  get ssrcs(): number[] {
    return [...new Set(this.heard.map(({ bytes }) => (bytes.length >= 12 ? bytes.readUInt32BE(8) : -1)))];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise<void>(resolve => this.#socket.close(resolve));
  }
}
