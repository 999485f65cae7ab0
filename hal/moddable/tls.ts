/**
 * TLS 1.2 client over the SDK's `ssl/session`, which is JavaScript over C ciphers. The SDK's own
 * socket around it (examples/io/tcp/tlssocket) goes on after an alert as if the handshake were done,
 * and lets what the session throws out of its callbacks; here both end the stream with one onError.
 *
 *   TCP onReadable → session → ByteQueue → onReadable → read()
 *   write() → session → TCP
 *
 * The authority must be given: the SDK's own list of 240 would be a fifth of the flash.
 */
import Session from "ssl/session";
import { ByteQueue } from "../byte_queue.js";
import type { Bytes, TCPStream, TLSOptions } from "../ecma419.js";
import type { Log } from "./guard.js";
import { derOf } from "./pem.js";
import { UNREAD_BYTES_MAX } from "./stream.js";
import { TCP } from "./tcp.js";
import { later } from "./timer.js";

const TLS_1_2 = 0x303;
/** Record header, explicit nonce or IV, tag or MAC and padding (RFC 5246, 6.2.3), rounded up. */
const RECORD_OVERHEAD = 96;

/** The transport as the session knows it. It counts in `readable` and `writable` itself. */
class Wire {
  readable = 0;
  writable = 0;
  readonly #tcp: TCP;
  readonly #waiting = new ByteQueue();
  #free = 0;

  constructor(tcp: TCP) { this.#tcp = tcp; }

  get free(): number { return this.#free; }

  allow(count: number): void {
    this.#free = count;
    this.writable = count;
  }

  take(): void {
    const bytes = this.#tcp.read();
    if (bytes === undefined) return;
    this.#waiting.push(new Uint8Array(bytes));
    this.readable = this.#waiting.length;
  }

  read(into: Uint8Array): void {
    const bytes = this.#waiting.take(into.length);
    if (bytes !== undefined) into.set(new Uint8Array(bytes));
  }

  write(packet: ArrayBuffer | Uint8Array): number {
    this.#tcp.write(packet);
    this.#free -= packet.byteLength;
    return this.#free;
  }
}

export class TLS implements TCPStream {
  readonly #log: Log;
  readonly #tcp: TCP | null = null;
  readonly #wire: Wire | null = null;
  readonly #session: Session | null = null;
  #options: TLSOptions | null;
  #received = new ByteQueue();
  #ready = false;
  #dead = false;
  #stalled = false;

  constructor(options: TLSOptions, log: Log) {
    this.#log = log;
    this.#options = options;
    const { secure } = options, authority = secure.certificate === undefined ? null : derOf(secure.certificate);
    if (authority === null) {
      later(log, () => this.#fail(new Error("tls: no certificate of an authority is given")));
      return;
    }
    this.#session = new Session({ serverName: secure.serverName ?? options.host ?? options.address ?? "", certificate: authority, protocolVersion: TLS_1_2, cache: false });
    this.#session.initiateHandshake();
    this.#tcp = new TCP({
      ...(options.host === undefined ? {} : { host: options.host }), ...(options.address === undefined ? {} : { address: options.address }),
      ...(options.port === undefined ? {} : { port: options.port }), noDelay: options.noDelay ?? true, format: "buffer",
      onReadable: () => this.#guarded((wire, session) => {
        wire.take();
        this.#pump(wire, session);
      }),
      onWritable: (count) => this.#guarded((wire, session) => {
        wire.allow(count);
        if (this.#ready) this.#announce(wire);
        else this.#pump(wire, session);
      }),
      onError: (error) => this.#fail(error),
    }, log);
    this.#wire = new Wire(this.#tcp);
  }

  #guarded(task: (wire: Wire, session: Session) => void): void {
    if (this.#dead || this.#wire === null || this.#session === null) return;
    try {
      task(this.#wire, this.#session);
    } catch (error) {
      // Not signed by the authority given, it looks in its own list, which is not in the firmware.
      this.#fail(String(error).includes("ca.ski") ? new Error("tls: the certificate is of another authority") : error);
    }
  }

  #pump(wire: Wire, session: Session): void {
    while (!this.#ready) {
      const before = wire.readable;
      const done = session.handshake(wire);
      if (session.alert !== undefined) throw new Error(`tls: alert ${session.alert.description}`);
      if (done) {
        this.#ready = true;
        this.#announce(wire);
        if (this.#dead) return;
      } else if (wire.readable === before && session.handshakeProcess === -1) return;
    }
    this.#decrypt(wire, session);
  }

  #announce(wire: Wire): void {
    wire.writable = wire.free;
    if (wire.free > RECORD_OVERHEAD) this.#call(() => this.#options?.onWritable?.(wire.free - RECORD_OVERHEAD));
  }

  #decrypt(wire: Wire, session: Session): void {
    let came = false;
    for (;;) {
      if (this.#received.length >= UNREAD_BYTES_MAX) {
        this.#stalled = true;
        break;
      }
      const data = session.read(wire);
      if (data === undefined) break;
      if (data === null) {
        if (came) this.#call(() => this.#options?.onReadable?.(this.#received.length));
        return this.#fail(new Error(`tls: ended by the peer, alert ${session.alert?.description ?? 0}`));
      }
      came ||= data.length > 0;
      this.#received.push(data);
    }
    if (came) this.#call(() => this.#options?.onReadable?.(this.#received.length));
  }

  /** What the service throws is its own fault and no reason to end the stream. */
  #call(task: () => void): void {
    try {
      task();
    } catch (error) {
      this.#log(`tls: ${String(error)}`);
    }
  }

  #fail(error: unknown): void {
    if (this.#dead) return;
    this.#dead = true;
    this.#tcp?.close();
    const onError = this.#options?.onError;
    this.#call(() => onError?.(error));
  }

  read(count?: number): ArrayBuffer | undefined {
    const bytes = this.#received.take(count);
    if (this.#stalled && this.#received.length < UNREAD_BYTES_MAX / 2) {
      this.#stalled = false;
      later(this.#log, () => this.#guarded((wire, session) => this.#decrypt(wire, session)));
    }
    return bytes;
  }

  write(data: Bytes): void {
    const wire = this.#wire, session = this.#session;
    if (this.#dead || !this.#ready || wire === null || session === null) throw new Error("write to a closed stream");
    if (data.byteLength > wire.free - RECORD_OVERHEAD) throw new Error(`write of ${data.byteLength} bytes, ${Math.max(0, wire.free - RECORD_OVERHEAD)} are free`);
    if (data.byteLength > 0) session.write(wire, data);
  }

  /** Without close_notify: the session's has level 0, which peers take for a broken stream. */
  close(): void {
    this.#dead = true;
    this.#options = null;
    this.#received = new ByteQueue();
    this.#tcp?.close();
  }

  get remoteAddress(): string | undefined { return this.#tcp?.remoteAddress; }
  get remotePort(): number | undefined { return this.#tcp?.remotePort; }
}
