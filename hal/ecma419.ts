/**
 * The hardware boundary: the ECMA-419 classes the services use, as interfaces. hal/node gives them
 * over serialport, net and tls; hal/sim over virtual time; hal/moddable from the SDK and our own
 * native modules. The semantics are ECMA-419's, with the parts that differ between hosts pinned
 * down here, because services rely on them:
 *
 * - Callbacks are never called from inside a constructor or a method: always on a later turn.
 * - `onReadable(count)`: `count` bytes wait. `read(n)` gives up to n of them as an ArrayBuffer,
 *   `read()` all, undefined where there are none. What is not read stays, and is announced again
 *   only with new bytes.
 * - `onWritable(count)`: `count` bytes may be written now. A write before the first onWritable, or
 *   of more than was announced, throws. After a write that fills the buffer, onWritable comes again.
 * - `onError()` comes at most once and is the last callback: the stream is dead, close() it.
 *   The end of a TCP stream by the peer is an onError too.
 * - `close()` may be repeated; after it no callback comes.
 */

export type Bytes = ArrayBuffer | Uint8Array;

export interface StreamCallbacks {
  onReadable?: (count: number) => void;
  onWritable?: (count: number) => void;
  onError?: (error?: unknown) => void;
}

export interface Stream {
  read(count?: number): ArrayBuffer | undefined;
  write(data: Bytes): void;
  close(): void;
}

export interface SerialOptions extends StreamCallbacks {
  /** Linux: a device path. ESP32: absent, `port`/`receive`/`transmit` come from the board. */
  device?: string;
  port?: number;
  receive?: number;
  transmit?: number;
  baud: number;
  dataBits?: 7 | 8;
  parity?: "none" | "even" | "odd";
  stopBits?: 1 | 2;
  /** P1's data line is inverted; USB cables have the inverter built in. */
  invert?: boolean;
  /** RS485 driver enable, where the transceiver needs one. */
  direction?: number;
  format: "buffer";
}
export type SerialConstructor = new (options: SerialOptions) => Stream;

export interface TCPOptions extends StreamCallbacks {
  /** A name or an IP address; names are resolved by the host. */
  host?: string;
  address?: string;
  port?: number;
  /** A connection that a Listener gave. */
  from?: TCPStream;
  noDelay?: boolean;
  format: "buffer";
}
export interface TCPStream extends Stream {
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
}
export type TCPConstructor = new (options: TCPOptions) => TCPStream;

export interface TLSOptions extends TCPOptions {
  /** Name checked against the certificate; default `host`. */
  secure: { serverName?: string; /** PEM or DER of the authority; absent = the host's own list. */ certificate?: Bytes };
}
export type TLSConstructor = new (options: TLSOptions) => TCPStream;

export interface ListenerOptions {
  port: number;
  address?: string;
  /** `read()` gives one waiting connection, to be passed as `from`. */
  onReadable?: (count: number) => void;
  onError?: (error?: unknown) => void;
}
export interface Listener {
  read(): TCPStream | undefined;
  readonly port: number;
  close(): void;
}
export type ListenerConstructor = new (options: ListenerOptions) => Listener;

export interface DigitalOptions {
  /** A number on a chip; a name or "chip/line" on a host. */
  pin: number | string;
  mode: "input" | "inputPullUp" | "output";
  activeLow?: boolean;
  initialValue?: 0 | 1;
  onReadable?: () => void;
}
export interface Digital {
  /** Throws where the pin cannot be read. */
  read(): 0 | 1;
  /** Throws where the pin cannot be written. */
  write(value: 0 | 1): void;
  close(): void;
}
export type DigitalConstructor = new (options: DigitalOptions) => Digital;

/** One domain of embedded:storage/key-value. Keys up to 15 characters. A write is atomic. */
export interface KeyValueStore {
  /** Undefined where the key is absent. Throws where the medium fails. */
  read(key: string): ArrayBuffer | undefined;
  write(key: string, value: Bytes): void;
  delete(key: string): void;
  keys(): string[];
  close(): void;
}

/** embedded:storage/files, the part the evidence log uses. */
export interface File {
  read(count: number, position: number): ArrayBuffer;
  write(data: Bytes, position: number): void;
  size(): number;
  setSize(length: number): void;
  flush(): void;
  close(): void;
}
export interface Directory {
  openFile(options: { path: string; mode: "r" | "r+" | "w+" }): File;
  delete(path: string): boolean;
  move(from: string, to: string): void;
  scan(): string[];
}

export type TimerId = unknown;
export interface Timer {
  set(callback: () => void, delayMs: number): TimerId;
  repeat(callback: () => void, periodMs: number): TimerId;
  clear(id: TimerId | undefined): void;
}

/** Everything a board or host gives the services. main.ts is the only file that gets all of it. */
export interface Platform {
  readonly Serial: SerialConstructor;
  readonly TCP: TCPConstructor;
  readonly TLS: TLSConstructor;
  readonly Listener: ListenerConstructor;
  readonly Digital: DigitalConstructor;
  readonly storage: { open(options: { path: string }): KeyValueStore };
  readonly files: Directory;
  readonly timer: Timer;
  /** Milliseconds since the controller started; never goes back. An integer. */
  monotonic(): number;
  /** Seconds since 1970 from NTP, null where there is none. Agreement only, never authority. */
  networkTime(): number | null;
  /** 32 random bits. */
  random(): number;
  sha256(data: Uint8Array): Uint8Array;
  /**
   * ECDSA P-256 with SHA-256. `publicKey`: 65 bytes, uncompressed. `signature`: r || s, 64 bytes,
   * both in [1, n-1] already: the callers check, the libraries below do not. Answers on a later turn.
   */
  verifyP256(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array, done: (valid: boolean) => void): void;
  /** UTF-8 text of the platform's log: one line. */
  log(line: string): void;
}
