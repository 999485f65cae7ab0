/**
 * A smart meter on a serial line or a TCP listener: telegrams at their period, spread over time as
 * the real line does (ten bits a byte), from a callback that gives the house's state or from a file
 * of telegrams in a loop. Works on any Platform, so under virtual time too.
 */
import { Buffer } from "node:buffer";
import type { Listener, Platform, Stream, TCPStream, TimerId } from "../../hal/ecma419.js";
import { P1_LINES, writeTelegram, type P1MeterState, type P1Version } from "./p1_telegram.js";

export interface P1MeterOptions {
  readonly version: P1Version;
  readonly output: { readonly kind: "serial"; readonly device: string } | { readonly kind: "tcp"; readonly port: number; readonly address?: string };
  /** Bytes of a telegram each period: from a state, or as they stand in a recording. */
  readonly telegrams: { readonly state: () => P1MeterState } | { readonly recorded: readonly Uint8Array[] };
  readonly periodMs?: number;
  readonly baud?: number;
  /** Changes each telegram's bytes before they go out: noise, cuts. */
  readonly spoil?: (telegram: Uint8Array) => Uint8Array;
  readonly onSent?: (telegram: Uint8Array) => void;
  readonly onError?: (error: unknown) => void;
}

interface Output {
  readonly stream: Stream;
  writable: number;
  /** A reader takes part from the next telegram on: it is given no half one. */
  joined: boolean;
}

/** How often the line is given its share of bytes: hal/sim and Node both keep 10 ms. */
const SLICE_MS = 10;

export class P1Meter {
  sent = 0;
  /** Bytes that no output took in time: a real line does not wait either. */
  lost = 0;
  readonly #platform: Platform;
  readonly #options: P1MeterOptions;
  readonly #outputs = new Set<Output>();
  #listener: Listener | null = null;
  #period: TimerId | undefined;
  #slice: TimerId | undefined;
  #pending: Uint8Array = new Uint8Array(0);
  #startedAt = 0;
  #done = 0;
  #next = 0;

  constructor(platform: Platform, options: P1MeterOptions) {
    this.#platform = platform;
    this.#options = options;
    const line = P1_LINES[options.version];
    if (options.output.kind === "serial") {
      this.#attach((callbacks) => new platform.Serial({
        ...callbacks, device: (options.output as { device: string }).device,
        baud: options.baud ?? line.baud, dataBits: line.dataBits, parity: line.parity, stopBits: 1,
      }));
    } else {
      const { port, address } = options.output;
      this.#listener = new platform.Listener({
        port, ...(address === undefined ? {} : { address }),
        onReadable: () => {
          for (let from = this.#listener?.read(); from !== undefined; from = this.#listener?.read()) {
            const taken: TCPStream = from;
            this.#attach((callbacks) => new platform.TCP({ ...callbacks, from: taken }));
          }
        },
        onError: (error) => options.onError?.(error),
      });
    }
    this.#period = platform.timer.repeat(() => this.#begin(), options.periodMs ?? line.periodMs);
  }

  /** The listener's port; 0 on a serial line. */
  get port(): number {
    return this.#listener?.port ?? 0;
  }

  get readers(): number {
    return this.#outputs.size;
  }

  close(): void {
    this.#platform.timer.clear(this.#period);
    this.#platform.timer.clear(this.#slice);
    this.#slice = undefined;
    this.#listener?.close();
    for (const { stream } of this.#outputs) stream.close();
    this.#outputs.clear();
  }

  #attach(make: (callbacks: { format: "buffer"; onReadable: () => void; onWritable: (count: number) => void; onError: (error?: unknown) => void }) => Stream): void {
    const cell: { output: Output | null } = { output: null };
    const stream = make({
      format: "buffer",
      onReadable: () => { cell.output?.stream.read(); },
      onWritable: (count) => { if (cell.output) cell.output.writable = count; },
      onError: (error) => {
        if (!cell.output) return;
        this.#outputs.delete(cell.output);
        cell.output.stream.close();
        if (this.#options.output.kind === "serial") this.#options.onError?.(error);
      },
    });
    cell.output = { stream, writable: 0, joined: false };
    this.#outputs.add(cell.output);
  }

  #begin(): void {
    if (this.#slice !== undefined) return; // longer than its period: the line is still busy
    const { telegrams, spoil } = this.#options;
    const whole = "state" in telegrams
      ? writeTelegram(telegrams.state(), this.#options.version)
      : telegrams.recorded[this.#next++ % Math.max(1, telegrams.recorded.length)];
    if (whole === undefined) return;
    this.#pending = spoil ? spoil(whole) : whole;
    this.#done = 0;
    this.#startedAt = this.#platform.monotonic();
    for (const output of this.#outputs) output.joined = true;
    this.#slice = this.#platform.timer.repeat(() => this.#send(), SLICE_MS);
  }

  #send(): void {
    const bytesPerMs = (this.#options.baud ?? P1_LINES[this.#options.version].baud) / 10_000;
    const due = Math.min(this.#pending.length, Math.floor((this.#platform.monotonic() - this.#startedAt) * bytesPerMs));
    if (due > this.#done) {
      const slice = this.#pending.slice(this.#done, due);
      this.#done = due;
      for (const output of this.#outputs) this.#write(output, slice);
    }
    if (this.#done < this.#pending.length) return;
    this.#platform.timer.clear(this.#slice);
    this.#slice = undefined;
    this.sent++;
    this.#options.onSent?.(this.#pending);
  }

  #write(output: Output, slice: Uint8Array): void {
    if (!output.joined) return;
    if (output.writable < slice.length) {
      this.lost += slice.length;
      return;
    }
    output.writable -= slice.length;
    try {
      output.stream.write(slice);
    } catch {
      this.lost += slice.length; // its onError is on the way
    }
  }
}

/** The telegrams of a recording, split at each `/`; what stands before the first is left out. */
export function splitTelegrams(bytes: Uint8Array): Uint8Array[] {
  const buffer = Buffer.from(bytes);
  const telegrams: Uint8Array[] = [];
  for (let start = buffer.indexOf("/"); start >= 0;) {
    const next = buffer.indexOf("/", start + 1);
    telegrams.push(bytes.slice(start, next < 0 ? undefined : next));
    start = next;
  }
  return telegrams;
}
