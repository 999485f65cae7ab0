/**
 * Puts emulated devices on the wire: Modbus TCP over a Listener, Modbus RTU over a Serial. Only
 * ECMA-419 classes, so the same devices stand on real sockets and lines (hal/node) and in virtual
 * time (hal/sim).
 */
import type { Platform, SerialOptions, Stream, TCPStream, TimerId } from "../../hal/ecma419.js";
import { crc16 } from "../../src/wire/crc16.js";
import { exception, type EmulatedDevice } from "./modbus_device.js";

export type ServerPlatform = Pick<Platform, "Listener" | "TCP" | "Serial" | "timer">;

/** Bytes of half a frame are forgotten after this much silence (3.5 characters, and a host's jitter). */
const SILENCE_MS = 50;
/** What a gateway says of a unit behind it that does not answer (V1.1b3, 7). */
const TARGET_FAILED = 0x0b;

export interface ModbusServer {
  /** TCP: the port listened at; 0 until it is known. */
  readonly port: number;
  readonly connections: number;
  close(): void;
}

/** Every device on one TCP port, found by its unit. Unit 0 and 255 reach the only device there is. */
export function serveTcp(platform: ServerPlatform, devices: readonly EmulatedDevice[], options: { port: number; address?: string }): ModbusServer {
  const open = new Set<TCPStream>();
  const listener = new platform.Listener({
    ...options,
    onReadable: () => {
      for (let from = listener.read(); from !== undefined; from = listener.read()) accept(from);
    },
  });
  const accept = (from: TCPStream): void => {
    let received = new Uint8Array(0);
    const line = new Outgoing(platform);
    const stream: TCPStream = new platform.TCP({
      from, noDelay: true, format: "buffer",
      onReadable: () => {
        received = joined(received, stream.read());
        for (;;) {
          if (received.length < 8) return;
          const length = u16(received, 4);
          if (u16(received, 2) !== 0 || length < 2 || length > 254) return end();
          if (received.length < 6 + length) return;
          const frame = received.slice(0, 6 + length);
          received = received.slice(6 + length);
          request(frame);
        }
      },
      onWritable: (count) => line.writable(count),
      onError: () => end(),
    });
    const end = (): void => {
      line.close();
      open.delete(stream);
      stream.close();
    };
    const request = (frame: Uint8Array): void => {
      const unit = frame[6]!;
      const device = devices.find((one) => one.unit === unit) ?? (devices.length === 1 && (unit === 0 || unit === 255) ? devices[0] : undefined);
      const answer = device ? device.answer(frame.subarray(7)) : exception(frame[7]!, TARGET_FAILED);
      if (answer === null) return;
      const out = new Uint8Array(7 + answer.length);
      out.set(frame.subarray(0, 4));
      out[4] = (answer.length + 1) >> 8;
      out[5] = (answer.length + 1) & 0xff;
      out[6] = device?.faults.wrongUnit ? (unit + 1) & 0xff : unit;
      out.set(answer, 7);
      line.send(device?.faults.torn ? out.slice(0, out.length >> 1) : out, device?.faults.delayMs ?? 0);
    };
    line.attach(stream);
    open.add(stream);
  };
  return {
    get port() { return listener.port; },
    get connections() { return open.size; },
    close() {
      listener.close();
      for (const stream of open) stream.close();
      open.clear();
    },
  };
}

/** Every device on one serial line; frames for other units are left alone. */
export function serveRtu(platform: ServerPlatform, devices: readonly EmulatedDevice[], options: Omit<SerialOptions, "format">): ModbusServer {
  let received = new Uint8Array(0), forget: TimerId | undefined;
  const line = new Outgoing(platform);
  const stream = new platform.Serial({
    ...options, format: "buffer",
    onReadable: () => {
      received = joined(received, stream.read());
      platform.timer.clear(forget);
      forget = platform.timer.set(() => { received = new Uint8Array(0); }, SILENCE_MS);
      for (;;) {
        const length = frameLength(received);
        if (length === null || received.length < length) return;
        const frame = received.subarray(0, length);
        if (crc16(frame, 0, length, 0xffff) === 0) {
          request(frame.slice(0, length - 2));
          received = received.slice(length);
        } else received = received.slice(1);
      }
    },
    onWritable: (count) => line.writable(count),
    onError: () => line.close(),
  });
  const request = (frame: Uint8Array): void => {
    const unit = frame[0]!;
    for (const device of devices) {
      // Unit 0 is for all, and nobody answers.
      if (unit !== 0 && device.unit !== unit) continue;
      const answer = device.answer(frame.subarray(1));
      if (answer === null || unit === 0) continue;
      const out = new Uint8Array(answer.length + 3);
      out[0] = device.faults.wrongUnit ? (unit % 247) + 1 : unit;
      out.set(answer, 1);
      const crc = crc16(out, 0, out.length - 2, 0xffff);
      out[out.length - 2] = crc & 0xff;
      out[out.length - 1] = crc >> 8;
      line.send(device.faults.torn ? out.slice(0, out.length >> 1) : out, device.faults.delayMs);
    }
  };
  line.attach(stream);
  return {
    port: 0, connections: 1,
    close() {
      platform.timer.clear(forget);
      line.close();
      stream.close();
    },
  };
}

/** Requests end by their length: a server knows it from the function. Null: not yet known. */
function frameLength(bytes: Uint8Array): number | null {
  if (bytes.length < 2) return null;
  const code = bytes[1]!;
  if (code !== 15 && code !== 16) return 8;
  return bytes.length < 7 ? null : 9 + bytes[6]!;
}

/** Answers in order, late where a fault says so, never more than the stream takes. */
class Outgoing {
  readonly #platform: ServerPlatform;
  #stream: Stream | null = null;
  #allowance = 0;
  #waiting: Uint8Array[] = [];
  readonly #timers = new Set<TimerId>();

  constructor(platform: ServerPlatform) { this.#platform = platform; }
  attach(stream: Stream): void { this.#stream = stream; }

  send(bytes: Uint8Array, delayMs: number): void {
    if (delayMs <= 0) {
      this.#waiting.push(bytes);
      this.#flush();
      return;
    }
    const timer: TimerId = this.#platform.timer.set(() => {
      this.#timers.delete(timer);
      this.#waiting.push(bytes);
      this.#flush();
    }, delayMs);
    this.#timers.add(timer);
  }

  writable(count: number): void {
    this.#allowance = count;
    this.#flush();
  }

  #flush(): void {
    while (this.#stream !== null && this.#waiting.length > 0 && this.#waiting[0]!.length <= this.#allowance) {
      const bytes = this.#waiting.shift()!;
      this.#allowance -= bytes.length;
      this.#stream.write(bytes);
    }
  }

  close(): void {
    for (const timer of this.#timers) this.#platform.timer.clear(timer);
    this.#timers.clear();
    this.#stream = null;
  }
}

function joined(kept: Uint8Array, more: ArrayBuffer | undefined): Uint8Array<ArrayBuffer> {
  if (more === undefined) return kept.slice();
  const out = new Uint8Array(kept.length + more.byteLength);
  out.set(kept);
  out.set(new Uint8Array(more), kept.length);
  return out;
}
const u16 = (bytes: Uint8Array, at: number): number => (bytes[at]! << 8) | bytes[at + 1]!;
