/** Bytes → the claims of a cap token, by the rules that need nothing but the bytes (CAPS.md "The token"). */
import {
  CAP_RELEASE_MAX_S, CAP_SECONDS_MAX, CAP_WATTS_MAX, CBOR_DEPTH_MAX, TOKEN_BYTES_MAX, TOKEN_EVENTS_MAX,
} from "../constants.js";
import type { EpochSeconds } from "../units.js";
import { CborReader } from "../wire/cbor.js";
import { decodeSign1, sigStructure, type Sign1 } from "../wire/cose.js";
import type { CapEvent } from "./cap.js";
import { refuse, type Refusal } from "./rules.js";

/** External additional data of the signature: a key's signature under anything else says nothing here. */
export const CAP_EXTERNAL_DATA = "vangnet-cap-v1";

const CLAIM_AUD = 3, CLAIM_EXP = 4, CLAIM_IAT = 6, CLAIM_SEQ = -65537, CLAIM_EVENTS = -65538;
const AUD_CHARACTERS_MAX = 64;
const FLAG_EMERGENCY = 1, FLAG_CONTROLLABLE = 2;

/** The claims as they stand: well-formed, and not yet proven by anybody. */
export interface DecodedToken {
  /** Lower-case hex of the 8 kid bytes. */
  readonly kid: string;
  readonly aud: string;
  readonly seq: number;
  readonly iat: EpochSeconds;
  readonly exp: EpochSeconds;
  readonly events: readonly CapEvent[];
  /** Views into the bytes that were decoded. */
  readonly message: Sign1;
}

/** Rules "size" and "structure". */
export function decodeToken(bytes: Uint8Array): { readonly ok: true; readonly token: DecodedToken } | Refusal {
  if (bytes.length > TOKEN_BYTES_MAX) return refuse("size", `${bytes.length} bytes, at most ${TOKEN_BYTES_MAX}`);
  if (bytes.length === 0) return refuse("size", "empty");
  const message = decodeSign1(bytes, CBOR_DEPTH_MAX);
  if ("fault" in message) return malformed(message.field, message.fault, message.offset);

  const start = message.payload.byteOffset - bytes.byteOffset;
  const reader = new CborReader(bytes, start, start + message.payload.length);
  reader.map(5);
  reader.key(CLAIM_AUD);
  const aud = reader.text(AUD_CHARACTERS_MAX);
  reader.key(CLAIM_EXP);
  const exp = reader.uint(CAP_SECONDS_MAX);
  reader.key(CLAIM_IAT);
  const iat = reader.uint(CAP_SECONDS_MAX);
  reader.key(CLAIM_SEQ);
  const seq = reader.uint(Number.MAX_SAFE_INTEGER);
  reader.key(CLAIM_EVENTS);
  if (reader.fault !== null) return malformed("claims", reader.fault, reader.offset);
  const count = reader.array(0, TOKEN_EVENTS_MAX);
  if (reader.fault === "wrong length") return refuse("structure", `more than ${TOKEN_EVENTS_MAX} events`);
  if (reader.fault !== null) return malformed("events", reader.fault, reader.offset);
  const events: CapEvent[] = [];
  for (let i = 0; i < count; i++) {
    const event = readEvent(reader);
    if ("ok" in event) return event;
    for (let other = 0; other < i; other++) {
      if (events[other]!.id === event.id) return refuse("structure", `event ${event.id} stands there twice`);
    }
    events.push(event);
  }
  return { ok: true, token: { kid: hex(message.kid), aud, seq, iat, exp, events, message } };
}

/** [id, start, duration, import or null, export or null, flags] and, where there is one, release. */
function readEvent(reader: CborReader): CapEvent | Refusal {
  const entries = reader.array(6, 7);
  const id = hex(reader.byteString(4, 8));
  const start = reader.uint(CAP_SECONDS_MAX);
  const duration = reader.uint(CAP_SECONDS_MAX);
  if (reader.fault === null && duration === 0) return refuse("structure", `event ${id} lasts 0 s`);
  if (reader.fault !== null) return malformed("event", reader.fault, reader.offset);
  const importLimit = reader.uintOrNull(CAP_WATTS_MAX);
  if (reader.fault !== null) return malformed(`import limit of event ${id}`, reader.fault, reader.offset);
  const exportLimit = reader.uintOrNull(CAP_WATTS_MAX);
  if (reader.fault !== null) return malformed(`export limit of event ${id}`, reader.fault, reader.offset);
  // An unknown flag could change what the limit means: it is not read around.
  const flags = reader.uint(FLAG_EMERGENCY | FLAG_CONTROLLABLE);
  if (reader.fault !== null) return malformed(`flags of event ${id}`, reader.fault, reader.offset);
  const release = entries === 7 ? reader.uint(CAP_RELEASE_MAX_S) : null;
  if (reader.fault !== null) return malformed(`release of event ${id}`, reader.fault, reader.offset);
  return {
    id, start, duration, importLimit, exportLimit, release,
    emergency: (flags & FLAG_EMERGENCY) !== 0, controllable: (flags & FLAG_CONTROLLABLE) !== 0,
  };
}

/** The bytes the signature of this token must be over. */
export const signedBytes = (token: DecodedToken): Uint8Array => sigStructure(token.message, CAP_EXTERNAL_DATA);

const malformed = (field: string, fault: string, offset: number): Refusal => refuse("structure", `${field}: ${fault} at byte ${offset}`);

const DIGITS = "0123456789abcdef";
/** Lower-case hex. */
export function hex(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i++) text += DIGITS.charAt(bytes[i]! >> 4) + DIGITS.charAt(bytes[i]! & 15);
  return text;
}
