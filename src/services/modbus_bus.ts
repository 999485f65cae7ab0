/**
 * Modbus over TCP and over a serial line, one interface for both. Requests wait in the units' queues
 * (modbus_queue.ts), go out as the line allows, and end in exactly one call of their callback, always
 * on a later turn. Nothing here throws: what fails is counted and told by its rule.
 *
 *   waiting ──reopen──► opening ──onWritable──► open ──onError, silence──► waiting ... closed
 */
import {
  MODBUS_BACKOFF_MAX_MS, MODBUS_BACKOFF_MIN_MS, MODBUS_CONNECT_TIMEOUT_MS, MODBUS_RETRIES,
  MODBUS_SILENT_TIMEOUTS_MAX, MODBUS_TIMEOUT_MS,
} from "../constants.js";
import type { SerialConstructor, SerialOptions, Stream, StreamCallbacks, TCPConstructor, Timer, TimerId } from "../../hal/ecma419.js";
import type { Millis } from "../units.js";
import { isValidRequest } from "../wire/modbus.js";
import type { ModbusRequest, ModbusResult, ModbusRule } from "../wire/modbus.js";
import { MbapFraming, RtuFraming } from "./modbus_framing.js";
import type { Flight, Framing } from "./modbus_framing.js";
import { ModbusQueue } from "./modbus_queue.js";
import type { ModbusCallback, Unit } from "./modbus_queue.js";

/** What every user of a bus needs of it, whatever its wire. */
export interface ModbusBus {
  /**
   * `done` is called exactly once, on a later turn: with values, or with the rule that failed. A
   * write goes before reads; a waiting write to the same registers is replaced ("superseded").
   */
  request(unit: number, request: ModbusRequest, done: ModbusCallback): void;
  /** Timeout and retries of one unit, where they differ from the bus's. */
  configure(unit: number, settings: { timeout?: Millis; retries?: number }): void;
  /** Grows with each connection made: a device behind a new one may have forgotten what it was told. */
  readonly generation: number;
  readonly status: ModbusStatus;
  close(): void;
}

export interface ModbusStatus {
  readonly state: "opening" | "open" | "waiting" | "closed";
  readonly counters: Readonly<ModbusCounters>;
  readonly units: readonly { readonly unit: number; readonly failures: number; readonly backoff: Millis; readonly waiting: number }[];
}

export class ModbusCounters {
  requests = 0;
  answers = 0;
  exceptions = 0;
  timeouts = 0;
  retries = 0;
  crc = 0;
  wrongUnit = 0;
  wrongTransaction = 0;
  wrongFunction = 0;
  wrongEcho = 0;
  badLength = 0;
  /** Bytes or frames that came when nothing was asked. */
  unexpected = 0;
  opened = 0;
  disconnected = 0;
  callbackErrors = 0;
}

export interface BusOptions {
  timer: Timer;
  monotonic: () => Millis;
  timeout?: Millis;
  /** Further attempts after the first. */
  retries?: number;
}

type State =
  | { readonly kind: "waiting"; readonly until: Millis }
  | { readonly kind: "opening"; readonly stream: Stream; readonly until: Millis }
  | { readonly kind: "open"; readonly stream: Stream }
  | { readonly kind: "closed" };

class Bus implements ModbusBus {
  readonly #timer: Timer;
  readonly #monotonic: () => Millis;
  readonly #framing: Framing;
  readonly #open: (callbacks: StreamCallbacks) => Stream;
  readonly #queue: ModbusQueue;
  readonly #counters = new ModbusCounters();
  #state: State = { kind: "waiting", until: 0 };
  #generation = 0;
  #attempt = 0;
  #linkBackoff: Millis = MODBUS_BACKOFF_MIN_MS;
  #silentTimeouts = 0;
  #flights: Flight[] = [];
  #writable = 0;
  /** The frame being handed to the stream, and how much of it the stream has. */
  #out: Uint8Array<ArrayBuffer> | null = null;
  #outAt = 0;
  #readyAt: Millis = 0;
  #wake: TimerId | undefined;

  protected constructor(options: BusOptions, framing: Framing, open: (callbacks: StreamCallbacks) => Stream) {
    this.#timer = options.timer;
    this.#monotonic = options.monotonic;
    this.#framing = framing;
    this.#open = open;
    this.#queue = new ModbusQueue({
      timeout: options.timeout ?? MODBUS_TIMEOUT_MS, retries: options.retries ?? MODBUS_RETRIES,
      answersHaveIds: framing.answersHaveIds,
    });
    this.#armIn(0);
  }

  get generation(): number { return this.#generation; }

  get status(): ModbusStatus {
    return {
      state: this.#state.kind,
      counters: this.#counters,
      units: this.#queue.units.map(({ id, failures, backoff, waiting }) => ({ unit: id, failures, backoff, waiting: waiting.length })),
    };
  }

  configure(unit: number, settings: { timeout?: Millis; retries?: number }): void {
    const known = this.#queue.unit(unit);
    if (known === null) return;
    if (settings.timeout !== undefined) known.timeout = settings.timeout;
    if (settings.retries !== undefined) known.retries = settings.retries;
  }

  request(unit: number, request: ModbusRequest, done: ModbusCallback): void {
    this.#counters.requests++;
    const known = this.#framing.addresses(unit) ? this.#queue.unit(unit) : null;
    const job = { unit: known ?? NOBODY, request, callback: done, attempts: 0, rule: null, doubtful: false };
    if (known === null || this.#state.kind === "closed" || !isValidRequest(request)) this.#queue.fail(job, "refused");
    else if (this.#state.kind === "waiting" && this.#attempt > 0) this.#queue.fail(job, "disconnected");
    else this.#queue.add(job, this.#monotonic());
    this.#armIn(0);
  }

  close(): void {
    if (this.#state.kind === "closed") return;
    this.#drop("disconnected");
    this.#state = { kind: "closed" };
    this.#armIn(0);
  }

  /** Everything that is due now. Every event of the stream or the timer ends here. */
  #run(): void {
    const now = this.#monotonic();
    this.#expire(now);
    const state = this.#state;
    if (state.kind === "waiting" && now >= state.until) this.#connect(now);
    if (this.#state.kind === "open") this.#sendNext(this.#state.stream, now);
    for (const { job, result } of this.#queue.takeFinished()) {
      try {
        job.callback(result);
      } catch {
        // A bug of the caller's must not stop the other devices of the line.
        this.#counters.callbackErrors++;
      }
    }
    this.#arm(this.#monotonic());
  }

  #connect(now: Millis): void {
    const attempt = ++this.#attempt;
    const mine = (): boolean => attempt === this.#attempt && this.#state.kind !== "closed";
    try {
      const stream = this.#open({
        onReadable: () => { if (mine()) this.#receive(); },
        onWritable: (count) => { if (mine()) this.#writableNow(count); },
        onError: () => { if (mine()) this.#lost(); },
      });
      this.#state = { kind: "opening", stream, until: now + MODBUS_CONNECT_TIMEOUT_MS };
    } catch {
      this.#reopenLater(now);
    }
  }

  #writableNow(count: number): void {
    this.#writable = count;
    if (this.#state.kind === "opening") {
      this.#state = { kind: "open", stream: this.#state.stream };
      this.#generation++;
      this.#counters.opened++;
      this.#silentTimeouts = 0;
      this.#framing.clear();
    }
    this.#run();
  }

  #lost(): void {
    this.#reopenLater(this.#monotonic());
    this.#run();
  }

  #reopenLater(now: Millis): void {
    this.#counters.disconnected++;
    this.#drop("disconnected");
    this.#state = { kind: "waiting", until: now + this.#linkBackoff };
    this.#linkBackoff = Math.min(this.#linkBackoff * 2, MODBUS_BACKOFF_MAX_MS);
  }

  /** Ends the stream and all that waits for it. */
  #drop(rule: ModbusRule): void {
    const state = this.#state;
    this.#attempt++;
    if (state.kind === "open" || state.kind === "opening") {
      try { state.stream.close(); } catch { this.#counters.disconnected++; }
    }
    for (const flight of this.#flights) this.#queue.fail(flight.job, flight.job.rule ?? rule);
    this.#flights.length = 0;
    this.#queue.dropAll(rule);
    this.#out = null;
    this.#writable = 0;
  }

  #receive(): void {
    const state = this.#state;
    const now = this.#monotonic();
    if (state.kind === "open") {
      let data: ArrayBuffer | undefined;
      try { data = state.stream.read(); } catch { return this.#lost(); }
      if (data === undefined || data.byteLength === 0) return;
      this.#readyAt = this.#framing.receive(new Uint8Array(data), this.#flights, now, this.#counters);
      for (let i = this.#flights.length - 1; i >= 0; i--) {
        const flight = this.#flights[i]!;
        if (flight.result !== null) this.#ended(flight, flight.result, now);
      }
    }
    this.#run();
  }

  #ended(flight: Flight, result: ModbusResult, now: Millis): void {
    this.#flights.splice(this.#flights.indexOf(flight), 1);
    const { job } = flight;
    if (result.ok || isException(result.rule)) {
      this.#silentTimeouts = 0;
      this.#linkBackoff = MODBUS_BACKOFF_MIN_MS;
    }
    if (result.ok) this.#counters.answers++;
    else count(this.#counters, result.rule);
    if (result.ok || (isException(result.rule) && !isGatewaySilent(result.rule))) {
      this.#queue.answered(job, result, flight.deadline);
    } else {
      this.#queue.failedAttempt(job, result.rule, flight.deadline, now);
    }
  }

  #expire(now: Millis): void {
    const state = this.#state;
    if (state.kind === "opening" && now >= state.until) return this.#reopenLater(now);
    if (state.kind !== "open") return;
    let reopen = false;
    for (let i = this.#flights.length - 1; i >= 0; i--) {
      const flight = this.#flights[i]!;
      if (now < flight.deadline) continue;
      const rule = this.#framing.diagnose(flight);
      // A stream that does not take the request, or is out of step, is of no use to anybody.
      if (this.#out !== null || this.#framing.outOfStep) reopen = true;
      if (this.#framing.answersHaveIds && ++this.#silentTimeouts >= MODBUS_SILENT_TIMEOUTS_MAX) reopen = true;
      this.#ended(flight, { ok: false, rule }, now);
      this.#readyAt = Math.max(this.#readyAt, now + this.#framing.silence);
    }
    if (reopen) this.#reopenLater(now);
  }

  #sendNext(stream: Stream, now: Millis): void {
    while (this.#out !== null || (this.#flights.length < this.#framing.parallel && now >= this.#readyAt)) {
      if (this.#out === null) {
        const job = this.#queue.choose(now);
        if (job === null) return;
        if (job.attempts > 0) this.#counters.retries++;
        const flight: Flight = { job, transaction: 0, deadline: 0, fault: null, result: null };
        this.#out = this.#framing.encode(flight);
        this.#outAt = 0;
        flight.deadline = now + job.unit.timeout + this.#framing.lineTime(job.request, this.#out.length);
        this.#flights.push(flight);
      }
      if (!this.#hand(stream, this.#out)) return;
    }
  }

  /** Hands over as much as the stream takes; true when all of the frame is gone. */
  #hand(stream: Stream, out: Uint8Array<ArrayBuffer>): boolean {
    const count = Math.min(this.#writable, out.length - this.#outAt);
    if (count <= 0) return false;
    // An ArrayBuffer of exactly these bytes: some hosts' streams take nothing else.
    const bytes = count === out.length ? out.buffer : out.slice(this.#outAt, this.#outAt + count).buffer;
    this.#writable -= count;
    this.#outAt += count;
    const last = this.#outAt === out.length;
    if (last) this.#out = null;
    try {
      stream.write(bytes);
    } catch {
      this.#reopenLater(this.#monotonic());
      return false;
    }
    return last;
  }

  #arm(now: Millis): void {
    let at: Millis | null = null;
    const state = this.#state;
    if (this.#queue.hasFinished) at = now;
    if (state.kind === "waiting" || state.kind === "opening") at = sooner(at, state.until);
    if (state.kind === "open") {
      for (const flight of this.#flights) at = sooner(at, flight.deadline);
      if (this.#out === null && this.#flights.length < this.#framing.parallel) {
        const next = this.#queue.next(now);
        if (next !== null) at = sooner(at, Math.max(next, this.#readyAt));
      }
    }
    if (at !== null) this.#armIn(Math.max(0, at - now));
  }

  #armIn(delay: Millis): void {
    if (this.#wake !== undefined) this.#timer.clear(this.#wake);
    this.#wake = this.#timer.set(() => {
      this.#wake = undefined;
      this.#run();
    }, delay);
  }
}

/** Stands for a unit that is not on the line, in a job that is refused. */
const NOBODY: Unit = {
  id: -1, timeout: 0, retries: 0, waiting: [], inFlight: false, failures: 0, backoff: 0, backoffUntil: 0, late: null, lateUntil: 0,
};

const sooner = (a: Millis | null, b: Millis): Millis => (a === null || b < a ? b : a);
const isException = (rule: ModbusRule): boolean => rule.startsWith("exception_");
/** A gateway's words for "the unit behind me does not answer" (V1.1b3, 7: codes 0x0A and 0x0B). */
const isGatewaySilent = (rule: ModbusRule): boolean => rule === "exception_10" || rule === "exception_11";

function count(counters: ModbusCounters, rule: ModbusRule): void {
  switch (rule) {
    case "timeout": counters.timeouts++; break;
    case "crc": counters.crc++; break;
    case "wrong_unit": counters.wrongUnit++; break;
    case "wrong_transaction": counters.wrongTransaction++; break;
    case "wrong_function": counters.wrongFunction++; break;
    case "wrong_echo": counters.wrongEcho++; break;
    case "bad_length": counters.badLength++; break;
    default: if (isException(rule)) counters.exceptions++;
  }
}

export interface ModbusTcpOptions extends BusOptions {
  io: TCPConstructor;
  host: string;
  /** Default 502. */
  port?: number;
  /** Transactions under way at once, at most one a unit. Default 1: many devices take no more. */
  parallel?: number;
}

export class ModbusTcpBus extends Bus {
  constructor(options: ModbusTcpOptions) {
    const { io, host, port = 502 } = options;
    super(options, new MbapFraming(options.parallel ?? 1), (callbacks) => new io({ host, port, noDelay: true, format: "buffer", ...callbacks }));
  }
}

export interface ModbusRtuOptions extends BusOptions {
  io: SerialConstructor;
  /** The line: device or pins, baud, parity, stop bits. */
  line: Omit<SerialOptions, "format" | "onReadable" | "onWritable" | "onError">;
  /** Rest between frames beyond the 3.5 characters, for units that need it. */
  turnaround?: Millis;
}

export class ModbusRtuBus extends Bus {
  constructor(options: ModbusRtuOptions) {
    const { io, line } = options;
    super(options, new RtuFraming(line.baud, options.turnaround ?? 0), (callbacks) => new io({ ...line, format: "buffer", ...callbacks }));
  }
}

