/**
 * Devices on a Modbus line of hal/sim, written apart from src/wire so that the two must agree: a
 * register file per unit, and a hook that makes any answer late, torn, wrong or absent.
 */
import { createHash } from "node:crypto";
import type { Stream } from "../../hal/ecma419.js";
import { SimWorld } from "../../hal/sim/world.js";

export const world = (seed = 1): SimWorld => new SimWorld({
  seed,
  crypto: { sha256: (data) => new Uint8Array(createHash("sha256").update(data).digest()), verifyP256: () => false },
});

export class Unit {
  readonly holding = new Map<number, number>();
  readonly input = new Map<number, number>();
  readonly coils = new Map<number, number>();
  /** Every write, in order: [function, address, ...values]. */
  readonly writes: number[][] = [];
  readonly requests: number[][] = [];
  dead = false;
  delayMs = 5;
  /** Answers with this exception. */
  exception: number | null = null;
  /** Registers above this address do not exist. */
  last = 0xffff;
  /** What is written, before it is kept; a device with a will of its own. */
  keeps: (address: number, value: number) => number | null = (_address, value) => value;

  answer(pdu: number[]): number[] | null {
    this.requests.push(pdu);
    if (this.dead) return null;
    const code = pdu[0]!, address = (pdu[1]! << 8) | pdu[2]!, word = (pdu[3]! << 8) | pdu[4]!;
    if (this.exception !== null) return [code | 0x80, this.exception];
    const count = code === 5 || code === 6 ? 1 : word;
    if (address + count - 1 > this.last) return [code | 0x80, 2];
    switch (code) {
      case 1: case 2: {
        const bytes = new Array<number>(Math.ceil(count / 8)).fill(0);
        for (let i = 0; i < count; i++) if (this.coils.get(address + i)) bytes[i >> 3]! |= 1 << (i & 7);
        return [code, bytes.length, ...bytes];
      }
      case 3: case 4: {
        const table = code === 3 ? this.holding : this.input;
        const out = [code, count * 2];
        for (let i = 0; i < count; i++) out.push((table.get(address + i) ?? 0) >> 8, (table.get(address + i) ?? 0) & 255);
        return out;
      }
      case 5:
        this.writes.push([5, address, word ? 1 : 0]);
        this.#keep(this.coils, address, word ? 1 : 0);
        return pdu;
      case 6:
        this.writes.push([6, address, word]);
        this.#keep(this.holding, address, word);
        return pdu;
      case 16: {
        const values: number[] = [];
        for (let i = 0; i < count; i++) values.push((pdu[6 + 2 * i]! << 8) | pdu[7 + 2 * i]!);
        this.writes.push([16, address, ...values]);
        values.forEach((value, i) => this.#keep(this.holding, address + i, value));
        return pdu.slice(0, 5);
      }
      default: return [code | 0x80, 1];
    }
  }

  #keep(table: Map<number, number>, address: number, value: number): void {
    const kept = this.keeps(address, value);
    if (kept !== null) table.set(address, kept);
  }
}

/** What becomes of an answer's frame: bytes at times from now; default all at once after the delay. */
export type Mangle = (frame: number[], unit: number, delayMs: number) => { afterMs: number; bytes: number[] }[];
const plain: Mangle = (frame, _unit, delayMs) => [{ afterMs: delayMs, bytes: frame }];

export function crc(bytes: readonly number[]): number {
  let value = 0xffff;
  for (const byte of bytes) {
    value ^= byte;
    for (let i = 0; i < 8; i++) value = value & 1 ? (value >>> 1) ^ 0xa001 : value >>> 1;
  }
  return value;
}
export const sealed = (bytes: number[]): number[] => [...bytes, crc(bytes) & 255, crc(bytes) >> 8];

export class RtuLine {
  readonly units = new Map<number, Unit>();
  mangle: Mangle = plain;
  /** Requests seen: [time, unit, function]. */
  readonly seen: [number, number, number][] = [];
  readonly world: SimWorld;
  #stream: Stream;
  #pending: number[] = [];

  constructor(world: SimWorld, path: string, line: { baud: number; parity?: "none" | "even" | "odd"; stopBits?: 1 | 2 }) {
    this.world = world;
    const { Serial } = world.platform("line");
    this.#stream = new Serial({ device: path, ...line, format: "buffer", onReadable: () => this.#read() });
  }

  unit(id: number): Unit {
    let unit = this.units.get(id);
    if (!unit) this.units.set(id, (unit = new Unit()));
    return unit;
  }

  send(bytes: number[]): void { this.#stream.write(Uint8Array.from(bytes)); }

  #read(): void {
    this.#pending.push(...new Uint8Array(this.#stream.read() ?? new ArrayBuffer(0)));
    for (;;) {
      const bytes = this.#pending;
      if (bytes.length < 8) return;
      const length = bytes[1] === 15 || bytes[1] === 16 ? 9 + bytes[6]! : 8;
      if (bytes.length < length) return;
      this.#pending = bytes.slice(length);
      if (crc(bytes.slice(0, length)) !== 0) throw new Error("the client sent a frame with a wrong CRC");
      const id = bytes[0]!;
      this.seen.push([this.world.now, id, bytes[1]!]);
      const unit = this.units.get(id);
      const answer = unit?.answer(bytes.slice(1, length - 2)) ?? null;
      if (!unit || answer === null) continue;
      for (const part of this.mangle(sealed([id, ...answer]), id, unit.delayMs)) {
        this.world.schedule(part.afterMs, () => this.send(part.bytes));
      }
    }
  }
}

/** A TCP server of one or several units, on port 502 of the platform `device`. */
export class TcpDevice {
  readonly units = new Map<number, Unit>();
  mangle: Mangle = plain;
  connections = 0;
  readonly world: SimWorld;
  readonly transactions: number[] = [];

  constructor(world: SimWorld, name = "device", port = 502) {
    this.world = world;
    const platform = world.platform(name);
    const listener = new platform.Listener({
      port,
      onReadable: () => {
        for (let from = listener.read(); from; from = listener.read()) {
          this.connections++;
          let pending: number[] = [];
          const stream: Stream = new platform.TCP({
            from, format: "buffer",
            onReadable: () => {
              pending.push(...new Uint8Array(stream.read() ?? new ArrayBuffer(0)));
              while (pending.length >= 7 && pending.length >= 6 + pending[5]!) {
                const frame = pending.slice(0, 6 + pending[5]!);
                pending = pending.slice(frame.length);
                this.#answer(stream, frame);
              }
            },
            onError: () => stream.close(),
          });
        }
      },
    });
  }

  unit(id: number): Unit {
    let unit = this.units.get(id);
    if (!unit) this.units.set(id, (unit = new Unit()));
    return unit;
  }

  #answer(stream: Stream, frame: number[]): void {
    this.transactions.push((frame[0]! << 8) | frame[1]!);
    const unit = this.units.get(frame[6]!);
    const pdu = unit?.answer(frame.slice(7)) ?? null;
    if (!unit || pdu === null) return;
    const out = [frame[0]!, frame[1]!, 0, 0, 0, pdu.length + 1, frame[6]!, ...pdu];
    for (const part of this.mangle(out, frame[6]!, unit.delayMs)) {
      this.world.schedule(part.afterMs, () => {
        try { stream.write(Uint8Array.from(part.bytes)); } catch { /* the client has gone */ }
      });
    }
  }
}
