/**
 * ECMA-419's stream over a Node Duplex: a socket or a serial port. Both directions are bounded: the
 * reader pauses the Duplex when too much lies unread, the writer may have WRITE_BYTES_MAX bytes that
 * the kernel has not taken.
 *
 *   Duplex 'data' → ByteQueue → onReadable → read()
 *   onWritable ← kernel took it ← Duplex.write ← write()
 */
import type { Duplex } from "node:stream";
import { ByteQueue, copied } from "../byte_queue.js";
import type { Bytes, Stream, StreamCallbacks } from "../ecma419.js";

/** What onWritable announces at most, and so what may wait for the kernel. */
export const WRITE_BYTES_MAX = 16_384;
/** Unread bytes at which the source is paused: the kernel's buffer, then the peer, must wait. */
export const UNREAD_BYTES_MAX = 65_536;

export abstract class NodeStream implements Stream {
  #callbacks: StreamCallbacks;
  #duplex: Duplex | null = null;
  #received = new ByteQueue();
  #paused = false;
  #allowance = 0;
  #dead = false;

  constructor(callbacks: StreamCallbacks) {
    this.#callbacks = callbacks;
  }

  /** From the constructor: what is read and written from now on. Call `opened` once it may be. */
  protected attach(duplex: Duplex): void {
    this.#duplex = duplex;
    duplex.on("data", (chunk: Uint8Array) => this.#arrived(chunk));
    duplex.on("error", (error) => this.failed(error));
    duplex.on("end", () => this.failed(new Error("ended by the peer")));
    duplex.on("close", () => this.failed(new Error("closed")));
  }

  protected opened(): void {
    this.#refill();
  }

  /** The stream is dead; said once. */
  protected failed(error: unknown): void {
    if (this.#dead) return;
    this.#dead = true;
    this.#allowance = 0;
    this.#callbacks.onError?.(error);
  }

  /** Ends without a word and without touching the Duplex, which now belongs to another. */
  protected release(): void {
    this.#dead = true;
    this.#callbacks = {};
    this.#duplex = null;
  }

  /** Ends the Duplex in its own way. */
  protected abstract dispose(duplex: Duplex): void;

  #arrived(chunk: Uint8Array): void {
    if (this.#dead) return;
    this.#received.push(chunk);
    if (this.#received.length >= UNREAD_BYTES_MAX && !this.#paused) {
      this.#paused = true;
      this.#duplex?.pause();
    }
    this.#callbacks.onReadable?.(this.#received.length);
  }

  #refill(): void {
    if (this.#dead || !this.#duplex) return;
    const free = WRITE_BYTES_MAX - this.#duplex.writableLength;
    if (free <= this.#allowance) return;
    this.#allowance = free;
    this.#callbacks.onWritable?.(free);
  }

  read(count?: number): ArrayBuffer | undefined {
    const bytes = this.#received.take(count);
    if (this.#paused && this.#received.length < UNREAD_BYTES_MAX / 2) {
      this.#paused = false;
      this.#duplex?.resume();
    }
    return bytes;
  }

  write(data: Bytes): void {
    if (this.#dead || !this.#duplex) throw new Error("write to a closed stream");
    if (data.byteLength > this.#allowance) {
      throw new Error(`write of ${data.byteLength} bytes, ${this.#allowance} are free`);
    }
    if (data.byteLength === 0) return;
    this.#allowance -= data.byteLength;
    this.#duplex.write(copied(data), () => this.#refill());
  }

  close(): void {
    const duplex = this.#duplex;
    this.release();
    this.#received = new ByteQueue();
    if (duplex) this.dispose(duplex);
  }
}
