/**
 * Modbus as a client speaks it: requests to bytes, bytes to answers, over RTU and over TCP (MBAP).
 * Nothing but bytes: time, retries and queues are services/modbus_bus.ts.
 *
 *   request ──encodePdu──► PDU ──encodeRtu / encodeMbap──► ADU ──► line
 *   line ──► RtuReceiver / MbapReceiver ──decodePdu──► ModbusResult, matched to its request
 *
 * Sources: Modbus Application Protocol V1.1b3 (PDU), Modbus over Serial Line V1.02 (RTU), Modbus
 * Messaging on TCP/IP V1.0b (MBAP).
 */
import { MODBUS_ADU_BYTES_MAX, MODBUS_COILS_MAX, MODBUS_REGISTERS_MAX, MODBUS_WRITE_REGISTERS_MAX } from "../constants.js";
import { crc16 } from "./crc16.js";

/** One request, by its function code. Registers are 0 to 65535, addresses as on the wire, from 0. */
export type ModbusRequest =
  /** 1 coils, 2 discrete inputs, 3 holding registers, 4 input registers. */
  | { readonly function: 1 | 2 | 3 | 4; readonly address: number; readonly count: number }
  | { readonly function: 5; readonly address: number; readonly value: boolean }
  | { readonly function: 6; readonly address: number; readonly value: number }
  | { readonly function: 15; readonly address: number; readonly values: readonly boolean[] }
  | { readonly function: 16; readonly address: number; readonly values: readonly number[] };

/** Why there is no answer. `exception_N` is the device's own word (V1.1b3, 7). */
export type ModbusRule =
  | "timeout" | "crc" | "wrong_unit" | "wrong_transaction" | "wrong_function" | "wrong_echo" | "bad_length"
  | "disconnected" | "backing_off" | "queue_full" | "superseded" | "refused"
  | `exception_${number}`;

export type ModbusResult =
  /** Registers, or bits as 0 and 1, in the order asked; empty after a write. */
  | { readonly ok: true; readonly values: readonly number[] }
  | { readonly ok: false; readonly rule: ModbusRule };

const failed = (rule: ModbusRule): ModbusResult => ({ ok: false, rule });
const isUint16 = (n: number): boolean => Number.isInteger(n) && n >= 0 && n <= 0xffff;

/** True where the request is one the protocol allows; anything else is "refused" before the line. */
export function isValidRequest(request: ModbusRequest): boolean {
  if (!isUint16(request.address)) return false;
  switch (request.function) {
    case 1: case 2: return within(request.count, MODBUS_COILS_MAX, request.address);
    case 3: case 4: return within(request.count, MODBUS_REGISTERS_MAX, request.address);
    case 5: return true;
    case 6: return isUint16(request.value);
    case 15: return within(request.values.length, MODBUS_COILS_MAX, request.address);
    case 16:
      if (!within(request.values.length, MODBUS_WRITE_REGISTERS_MAX, request.address)) return false;
      for (const value of request.values) if (!isUint16(value)) return false;
      return true;
    default: return false;
  }
}

function within(count: number, max: number, address: number): boolean {
  return Number.isInteger(count) && count >= 1 && count <= max && address + count <= 0x10000;
}

export const isWrite = (request: ModbusRequest): boolean => request.function >= 5;

/** True where both write the same registers, so that the newer makes the waiting older one useless. */
export function writesTheSame(a: ModbusRequest, b: ModbusRequest): boolean {
  return isWrite(a) && a.function === b.function && a.address === b.address && written(a) === written(b);
}

function written(request: ModbusRequest): number {
  return request.function === 15 || request.function === 16 ? request.values.length : 1;
}

/** True where one repeats the other: its answer is then as good as the other's. */
export function sameRequest(a: ModbusRequest, b: ModbusRequest): boolean {
  if (a.function !== b.function || a.address !== b.address) return false;
  switch (a.function) {
    case 1: case 2: case 3: case 4: return a.count === (b as typeof a).count;
    case 5: case 6: return a.value === (b as typeof a).value;
    case 15: case 16: {
      const other = (b as typeof a).values;
      if (other.length !== a.values.length) return false;
      for (let i = 0; i < other.length; i++) if (a.values[i] !== other[i]) return false;
      return true;
    }
  }
}

function byteCount(request: ModbusRequest): number {
  if (request.function <= 2) return ((request as { count: number }).count + 7) >> 3;
  return (request as { count: number }).count * 2;
}

/** Writes the PDU of a valid request at `at`; returns its end. At most 253 bytes. */
export function encodePdu(request: ModbusRequest, out: Uint8Array, at: number): number {
  out[at] = request.function;
  put16(out, at + 1, request.address);
  switch (request.function) {
    case 1: case 2: case 3: case 4: put16(out, at + 3, request.count); return at + 5;
    case 5: put16(out, at + 3, request.value ? 0xff00 : 0); return at + 5;
    case 6: put16(out, at + 3, request.value); return at + 5;
    case 15: {
      const count = request.values.length, bytes = (count + 7) >> 3;
      put16(out, at + 3, count);
      out[at + 5] = bytes;
      for (let i = 0; i < bytes; i++) out[at + 6 + i] = 0;
      for (let i = 0; i < count; i++) if (request.values[i]) out[at + 6 + (i >> 3)]! |= 1 << (i & 7);
      return at + 6 + bytes;
    }
    case 16: {
      const count = request.values.length;
      put16(out, at + 3, count);
      out[at + 5] = count * 2;
      for (let i = 0; i < count; i++) put16(out, at + 6 + 2 * i, request.values[i]!);
      return at + 6 + 2 * count;
    }
  }
}

/** The length an answer to this request has when it is no exception, PDU only. */
export function answerLength(request: ModbusRequest): number {
  return request.function <= 4 ? 2 + byteCount(request) : 5;
}

/**
 * Reads bytes[start, end) as the answer to `request`, strictly: function, length, byte count and,
 * for a write, the echo must be what was asked.
 */
export function decodePdu(request: ModbusRequest, bytes: Uint8Array, start: number, end: number): ModbusResult {
  const length = end - start;
  if (length < 2) return failed("bad_length");
  const code = bytes[start]!;
  if (code === (request.function | 0x80)) {
    if (length !== 2) return failed("bad_length");
    return failed(`exception_${bytes[start + 1]!}`);
  }
  if (code !== request.function) return failed("wrong_function");
  if (length !== answerLength(request)) return failed("bad_length");
  const values: number[] = [];
  switch (request.function) {
    case 1: case 2:
      if (bytes[start + 1] !== length - 2) return failed("bad_length");
      for (let i = 0; i < request.count; i++) values.push((bytes[start + 2 + (i >> 3)]! >> (i & 7)) & 1);
      break;
    case 3: case 4:
      if (bytes[start + 1] !== length - 2) return failed("bad_length");
      for (let i = start + 2; i < end; i += 2) values.push(get16(bytes, i));
      break;
    default: {
      const echo = request.function === 5 ? (request.value ? 0xff00 : 0)
        : request.function === 6 ? request.value : request.values.length;
      if (get16(bytes, start + 1) !== request.address || get16(bytes, start + 3) !== echo) return failed("wrong_echo");
    }
  }
  return { ok: true, values };
}

/** Unit, PDU, CRC least significant byte first. */
export function encodeRtu(unit: number, request: ModbusRequest): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(MODBUS_ADU_BYTES_MAX);
  out[0] = unit;
  const end = encodePdu(request, out, 1);
  const crc = crc16(out, 0, end, 0xffff);
  out[end] = crc & 0xff;
  out[end + 1] = crc >> 8;
  return out.slice(0, end + 2);
}

/** Transaction, protocol 0, length, unit, PDU. */
export function encodeMbap(transaction: number, unit: number, request: ModbusRequest): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(MODBUS_ADU_BYTES_MAX);
  const end = encodePdu(request, out, 7);
  put16(out, 0, transaction);
  put16(out, 4, end - 6);
  out[6] = unit;
  return out.slice(0, end);
}

/**
 * Collects what comes in on a serial line and finds the one answer that is waited for. Anything
 * else on the line — noise, the tail of a late answer, another unit's — is passed over byte by byte:
 * unit, function, length and CRC must all fit before a frame is taken.
 */
export class RtuReceiver {
  #bytes = new Uint8Array(2 * MODBUS_ADU_BYTES_MAX);
  #end = 0;
  /** Bytes dropped because the buffer was full. */
  overflows = 0;

  /** Bytes held. */
  get length(): number { return this.#end; }

  clear(): void { this.#end = 0; }

  push(data: Uint8Array): void {
    for (let i = 0; i < data.length; i++) {
      if (this.#end === this.#bytes.length) {
        // The newest frame is what matters: keep the last half.
        this.#bytes.copyWithin(0, MODBUS_ADU_BYTES_MAX);
        this.#end -= MODBUS_ADU_BYTES_MAX;
        this.overflows += MODBUS_ADU_BYTES_MAX;
      }
      this.#bytes[this.#end++] = data[i]!;
    }
  }

  /** The answer of `unit` to `request`, null as long as it is not there whole. */
  take(unit: number, request: ModbusRequest): ModbusResult | null {
    const normal = answerLength(request);
    for (let at = 0; at + 5 <= this.#end; at++) {
      if (this.#bytes[at] !== unit) continue;
      const code = this.#bytes[at + 1]!;
      const pdu = code === request.function ? normal : code === (request.function | 0x80) ? 2 : 0;
      const end = at + 1 + pdu;
      if (pdu === 0 || end + 2 > this.#end || !crcFits(this.#bytes, at, end)) continue;
      const result = decodePdu(request, this.#bytes, at + 1, end);
      if (!result.ok && (result.rule === "bad_length" || result.rule === "wrong_echo")) continue;
      this.#end = 0;
      return result;
    }
    return null;
  }

  /** When time is up: what was wrong with what came instead. */
  diagnose(unit: number, request: ModbusRequest): ModbusRule {
    if (this.#end === 0) return "timeout";
    for (let at = 0; at + 4 <= this.#end; at++) {
      const end = frameEnd(this.#bytes, at, this.#end);
      if (end === 0 || !crcFits(this.#bytes, at, end)) continue;
      if (this.#bytes[at] !== unit) return "wrong_unit";
      const result = decodePdu(request, this.#bytes, at + 1, end);
      return result.ok ? "crc" : result.rule;
    }
    return this.#end < answerLength(request) + 3 ? "bad_length" : "crc";
  }
}

/** End (CRC excluded) of an answer that starts at `at`, from its own words; 0 where none is whole. */
function frameEnd(bytes: Uint8Array, at: number, limit: number): number {
  const code = bytes[at + 1]!;
  const pdu = code & 0x80 ? 2 : code >= 1 && code <= 4 ? 2 + bytes[at + 2]! : 5;
  const end = at + 1 + pdu;
  return end + 2 <= limit ? end : 0;
}

function crcFits(bytes: Uint8Array, start: number, end: number): boolean {
  const crc = crc16(bytes, start, end, 0xffff);
  return bytes[end] === (crc & 0xff) && bytes[end + 1] === crc >> 8;
}

/** Where the newest frame of an MbapReceiver lies in its buffer. Valid until the next call. */
export interface MbapFrame {
  readonly transaction: number;
  readonly unit: number;
  readonly bytes: Uint8Array;
  /** The PDU: bytes[start, end). */
  readonly start: number;
  readonly end: number;
}

/**
 * Cuts a TCP stream into MBAP frames. A header that cannot be one (protocol not 0, length not
 * 3 to 254) is passed over byte by byte and counted in `skipped`: a caller that sees it grow, or a
 * rest at a timeout, had better connect afresh.
 */
export class MbapReceiver {
  #bytes = new Uint8Array(2 * MODBUS_ADU_BYTES_MAX);
  #start = 0;
  #end = 0;
  /** Bytes passed over since clear(). */
  skipped = 0;

  get length(): number { return this.#end - this.#start; }

  clear(): void {
    this.#start = this.#end = this.skipped = 0;
  }

  /** Takes bytes[from..] as far as there is room; returns how many it took. Call next() in between. */
  push(data: Uint8Array, from: number): number {
    if (this.#start > 0) {
      this.#bytes.copyWithin(0, this.#start, this.#end);
      this.#end -= this.#start;
      this.#start = 0;
    }
    const count = Math.min(data.length - from, this.#bytes.length - this.#end);
    for (let i = 0; i < count; i++) this.#bytes[this.#end + i] = data[from + i]!;
    this.#end += count;
    return count;
  }

  next(): MbapFrame | null {
    const bytes = this.#bytes;
    while (this.#end - this.#start >= 8) {
      const at = this.#start;
      const length = get16(bytes, at + 4);
      if (get16(bytes, at + 2) !== 0 || length < 3 || length > 254) {
        this.#start++;
        this.skipped++;
        continue;
      }
      const end = at + 6 + length;
      if (end > this.#end) return null;
      this.#start = end;
      return { transaction: get16(bytes, at), unit: bytes[at + 6]!, bytes, start: at + 7, end };
    }
    return null;
  }
}

function put16(out: Uint8Array, at: number, value: number): void {
  out[at] = value >> 8;
  out[at + 1] = value & 0xff;
}

function get16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}
