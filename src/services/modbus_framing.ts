/** The two wires of Modbus as modbus_bus.ts drives them: how requests are framed and answers found. */
import { MODBUS_TIMEOUT_MS } from "../constants.js";
import type { Millis } from "../units.js";
import { answerLength, decodePdu, encodeMbap, encodeRtu, MbapReceiver, RtuReceiver } from "../wire/modbus.js";
import type { ModbusRequest, ModbusResult, ModbusRule } from "../wire/modbus.js";
import type { Job } from "./modbus_queue.js";

/** One attempt on the line. */
export interface Flight {
  readonly job: Job;
  transaction: number;
  deadline: Millis;
  /** What came instead of the answer so far. */
  fault: ModbusRule | null;
  result: ModbusResult | null;
}

export interface Framing {
  readonly answersHaveIds: boolean;
  /** Transactions that may be under way at once. */
  readonly parallel: number;
  /** Rest of the line between frames. */
  readonly silence: Millis;
  /** The stream's bytes no longer fall into frames. */
  readonly outOfStep: boolean;
  addresses(unit: number): boolean;
  clear(): void;
  /** The frame of an attempt; gives it its transaction. */
  encode(flight: Flight): Uint8Array<ArrayBuffer>;
  /** What request and answer take on the wire. */
  lineTime(request: ModbusRequest, requestBytes: number): Millis;
  /** Sets `result` of the flights that are answered. Returns from when on the line is free. */
  receive(data: Uint8Array, flights: readonly Flight[], now: Millis, counters: { unexpected: number }): Millis;
  /** The rule by which an attempt failed whose time is up. */
  diagnose(flight: Flight): ModbusRule;
}

export class MbapFraming implements Framing {
  readonly answersHaveIds = true;
  readonly silence: Millis = 0;
  readonly parallel: number;
  #receiver = new MbapReceiver();
  #transaction = 0;

  constructor(parallel: number) {
    this.parallel = parallel;
  }

  get outOfStep(): boolean { return this.#receiver.skipped > 0 || this.#receiver.length > 0; }

  /** 0 and 255 stand for the device itself (Messaging on TCP/IP V1.0b, 4.4.2.1). */
  addresses(unit: number): boolean { return Number.isInteger(unit) && unit >= 0 && unit <= 255; }

  clear(): void { this.#receiver.clear(); }

  encode(flight: Flight): Uint8Array<ArrayBuffer> {
    this.#transaction = (this.#transaction + 1) & 0xffff;
    flight.transaction = this.#transaction;
    return encodeMbap(flight.transaction, flight.job.unit.id, flight.job.request);
  }

  lineTime(): Millis { return 0; }

  receive(data: Uint8Array, flights: readonly Flight[], _now: Millis, counters: { unexpected: number }): Millis {
    for (let from = 0; from < data.length;) {
      from += this.#receiver.push(data, from);
      for (let frame = this.#receiver.next(); frame !== null; frame = this.#receiver.next()) {
        let found = false;
        for (const flight of flights) {
          if (flight.result !== null || flight.transaction !== frame.transaction) continue;
          found = true;
          flight.result = frame.unit === flight.job.unit.id
            ? decodePdu(flight.job.request, frame.bytes, frame.start, frame.end)
            : { ok: false, rule: "wrong_unit" };
        }
        if (found) continue;
        counters.unexpected++;
        for (const flight of flights) flight.fault = "wrong_transaction";
      }
    }
    return 0;
  }

  diagnose(flight: Flight): ModbusRule {
    return flight.fault ?? (this.outOfStep ? "bad_length" : "timeout");
  }
}

/** Start, 8 data, parity and stop bits: what a character takes at most (Serial Line V1.02, 2.5.1). */
const BITS_PER_CHARACTER = 11;

export class RtuFraming implements Framing {
  readonly answersHaveIds = false;
  readonly parallel = 1;
  readonly silence: Millis;
  readonly outOfStep = false;
  #baud: number;
  #receiver = new RtuReceiver();
  #noiseSince: Millis | null = null;

  constructor(baud: number, turnaround: Millis) {
    this.#baud = baud;
    // 3.5 characters, 1.75 ms above 19,200 baud (2.5.1.1), and 1 ms for a clock that counts whole ones.
    const characters = baud > 19_200 ? 2 : Math.ceil((3_500 * BITS_PER_CHARACTER) / baud);
    this.silence = characters + 1 + turnaround;
  }

  /** 0 is broadcast, which is not used; above 247 is reserved. */
  addresses(unit: number): boolean { return Number.isInteger(unit) && unit >= 1 && unit <= 247; }

  clear(): void { this.#receiver.clear(); }

  encode(flight: Flight): Uint8Array<ArrayBuffer> {
    this.#receiver.clear();
    this.#noiseSince = null;
    return encodeRtu(flight.job.unit.id, flight.job.request);
  }

  lineTime(request: ModbusRequest, requestBytes: number): Millis {
    return Math.ceil(((requestBytes + answerLength(request) + 3) * BITS_PER_CHARACTER * 1_000) / this.#baud);
  }

  receive(data: Uint8Array, flights: readonly Flight[], now: Millis, counters: { unexpected: number }): Millis {
    const flight = flights[0];
    if (flight === undefined) {
      // Somebody speaks out of turn, perhaps late: let it end, but do not wait for ever.
      counters.unexpected += data.length;
      this.#noiseSince ??= now;
      return Math.min(now, this.#noiseSince + MODBUS_TIMEOUT_MS) + this.silence;
    }
    this.#receiver.push(data);
    flight.result = this.#receiver.take(flight.job.unit.id, flight.job.request);
    return now + this.silence;
  }

  diagnose(flight: Flight): ModbusRule {
    return this.#receiver.diagnose(flight.job.unit.id, flight.job.request);
  }
}
