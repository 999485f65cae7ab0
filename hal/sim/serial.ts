/**
 * Serial lines: two ends, paced by the baud rate. Both ends must agree on the line's setting, or the
 * receiver gets what a UART would get: noise at another baud rate, the parity bit as bit 7 where a
 * 7E1 sender meets an 8N1 receiver, parity errors the other way.
 */
import { ByteQueue } from "../byte_queue.js";
import type { SerialOptions } from "../ecma419.js";
import type { SimPlatform } from "./platform.js";
import { SimStream, WRITE_BYTES_MAX } from "./stream.js";
import type { SimWorld } from "./world.js";

/** One end of a line; a Serial may open it. */
export class SerialEnd {
  readonly path: string;
  peer: SerialEnd | null = null;
  opened: SimSerial | null = null;
  /** Unread bytes kept, as the driver's ring; more are lost. Null: no bound. */
  fifoBytes: number | null = 4096;
  /** Bytes lost because nobody read them in time. */
  overruns = 0;
  /** Sees what arrives here; may give other bytes, or null for silence. */
  tamper: ((bytes: Uint8Array) => Uint8Array | null) | null = null;
  #plugged = true;

  constructor(path: string) {
    this.path = path;
  }

  get plugged(): boolean {
    return this.#plugged;
  }
  /** A USB cable pulled out: the open Serial gets its onError, and the next open fails so too. */
  set plugged(plugged: boolean) {
    this.#plugged = plugged;
    if (!plugged) this.opened?.signal({ error: new Error(`${this.path}: unplugged`) });
  }
}

export interface Framing {
  readonly baud: number;
  readonly dataBits: 7 | 8;
  readonly parity: "none" | "even" | "odd";
  readonly stopBits: 1 | 2;
}

export class SimSerial extends SimStream {
  readonly framing: Framing;
  #end: SerialEnd;
  #received = new ByteQueue();
  #outgoing: { bytes: Uint8Array; sent: number }[] = [];
  #queued = 0;
  /** When the first unsent bit leaves, in milliseconds with a fraction. */
  #lineFree = 0;
  #pumping = false;
  #open = false;

  constructor(platform: SimPlatform, options: SerialOptions) {
    super(platform, options);
    const path = options.device ?? `${platform.name}:uart${options.port ?? 0}`;
    this.framing = { baud: options.baud, dataBits: options.dataBits ?? 8, parity: options.parity ?? "none", stopBits: options.stopBits ?? 1 };
    const end = platform.world.serialEnd(path);
    this.#end = end ?? new SerialEnd(path);
    if (!end || !end.plugged || end.opened) {
      this.signal({ error: new Error(`${path}: ${end?.opened ? "in use" : "no such device"}`) });
      return;
    }
    end.opened = this;
    this.#open = true;
    platform.serials.add(this);
    this.signal("writable");
  }

  protected override free(): number {
    return this.#open ? WRITE_BYTES_MAX - this.#queued : 0;
  }
  protected override unread(): ByteQueue {
    return this.#received;
  }

  protected override send(bytes: Uint8Array): void {
    const { world } = this.platform;
    this.#outgoing.push({ bytes, sent: 0 });
    this.#queued += bytes.length;
    if (this.#pumping) return;
    this.#lineFree = Math.max(this.#lineFree, world.now);
    this.#pumping = true;
    this.#later(world);
  }

  get #byteMs(): number {
    const { baud, dataBits, parity, stopBits } = this.framing;
    return ((1 + dataBits + (parity === "none" ? 0 : 1) + stopBits) * 1000) / baud;
  }

  #later(world: SimWorld): void {
    const end = this.#lineFree + this.#queued * this.#byteMs;
    const next = this.#lineFree + this.#byteMs;
    const time = Math.ceil(Math.min(end, Math.max(next, world.now + world.serialGrainMs)) - 1e-9);
    this.platform.post(() => this.#pump(), Math.max(0, time - world.now));
  }

  #pump(): void {
    const { world } = this.platform;
    let due = Math.floor((world.now - this.#lineFree) / this.#byteMs + 1e-9);
    this.#lineFree += Math.min(due, this.#queued) * this.#byteMs;
    while (due > 0 && this.#outgoing.length > 0) {
      const first = this.#outgoing[0] as { bytes: Uint8Array; sent: number };
      const part = first.bytes.subarray(first.sent, first.sent + due);
      first.sent += part.length;
      due -= part.length;
      this.#queued -= part.length;
      if (first.sent === first.bytes.length) this.#outgoing.shift();
      this.#end.peer?.opened?.arrive(part, this.framing);
    }
    this.#pumping = this.#queued > 0;
    if (this.#pumping) this.#later(world);
    this.signal("writable");
  }

  /** From the other end. */
  arrive(sent: Uint8Array, framing: Framing): void {
    let bytes: Uint8Array | null = reframed(sent, framing, this.framing, this.platform.world);
    if (this.#end.tamper) bytes = this.#end.tamper(bytes);
    if (bytes === null || bytes.length === 0) return;
    const room = this.#end.fifoBytes === null ? bytes.length : Math.max(0, this.#end.fifoBytes - this.#received.length);
    if (room < bytes.length) this.#end.overruns += bytes.length - room;
    this.#received.push(bytes.subarray(0, room));
    if (room > 0) this.signal("readable");
  }

  protected override end(): void {
    this.lose();
  }

  /** Closed, or gone with its platform's power: what was not sent is lost. */
  lose(): void {
    if (this.#end.opened === this) this.#end.opened = null;
    this.#open = false;
    this.#outgoing = [];
    this.#queued = 0;
    this.platform.serials.delete(this);
  }
}

function reframed(bytes: Uint8Array, from: Framing, to: Framing, world: SimWorld): Uint8Array {
  if (from.baud !== to.baud) {
    const noise = new Uint8Array(Math.max(1, Math.floor((bytes.length * to.baud) / from.baud)));
    for (let i = 0; i < noise.length; i++) noise[i] = world.random.u32();
    return noise;
  }
  if (from.dataBits === to.dataBits && from.parity === to.parity) return bytes;
  const out: number[] = [];
  for (const byte of bytes) {
    const wire = from.dataBits === 7 ? (byte & 0x7f) | (parityBit(byte & 0x7f, from.parity) << 7) : byte;
    if (to.dataBits === 8) out.push(wire);
    // A UART with parity drops, or marks, the characters whose parity is wrong.
    else if (to.parity === "none" || wire >> 7 === parityBit(wire & 0x7f, to.parity)) out.push(wire & 0x7f);
  }
  return Uint8Array.from(out);
}

function parityBit(bits: number, parity: Framing["parity"]): number {
  let ones = 0;
  for (let rest = bits; rest > 0; rest >>= 1) ones += rest & 1;
  return parity === "none" ? 1 : parity === "even" ? ones & 1 : 1 - (ones & 1);
}
