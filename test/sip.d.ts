/** The part of npm `sip` 0.0.6 that the tests use; the package has no types. */
declare module 'sip' {
  export interface Params {
    [name: string]: string | null | undefined;
  }
  export interface Address {
    name?: string | undefined;
    uri: string;
    params: Params;
  }
  export interface Headers {
    via?: { host: string; port?: number; protocol: string; params: Params }[];
    from: Address;
    to: Address;
    'call-id': string;
    cseq: { seq: number; method: string };
    contact?: Address[];
    [name: string]: unknown;
  }
  export interface Message {
    method?: string;
    uri?: string;
    status?: number;
    reason?: string;
    headers: Headers;
    content?: string;
  }
  export interface Remote {
    address: string;
    port: number;
    protocol: string;
  }
  export interface Stack {
    send(message: Message, onResponse?: (response: Message) => void): void;
    destroy(): void;
  }
  export interface Options {
    address: string;
    port: number;
    udp?: boolean;
    tcp?: boolean;
    logger?: { error(error: Error): void };
  }
  const sip: {
    create(options: Options, onRequest: (request: Message, remote: Remote) => void): Stack;
    makeResponse(request: Message, status: number, reason?: string): Message;
    parse(text: string): Message | undefined;
  };
  export default sip;
}
