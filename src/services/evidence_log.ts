/**
 * The evidence log's format, its reader and its check, over a directory of segments `ev00000001`, …
 *
 *   segment  "VGEV" · version (1) · index (4) · number of its first record (4) · hash before it (32)
 *   record   length of the payload (2) · payload · hash (32)
 *   payload  flags (1; bit 0: time known) · time, epoch s (4) · uptime, ms (6) · length of type (1) ·
 *            type · data, JSON as UTF-8
 *   hash     SHA-256(hash before · number (4) · payload); the chain begins with 32 zero bytes
 *
 * Numbers are big-endian. A segment dropped by the ring leaves its last hash in the next one's head:
 * the anchor. Which record was changed is found from here; that the end was cut off, or all of it
 * written anew, only by whoever kept an earlier head (it is published over MQTT).
 */
import { EVIDENCE_RECORD_BYTES_MAX, EVIDENCE_TYPE_CHARACTERS_MAX } from "../constants.js";
import type { EpochSeconds, Millis } from "../units.js";
import type { Directory, File } from "../../hal/ecma419.js";

export const HASH_BYTES = 32;
export const SEGMENT_HEAD_BYTES = 13 + HASH_BYTES;
/** What a record takes besides its payload. */
export const RECORD_FRAME_BYTES = 2 + HASH_BYTES;
const PAYLOAD_HEAD = 12;
const MAGIC = [0x56, 0x47, 0x45, 0x56];
const VERSION = 1;
const WINDOW_BYTES = 2_048;

export type Sha256 = (data: Uint8Array) => Uint8Array;

export interface EvidenceRecord {
  /** 1 for the first record ever, then one more each. */
  readonly n: number;
  /** UTC of the controller's trusted clock; null where it had none. */
  readonly t: EpochSeconds | null;
  /** Monotonic, since the controller started. */
  readonly up: Millis;
  readonly type: string;
  /** JSON text. */
  readonly data: string;
  readonly hash: Uint8Array;
}

export interface SegmentHead {
  readonly index: number;
  readonly first: number;
  readonly before: Uint8Array;
}

export const segmentName = (index: number): string => `ev${String(index).padStart(8, "0")}`;

/** Null where the name is not a segment's. */
export function segmentIndex(name: string): number | null {
  if (name.length !== 10 || !name.startsWith("ev")) return null;
  let index = 0;
  for (let i = 2; i < 10; i++) {
    const digit = name.charCodeAt(i) - 48;
    if (digit < 0 || digit > 9) return null;
    index = index * 10 + digit;
  }
  return index;
}

export function segmentIndexes(files: Directory): number[] {
  const indexes: number[] = [];
  for (const name of files.scan()) {
    const index = segmentIndex(name);
    if (index !== null) indexes.push(index);
  }
  return indexes.sort((a, b) => a - b);
}

export function encodeHead(head: SegmentHead): Uint8Array {
  const bytes = new Uint8Array(SEGMENT_HEAD_BYTES);
  bytes.set(MAGIC, 0);
  bytes[4] = VERSION;
  put(bytes, 5, 4, head.index);
  put(bytes, 9, 4, head.first);
  bytes.set(head.before, 13);
  return bytes;
}

function decodeHead(bytes: Uint8Array): SegmentHead | null {
  if (bytes.length !== SEGMENT_HEAD_BYTES || bytes[4] !== VERSION) return null;
  for (let i = 0; i < 4; i++) if (bytes[i] !== MAGIC[i]) return null;
  return { index: get(bytes, 5, 4), first: get(bytes, 9, 4), before: bytes.slice(13) };
}

export function encodePayload(t: EpochSeconds | null, up: Millis, type: string, data: string): Uint8Array {
  const encoder = new TextEncoder();
  const name = encoder.encode(type);
  const text = encoder.encode(data);
  const bytes = new Uint8Array(PAYLOAD_HEAD + name.length + text.length);
  bytes[0] = t === null ? 0 : 1;
  put(bytes, 1, 4, t ?? 0);
  put(bytes, 5, 6, up);
  bytes[11] = name.length;
  bytes.set(name, PAYLOAD_HEAD);
  bytes.set(text, PAYLOAD_HEAD + name.length);
  return bytes;
}

/** Null where the bytes are no payload. */
function decodePayload(n: number, bytes: Uint8Array, hash: Uint8Array): EvidenceRecord | null {
  const typeEnd = PAYLOAD_HEAD + bytes[11]!;
  if (bytes[0]! > 1 || typeEnd > bytes.length) return null;
  const decoder = new TextDecoder("utf-8");
  return {
    n,
    t: bytes[0] === 1 ? get(bytes, 1, 4) : null,
    up: get(bytes, 5, 6),
    type: decoder.decode(bytes.slice(PAYLOAD_HEAD, typeEnd)),
    data: decoder.decode(bytes.slice(typeEnd)),
    hash,
  };
}

export function chain(sha256: Sha256, before: Uint8Array, n: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HASH_BYTES + 4 + payload.length);
  bytes.set(before, 0);
  put(bytes, HASH_BYTES, 4, n);
  bytes.set(payload, HASH_BYTES + 4);
  return sha256(bytes);
}

export type Step =
  | { readonly kind: "record"; readonly record: EvidenceRecord }
  | { readonly kind: "end" }
  /** From `offset` on there is no record: "form" where the bytes are none, "hash" where one does not follow from the one before. */
  | { readonly kind: "bad"; readonly reason: "form" | "hash" };

/** Walks one segment, record by record, in a window of its own. */
export class SegmentReader {
  /** Null where the segment has no valid head. */
  readonly head: SegmentHead | null;
  /** Of the last good record, or what the head says of the one before the first. */
  n: number;
  hash: Uint8Array;
  offset = SEGMENT_HEAD_BYTES;
  readonly size: number;
  #file: File;
  #window = new Uint8Array(0);
  #windowAt = 0;

  constructor(file: File) {
    this.#file = file;
    this.size = file.size();
    this.head = decodeHead(new Uint8Array(file.read(SEGMENT_HEAD_BYTES, 0)));
    this.n = (this.head?.first ?? 1) - 1;
    this.hash = this.head?.before ?? new Uint8Array(HASH_BYTES);
  }

  /** With `sha256` each record is checked; without, only its form. */
  next(sha256: Sha256 | null): Step {
    if (this.offset === this.size) return { kind: "end" };
    const lead = this.#bytes(2);
    const length = lead === null ? 0 : get(lead, 0, 2);
    if (length < PAYLOAD_HEAD || length > EVIDENCE_RECORD_BYTES_MAX) return { kind: "bad", reason: "form" };
    const whole = this.#bytes(length + RECORD_FRAME_BYTES);
    if (whole === null) return { kind: "bad", reason: "form" };
    const payload = whole.subarray(2, 2 + length);
    const hash = whole.slice(2 + length);
    if (sha256 !== null && !equal(chain(sha256, this.hash, this.n + 1, payload), hash)) return { kind: "bad", reason: "hash" };
    const record = decodePayload(this.n + 1, payload, hash);
    if (record === null) return { kind: "bad", reason: "form" };
    this.n++;
    this.hash = hash;
    this.offset += whole.length;
    return { kind: "record", record };
  }

  close(): void {
    this.#file.close();
  }

  /** `count` bytes from `offset` on, null where the file ends before. */
  #bytes(count: number): Uint8Array | null {
    if (this.offset + count > this.size) return null;
    const from = this.offset - this.#windowAt;
    if (from + count > this.#window.length) {
      this.#window = new Uint8Array(this.#file.read(WINDOW_BYTES, this.offset));
      this.#windowAt = this.offset;
      return this.#window.length < count ? null : this.#window.subarray(0, count);
    }
    return this.#window.subarray(from, from + count);
  }
}

/** The records from number `from` on, as far as they can be read; `verifyEvidence` says what is wrong. */
export function* readEvidence(files: Directory, from = 1): Generator<EvidenceRecord, void, void> {
  const indexes = segmentIndexes(files);
  for (let i = startOf(files, indexes, from); i < indexes.length; i++) {
    const reader = new SegmentReader(files.openFile({ path: segmentName(indexes[i]!), mode: "r" }));
    try {
      if (reader.head === null) continue;
      for (let step = reader.next(null); step.kind === "record"; step = reader.next(null)) {
        if (step.record.n >= from) yield step.record;
      }
    } finally {
      reader.close();
    }
  }
}

/** The place in `indexes` of the segment that holds record `from`: few heads are read, from the end. */
function startOf(files: Directory, indexes: number[], from: number): number {
  for (let i = indexes.length - 1; i > 0; i--) {
    const reader = new SegmentReader(files.openFile({ path: segmentName(indexes[i]!), mode: "r" }));
    reader.close();
    if (reader.head !== null && reader.head.first <= from) return i;
  }
  return 0;
}

export type Verified =
  | {
    readonly ok: true;
    readonly records: number;
    /** Number of the oldest record kept; records before it were dropped by the ring. */
    readonly first: number;
    readonly last: number;
    /** Hash of record `last`. */
    readonly head: Uint8Array;
  }
  | {
    readonly ok: false;
    readonly segment: string;
    /** The first record that is not as it was written. */
    readonly n: number;
    readonly offset: number;
    readonly reason:
      /** The segment cannot be read, or its head is damaged. */
      | "segment"
      /** A segment before this one is missing. */
      | "gap"
      /** The segment does not go on where the one before ended. */
      | "anchor"
      /** The record does not follow from the one before it. */
      | "hash"
      /** Bytes that are no record: damage, or at the very end a write cut short by a power loss. */
      | "form"
      /** The log does not hold what the given head says it once held. */
      | "head";
  };

/** Checks the whole chain; with `known`, also that it still holds that earlier head. */
export function verifyEvidence(files: Directory, sha256: Sha256, known: { n: number; hash: Uint8Array } | null = null): Verified {
  let before: { index: number; n: number; hash: Uint8Array } | null = null;
  let first: number | null = null;
  let knownSeen = known === null;
  for (const index of segmentIndexes(files)) {
    const segment = segmentName(index);
    const fault = (reason: "segment" | "gap" | "anchor" | "hash" | "form" | "head", n: number, offset: number): Verified => ({ ok: false, segment, n, offset, reason });
    const expected = (before?.n ?? 0) + 1;
    if (before !== null && index !== before.index + 1) return fault("gap", expected, 0);
    let reader: SegmentReader;
    try {
      reader = new SegmentReader(files.openFile({ path: segment, mode: "r" }));
    } catch {
      return fault("segment", expected, 0);
    }
    try {
      const head = reader.head;
      if (head === null || head.index !== index) return fault("segment", expected, 0);
      const genesis = index === 1 ? { n: 0, hash: new Uint8Array(HASH_BYTES) } : null;
      const anchor = before ?? genesis;
      if (anchor !== null && (head.first !== anchor.n + 1 || !equal(head.before, anchor.hash))) return fault("anchor", expected, 0);
      first ??= head.first;
      let step = reader.next(sha256);
      for (; step.kind === "record"; step = reader.next(sha256)) {
        if (known !== null && step.record.n === known.n) {
          if (!equal(step.record.hash, known.hash)) return fault("head", known.n, reader.offset);
          knownSeen = true;
        }
      }
      if (step.kind === "bad") return fault(step.reason, reader.n + 1, reader.offset);
      before = { index, n: reader.n, hash: reader.hash };
    } catch {
      return fault("segment", reader.n + 1, reader.offset);
    } finally {
      reader.close();
    }
  }
  const last = before?.n ?? 0;
  if (known !== null && !knownSeen && known.n >= (first ?? 1)) {
    return { ok: false, segment: segmentName(before?.index ?? 1), n: last + 1, offset: 0, reason: "head" };
  }
  return { ok: true, records: first === null ? 0 : last - first + 1, first: first ?? 1, last, head: before?.hash ?? new Uint8Array(HASH_BYTES) };
}

export const isEvidenceType = (type: string): boolean => {
  if (type.length === 0 || type.length > EVIDENCE_TYPE_CHARACTERS_MAX) return false;
  for (let i = 0; i < type.length; i++) {
    const c = type.charCodeAt(i);
    if (c !== 0x5f && (c < 0x61 || c > 0x7a) && (c < 0x30 || c > 0x39)) return false;
  }
  return true;
};

/** Big-endian, up to 6 bytes: shifts would stop at 32 bits. */
export function put(bytes: Uint8Array, at: number, size: number, value: number): void {
  for (let i = at + size - 1; i >= at; i--) {
    bytes[i] = value % 256;
    value = Math.floor(value / 256);
  }
}

function get(bytes: Uint8Array, at: number, size: number): number {
  let value = 0;
  for (let i = at; i < at + size; i++) value = value * 256 + bytes[i]!;
  return value;
}

export function equal(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

const DIGITS = "0123456789abcdef";
export function hex(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i++) text += DIGITS[bytes[i]! >> 4]! + DIGITS[bytes[i]! & 15]!;
  return text;
}
