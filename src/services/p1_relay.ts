/**
 * The raw telegram, passed on over TCP: a house has one P1 port, and others want to read it too
 * (p1ib#26). Readers only listen. Each has a bounded queue; one that does not keep up is dropped, so
 * that nobody slows the controller. Whole, checked telegrams only. Off unless the owner turns it on:
 * P1 data stays in the house (RELIABILITY, last section).
 */
import type { Listener, Platform, TCPStream, TimerId } from "../../hal/ecma419.js";
import { P1_BACKOFF_MAX_MS, P1_RELAY_QUEUE_BYTES, P1_RELAY_READERS_MAX } from "../constants.js";
import type { Telegram } from "../telegram/telegram.js";

export interface P1RelayOptions {
  /** 0: any free one, then to be asked of `port`. */
  readonly port: number;
  readonly address?: string;
}

export interface P1RelayCounts {
  accepted: number;
  /** Turned away: P1_RELAY_READERS_MAX were there. */
  refused: number;
  /** Their queue was full. */
  dropped: number;
  telegrams: number;
}

interface Reader {
  readonly stream: TCPStream;
  /** Ring of bytes that wait for onWritable. */
  readonly queue: Uint8Array;
  first: number;
  waiting: number;
  writable: number;
}

export class P1Relay {
  readonly counts: P1RelayCounts = { accepted: 0, refused: 0, dropped: 0, telegrams: 0 };
  readonly #platform: Platform;
  readonly #options: P1RelayOptions;
  readonly #readers: Reader[] = [];
  #listener: Listener | null = null;
  #timer: TimerId | undefined = undefined;
  #closed = false;

  constructor(platform: Platform, options: P1RelayOptions) {
    this.#platform = platform;
    this.#options = options;
    this.#listen();
  }

  /** The listener's port, null while there is no network. */
  get port(): number | null {
    return this.#listener?.port ?? null;
  }

  get readers(): number {
    return this.#readers.length;
  }

  /** Copies the telegram's bytes into each reader's queue: call it while the telegram is valid. */
  send(telegram: Telegram): void {
    this.counts.telegrams++;
    // From the end: a reader that is dropped leaves the list.
    for (let i = this.#readers.length - 1; i >= 0; i--) {
      const reader = this.#readers[i]!;
      const length = telegram.end - telegram.start + LINE_END.length;
      if (reader.waiting + length > reader.queue.length) {
        this.counts.dropped++;
        this.#drop(reader);
        continue;
      }
      enqueue(reader, telegram.bytes, telegram.start, telegram.end);
      enqueue(reader, LINE_END, 0, LINE_END.length);
      this.#write(reader);
    }
  }

  close(): void {
    this.#closed = true;
    this.#platform.timer.clear(this.#timer);
    this.#listener?.close();
    this.#listener = null;
    for (const reader of this.#readers.splice(0)) reader.stream.close();
  }

  #listen(): void {
    this.#timer = undefined;
    try {
      this.#listener = new this.#platform.Listener({
        port: this.#options.port,
        ...(this.#options.address === undefined ? {} : { address: this.#options.address }),
        onReadable: () => this.#accept(),
        onError: (error) => this.#failed(error),
      });
    } catch (error) {
      this.#failed(error); // "no network" while the link is down
    }
  }

  #failed(error: unknown): void {
    this.#listener?.close();
    this.#listener = null;
    if (this.#closed) return;
    this.#platform.log(`p1 relay: ${error instanceof Error ? error.message : "no listener"}, again in ${P1_BACKOFF_MAX_MS / 1000} s`);
    this.#timer = this.#platform.timer.set(() => this.#listen(), P1_BACKOFF_MAX_MS);
  }

  #accept(): void {
    for (let from = this.#listener?.read(); from !== undefined; from = this.#listener?.read()) {
      if (this.#readers.length >= P1_RELAY_READERS_MAX) {
        this.counts.refused++;
        from.close();
        continue;
      }
      const cell: { reader: Reader | null } = { reader: null };
      const stream = this.#take(from, cell);
      if (stream === null) continue;
      this.counts.accepted++;
      cell.reader = { stream, queue: new Uint8Array(P1_RELAY_QUEUE_BYTES), first: 0, waiting: 0, writable: 0 };
      this.#readers.push(cell.reader);
    }
  }

  /** Null where the connection has gone already. */
  #take(from: TCPStream, cell: { reader: Reader | null }): TCPStream | null {
    try {
      return new this.#platform.TCP({
        from,
        format: "buffer",
        onReadable: () => { cell.reader?.stream.read(); }, // what readers say is passed over
        onWritable: (count) => {
          if (cell.reader === null) return;
          cell.reader.writable = count;
          this.#write(cell.reader);
        },
        onError: () => { if (cell.reader !== null) this.#drop(cell.reader); },
      });
    } catch {
      return null;
    }
  }

  #write(reader: Reader): void {
    while (reader.waiting > 0 && reader.writable > 0) {
      const straight = Math.min(reader.waiting, reader.writable, reader.queue.length - reader.first);
      const data = reader.queue.slice(reader.first, reader.first + straight);
      reader.first = (reader.first + straight) % reader.queue.length;
      reader.waiting -= straight;
      reader.writable -= straight;
      try {
        reader.stream.write(data);
      } catch {
        this.#drop(reader); // the peer has gone, and its onError is on the way
        return;
      }
    }
  }

  #drop(reader: Reader): void {
    const index = this.#readers.indexOf(reader);
    if (index >= 0) this.#readers.splice(index, 1);
    reader.stream.close();
  }
}

const LINE_END = new Uint8Array([13, 10]);

function enqueue(reader: Reader, bytes: Uint8Array, start: number, end: number): void {
  const { queue } = reader;
  const at = (reader.first + reader.waiting) % queue.length;
  const straight = Math.min(end - start, queue.length - at);
  queue.set(bytes.subarray(start, start + straight), at);
  if (straight < end - start) queue.set(bytes.subarray(start + straight, end), 0);
  reader.waiting += end - start;
}
