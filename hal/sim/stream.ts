/** The callbacks' side of a simulated stream: gathered, and called on a later turn of the world. */
import type { ByteQueue} from "../byte_queue.js";
import { copied } from "../byte_queue.js";
import type { Bytes, Stream, StreamCallbacks } from "../ecma419.js";
import type { SimPlatform } from "./platform.js";

/** As hal/node: what onWritable announces at most. */
export const WRITE_BYTES_MAX = 16_384;

export abstract class SimStream implements Stream {
  protected readonly platform: SimPlatform;
  #callbacks: StreamCallbacks;
  #life: number;
  #allowance = 0;
  #dead = false;
  #waking = false;
  #readable = false;
  #failure: { error: unknown } | null = null;

  constructor(platform: SimPlatform, callbacks: StreamCallbacks) {
    this.platform = platform;
    this.#callbacks = callbacks;
    this.#life = platform.life;
  }

  /** Bytes that may be written now; 0 before the stream is open. */
  protected abstract free(): number;
  protected abstract unread(): ByteQueue;
  protected abstract send(bytes: Uint8Array): void;
  /** Called once, by close. */
  protected abstract end(): void;
  /** Called after bytes were read. */
  protected afterRead(): void {}

  /** The medium has something to say: new bytes, room to write, or its end. */
  signal(what: "readable" | "writable" | { error: unknown }): void {
    if (this.#dead) return;
    if (what === "readable") this.#readable = true;
    else if (what !== "writable") this.#failure ??= what;
    if (this.#waking) return;
    this.#waking = true;
    this.platform.post(() => this.#wake());
  }

  #wake(): void {
    this.#waking = false;
    const free = this.#dead || this.#failure ? 0 : this.free();
    if (free > this.#allowance) {
      this.#allowance = free;
      this.#callbacks.onWritable?.(free);
    }
    if (!this.#dead && this.#readable) {
      this.#readable = false;
      const count = this.unread().length;
      if (count > 0) this.#callbacks.onReadable?.(count);
    }
    if (!this.#dead && this.#failure) {
      this.#dead = true;
      this.#callbacks.onError?.(this.#failure.error);
    }
  }

  read(count?: number): ArrayBuffer | undefined {
    const bytes = this.unread().take(count);
    if (bytes) this.afterRead();
    return bytes;
  }

  write(data: Bytes): void {
    if (this.#dead || this.#life !== this.platform.life) throw new Error("write to a closed stream");
    if (data.byteLength > this.#allowance) throw new Error(`write of ${data.byteLength} bytes, ${this.#allowance} are free`);
    if (data.byteLength === 0) return;
    this.#allowance -= data.byteLength;
    this.send(copied(data));
    if (this.free() > this.#allowance) this.signal("writable");
  }

  #closed = false;
  close(): void {
    this.#dead = true;
    this.#callbacks = {};
    if (this.#closed) return;
    this.#closed = true;
    if (this.#life === this.platform.life) this.end();
  }
}
