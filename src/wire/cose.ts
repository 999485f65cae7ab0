/**
 * COSE_Sign1 (RFC 9052 4.2), tagged 18, as CAPS.md "The token" narrows it: the protected header is
 * {1: alg, 4: kid} and nothing more, and the unprotected header is empty. What nobody signed has no
 * say here, so a message that carries any is refused and not read around.
 */
import { CBOR_ARRAY, CBOR_BYTES, CBOR_TEXT, CborReader, checkCbor, headLength, writeHead, type CborFault } from "./cbor.js";

const SIGN1_TAG = 18;
const HEADER_ALG = 1, HEADER_KID = 4;
/** -7 ES256 and -9 ESP256 (RFC 9864): ECDSA on P-256 with SHA-256, both. */
const ES256 = 7, ESP256 = 9;
export const KID_BYTES = 8;
export const SIGNATURE_BYTES = 64;

/** Views into the message, not copies. */
export interface Sign1 {
  /** The protected header as it stands in the message: the signature is over these bytes. */
  readonly header: Uint8Array;
  readonly kid: Uint8Array;
  readonly payload: Uint8Array;
  /** r then s, 32 bytes each, big-endian. */
  readonly signature: Uint8Array;
}

export interface CoseFault {
  readonly fault: CborFault;
  /** In the whole message. */
  readonly offset: number;
  readonly field: string;
}

/** Takes a message apart, its payload checked to be one deterministic item at most `depthMax` deep. */
export function decodeSign1(bytes: Uint8Array, depthMax: number): Sign1 | CoseFault {
  const outer = new CborReader(bytes);
  outer.tag(SIGN1_TAG);
  if (outer.fault !== null) return { fault: outer.fault, offset: outer.offset, field: "COSE_Sign1 tag" };
  const shape = checkCbor(bytes, outer.at, bytes.length, depthMax);
  if (shape !== null) return { fault: shape.fault, offset: shape.offset, field: "COSE_Sign1" };
  outer.array(4, 4);
  const header = outer.byteString(1, bytes.length);
  outer.map(0);
  if (outer.fault !== null) return { fault: outer.fault, offset: outer.offset, field: "COSE headers" };
  const payload = outer.byteString(1, bytes.length);
  const signature = outer.byteString(SIGNATURE_BYTES, SIGNATURE_BYTES);
  if (outer.fault !== null) return { fault: outer.fault, offset: outer.offset, field: "payload or signature" };

  const start = header.byteOffset - bytes.byteOffset, end = start + header.length;
  const headerShape = checkCbor(bytes, start, end, depthMax);
  if (headerShape !== null) return { fault: headerShape.fault, offset: headerShape.offset, field: "protected header" };
  const inner = new CborReader(bytes, start, end);
  inner.map(2);
  inner.key(HEADER_ALG);
  if (inner.head() && !(inner.major === 1 && (inner.value === ES256 - 1 || inner.value === ESP256 - 1))) inner.fail("out of range", inner.at - 1);
  inner.key(HEADER_KID);
  const kid = inner.byteString(KID_BYTES, KID_BYTES);
  if (inner.fault !== null) return { fault: inner.fault, offset: inner.offset, field: "protected header" };

  const claims = payload.byteOffset - bytes.byteOffset;
  const payloadShape = checkCbor(bytes, claims, claims + payload.length, depthMax);
  if (payloadShape !== null) return { fault: payloadShape.fault, offset: payloadShape.offset, field: "payload" };
  return { header, kid, payload, signature };
}

const CONTEXT = "Signature1";

/** What is signed (RFC 9052 4.4): [ "Signature1", protected header, external data, payload ]. */
export function sigStructure(message: Sign1, externalData: string): Uint8Array {
  const { header, payload } = message;
  const size = 1 + headLength(CONTEXT.length) + CONTEXT.length + headLength(header.length) + header.length
    + headLength(externalData.length) + externalData.length + headLength(payload.length) + payload.length;
  const out = new Uint8Array(size);
  let at = writeHead(out, 0, CBOR_ARRAY, 4);
  at = writeAscii(out, writeHead(out, at, CBOR_TEXT, CONTEXT.length), CONTEXT);
  at = writeHead(out, at, CBOR_BYTES, header.length);
  out.set(header, at);
  at = writeHead(out, at + header.length, CBOR_BYTES, externalData.length);
  at = writeAscii(out, at, externalData);
  at = writeHead(out, at, CBOR_BYTES, payload.length);
  out.set(payload, at);
  return out;
}

function writeAscii(into: Uint8Array, at: number, text: string): number {
  for (let i = 0; i < text.length; i++) into[at + i] = text.charCodeAt(i);
  return at + text.length;
}
