/**
 * hal/ecma419.ts's stream over a driver of the SDK or our own. Both directions are bounded: what
 * the service leaves unread stays here up to UNREAD_BYTES_MAX, then in the driver, then with the peer.
 *
 *   driver onReadable → ByteQueue → onReadable → read()
 *   onWritable ← driver onWritable;  write() → driver
 *
 * Two habits of the SDK's sockets are met here. A write that fails gives undefined instead of what
 * is free, and no callback ever follows. And an object closed in one of its callbacks may be called
 * once more with callbacks the collector has taken: so the driver is closed on the next turn.
 */
import { ByteQueue } from "../byte_queue.js";
import type { Bytes, Stream, StreamCallbacks } from "../ecma419.js";
import { told, type Log } from "./guard.js";
import { later } from "./timer.js";

export const UNREAD_BYTES_MAX = 4_096;

export interface Driver {
  read(): ArrayBuffer | undefined;
  /** Gives what may be written next, undefined where the write failed. */
  write(data: Bytes): number | undefined;
  close(): void;
}

export interface DriverCallbacks {
  onReadable: () => void;
  onWritable: (count: number) => void;
  onError: (error?: unknown) => void;
}

export abstract class DriverStream implements Stream {
  readonly #log: Log;
  #callbacks: StreamCallbacks;
  #driver: Driver | null = null;
  #received = new ByteQueue();
  #stalled = false;
  #free = 0;
  #dead = false;

  constructor(callbacks: StreamCallbacks, log: Log) {
    this.#callbacks = callbacks;
    this.#log = log;
  }

  protected get driver(): Driver | null { return this.#driver; }

  /** Takes the driver that `make` gives; what it throws is an onError on a later turn. */
  protected open(make: (callbacks: DriverCallbacks) => Driver): void {
    if (this.#dead) return;
    try {
      this.#driver = make({
        onReadable: () => this.#call(() => this.#drain()),
        onWritable: (count) => this.#call(() => {
          this.#free = count;
          if (!this.#dead) this.#callbacks.onWritable?.(count);
        }),
        onError: (error) => this.failed(error ?? new Error("ended by the peer")),
      });
    } catch (error) {
      this.failedLater(error);
    }
  }

  protected failedLater(error: unknown): void {
    later(this.#log, () => this.failed(error));
  }

  /** The stream is dead; said once. */
  protected failed(error: unknown): void {
    if (this.#dead) return;
    this.#dead = true;
    this.#free = 0;
    const { onError } = this.#callbacks;
    if (onError) this.#call(() => onError(error));
  }

  #call(task: () => void): void {
    try {
      task();
    } catch (error) {
      this.#log(`stream: ${told(error)}`);
    }
  }

  #drain(): void {
    if (this.#dead) return;
    if (this.#received.length >= UNREAD_BYTES_MAX) {
      this.#stalled = true;
      return;
    }
    const bytes = this.#driver?.read();
    if (bytes === undefined || bytes.byteLength === 0) return;
    this.#received.push(new Uint8Array(bytes));
    this.#callbacks.onReadable?.(this.#received.length);
  }

  read(count?: number): ArrayBuffer | undefined {
    const bytes = this.#received.take(count);
    if (this.#stalled && this.#received.length < UNREAD_BYTES_MAX / 2) {
      this.#stalled = false;
      later(this.#log, () => this.#drain());
    }
    return bytes;
  }

  write(data: Bytes): void {
    if (this.#dead || this.#driver === null) throw new Error("write to a closed stream");
    if (data.byteLength > this.#free) throw new Error(`write of ${data.byteLength} bytes, ${this.#free} are free`);
    if (data.byteLength === 0) return;
    this.#free -= data.byteLength;
    const free = this.#driver.write(data);
    if (free === undefined) this.failedLater(new Error("write failed"));
  }

  close(): void {
    const driver = this.#driver;
    this.#dead = true;
    this.#callbacks = {};
    this.#driver = null;
    this.#received = new ByteQueue();
    if (driver !== null) later(this.#log, () => driver.close());
  }
}
