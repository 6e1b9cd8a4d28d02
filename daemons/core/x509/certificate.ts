/**
 * Certificates (RFC 5280, ECDSA over P-256): one that vouches for itself, so that the API speaks TLS before anybody has brought a
 * better one, and those of a pair, which the pair's own authority vouches for.
 */
import { concatBytes } from '../bytes.ts';
import { BEIJING_OFFSET_MS, formatGbTime } from '../gb/gb-time.ts';
import { type WallMs, wallMs } from '../units.ts';

const SEQUENCE = 0x30;
const SET = 0x31;
const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const OBJECT_ID = 0x06;
const UTF8 = 0x0c;
const UTC_TIME = 0x17;
const GENERALIZED_TIME = 0x18;
const BOOLEAN = 0x01;
/** [n] constructed, and [n] primitive. */
const constructed = (n: number): number => 0xa0 | n;
const primitive = (n: number): number => 0x80 | n;

const ECDSA_SHA256 = Uint8Array.of(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02);
const COMMON_NAME = Uint8Array.of(0x55, 0x04, 0x03);
const SUBJECT_ALT_NAME = Uint8Array.of(0x55, 0x1d, 0x11);
const BASIC_CONSTRAINTS = Uint8Array.of(0x55, 0x1d, 0x13);
const DNS_NAME = 2;
const IP_ADDRESS = 7;

export interface CertificateParts {
  /** ASCII; also a DNS name of the certificate. */
  readonly name: string;
  /** 4 or 16 octets each. */
  readonly addresses: readonly Uint8Array[];
  /** Random, 16 octets. */
  readonly serial: Uint8Array;
  readonly notBefore: WallMs;
  readonly notAfter: WallMs;
  /** SubjectPublicKeyInfo of the key, DER. */
  readonly publicKey: Uint8Array;
  /** Name of the authority that signs; without it the certificate signs itself, and may sign others. */
  readonly issuer?: string;
}

/** "No well-defined end" (4.1.2.5): the trust ends some other way than by the calendar. */
export const NO_END: WallMs = wallMs(253_402_300_799_000);

/** What is signed, DER. */
export function toBeSigned({ name, addresses, serial, notBefore, notAfter, publicKey, issuer }: CertificateParts): Uint8Array {
  const subject = distinguished(name);
  const names = tlv(SEQUENCE, tlv(primitive(DNS_NAME), ascii(name)), ...addresses.map(address => tlv(primitive(IP_ADDRESS), address)));
  const extensions = tlv(SEQUENCE, extension(SUBJECT_ALT_NAME, names), extension(BASIC_CONSTRAINTS, issuer === undefined ? tlv(SEQUENCE, tlv(BOOLEAN, Uint8Array.of(0xff))) : tlv(SEQUENCE), true));
  return tlv(
    SEQUENCE,
    tlv(constructed(0), tlv(INTEGER, Uint8Array.of(2))),
    // Positive, and no needless zero before it.
    tlv(INTEGER, Uint8Array.of(0x40 | (serial[0]! & 0x3f), ...serial.subarray(1))),
    tlv(SEQUENCE, tlv(OBJECT_ID, ECDSA_SHA256)),
    issuer === undefined ? subject : distinguished(issuer),
    tlv(SEQUENCE, time(notBefore), time(notAfter)),
    subject,
    publicKey,
    tlv(constructed(3), extensions),
  );
}

/** The certificate, DER. `signature`: ECDSA with SHA-256 over `signed`, DER. */
export const certificate = (signed: Uint8Array, signature: Uint8Array): Uint8Array => tlv(SEQUENCE, signed, tlv(SEQUENCE, tlv(OBJECT_ID, ECDSA_SHA256)), tlv(BIT_STRING, Uint8Array.of(0), signature));

const distinguished = (name: string): Uint8Array => tlv(SEQUENCE, tlv(SET, tlv(SEQUENCE, tlv(OBJECT_ID, COMMON_NAME), tlv(UTF8, ascii(name)))));

function extension(id: Uint8Array, value: Uint8Array, critical = false): Uint8Array {
  return tlv(SEQUENCE, tlv(OBJECT_ID, id), ...(critical ? [tlv(BOOLEAN, Uint8Array.of(0xff))] : []), tlv(OCTET_STRING, value));
}

function tlv(tag: number, ...content: readonly Uint8Array[]): Uint8Array {
  const body = concatBytes(...content);
  const { length } = body;
  const head = length < 0x80 ? [tag, length] : length < 0x100 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 0xff];
  return concatBytes(Uint8Array.from(head), body);
}

const ascii = (text: string): Uint8Array => Uint8Array.from(text, char => char.charCodeAt(0) & 0x7f);

/** Up to 2049 with two digits of the year, then with four (4.1.2.5). */
function time(at: WallMs): Uint8Array {
  const digits = formatGbTime(wallMs(at - BEIJING_OFFSET_MS)).replace(/\D/g, '');
  return digits < '2050' ? tlv(UTC_TIME, ascii(`${digits.slice(2)}Z`)) : tlv(GENERALIZED_TIME, ascii(`${digits}Z`));
}
