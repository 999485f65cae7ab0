/**
 * The one file that knows npm mqtt-packet: packets to bytes, bytes to packets, both bounded.
 *
 * On XS the package is bundled with shims for what it requires: `buffer` (Buffer.from, .alloc,
 * .allocUnsafe, .byteLength, .isBuffer, writeUInt8, writeUInt32BE, subarray that gives a Buffer),
 * `bl` (append, consume, slice, toString, readUInt8/16BE/32BE, length), `events`
 * (EventEmitter.on/emit), `debug` and `process-nextick-args`. We ourselves need no Buffer: the
 * generator writes into the small stream below, and the parser takes any Uint8Array.
 */
import mqtt from "mqtt-packet";
import { MQTT_SKIP_BYTES_MAX } from "../constants.js";

export type MqttVersion = 4 | 5;

export interface MqttProperties {
  sessionExpiryInterval?: number;
  receiveMaximum?: number;
  maximumPacketSize?: number;
  maximumQoS?: number;
  serverKeepAlive?: number;
  topicAliasMaximum?: number;
  messageExpiryInterval?: number;
  topicAlias?: number;
  requestProblemInformation?: boolean;
  retainAvailable?: boolean;
  willDelayInterval?: number;
  contentType?: string;
  assignedClientIdentifier?: string;
}

export interface MqttWill {
  topic: string;
  payload: Uint8Array | string;
  qos: 0 | 1 | 2;
  retain: boolean;
  properties?: MqttProperties;
}

export interface MqttSubscription {
  topic: string;
  qos: 0 | 1 | 2;
  /** MQTT 5: keep the retain flag as published. */
  rap?: boolean;
  /** MQTT 5: do not send back what this client published. */
  nl?: boolean;
  /** MQTT 5 retain handling: 0 send retained messages, 1 only for a new subscription, 2 never. */
  rh?: number;
}

/** A packet in either direction. What came from the wire has been parsed, not believed: every field may be absent. */
export interface MqttPacket {
  cmd: "connect" | "connack" | "publish" | "puback" | "pubrec" | "pubrel" | "pubcomp" | "subscribe" | "suback"
    | "unsubscribe" | "unsuback" | "pingreq" | "pingresp" | "disconnect" | "auth";
  messageId?: number;
  topic?: string;
  payload?: Uint8Array | string;
  qos?: 0 | 1 | 2;
  retain?: boolean;
  dup?: boolean;
  reasonCode?: number;
  returnCode?: number;
  sessionPresent?: boolean;
  granted?: number[];
  subscriptions?: MqttSubscription[];
  unsubscriptions?: string[];
  protocolId?: "MQTT" | "MQIsdp";
  protocolVersion?: 3 | 4 | 5;
  clientId?: string;
  clean?: boolean;
  keepalive?: number;
  username?: string;
  password?: Uint8Array | string;
  will?: MqttWill;
  properties?: MqttProperties;
}

interface Generator {
  (packet: MqttPacket, stream: unknown, options: { protocolVersion: number }): boolean;
  cacheNumbers: boolean;
}
interface Parser {
  on(event: "packet", callback: (packet: MqttPacket) => void): void;
  on(event: "error", callback: () => void): void;
  parse(bytes: Uint8Array): number;
  _parseString(): string | null;
}
const library = mqtt as unknown as { writeToStream: Generator; parser(options: { protocolVersion: number }): Parser };

/** Bytes of one packet, or null where the packet cannot be put into bytes (a topic too long, a value out of range). */
export function encodePacket(packet: MqttPacket, version: MqttVersion): Uint8Array | null {
  const chunks: Uint8Array[] = [];
  let length = 0;
  let failed = false;
  const stream = {
    write(chunk: Uint8Array | string): boolean {
      const bytes = typeof chunk === "string" ? new TextEncoder().encode(chunk) : chunk;
      chunks.push(bytes);
      length += bytes.length;
      return true;
    },
    destroy(): void { failed = true; },
  };
  // The default would make 65,536 small buffers at the first packet.
  if (library.writeToStream.cacheNumbers) library.writeToStream.cacheNumbers = false;
  try {
    library.writeToStream(packet, stream, { protocolVersion: version });
  } catch {
    return null;
  }
  if (failed || length === 0) return null;
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

/** Why the bytes of a connection cannot go on; the connection must be closed. */
export type MqttFault = "malformed" | "too_long";

export interface PacketReaderOptions {
  /** Longest packet kept, fixed header included. */
  bytesMax: number;
  version: MqttVersion;
  onPacket: (packet: MqttPacket) => void;
  /** A packet longer than bytesMax was passed over (MQTT 3.1.1 cannot announce a maximum). */
  onSkipped?: (length: number) => void;
  onFault: (fault: MqttFault) => void;
}

/**
 * Cuts a stream into packets and hands each whole one to the parser. The fixed header is read here,
 * so that a packet above the bound is refused by its announced length, before a byte of it is kept:
 * passed over up to MQTT_SKIP_BYTES_MAX where `onSkipped` is given, else a fault. After a fault
 * nothing more is read.
 */
export class PacketReader {
  readonly #options: PacketReaderOptions;
  readonly #bytes: Uint8Array;
  readonly #parser: Parser;
  #have = 0;
  /** Whole length of the packet under way, 0 while its fixed header is incomplete. */
  #need = 0;
  #skip = 0;
  #stopped = false;
  #packet: MqttPacket | null = null;

  constructor(options: PacketReaderOptions) {
    this.#options = options;
    this.#bytes = new Uint8Array(options.bytesMax);
    this.#parser = makeParser(options.version, (packet) => { this.#packet = packet; });
  }

  stop(): void { this.#stopped = true; }

  push(input: Uint8Array): void {
    let at = 0;
    while (at < input.length && !this.#stopped) {
      if (this.#skip > 0) {
        const count = Math.min(this.#skip, input.length - at);
        this.#skip -= count;
        at += count;
      } else if (this.#need === 0) {
        this.#header(input[at++] as number);
      } else {
        const count = Math.min(this.#need - this.#have, input.length - at);
        this.#bytes.set(input.subarray(at, at + count), this.#have);
        this.#have += count;
        at += count;
      }
      if (this.#need > 0 && this.#have === this.#need) this.#whole();
    }
  }

  /** MQTT 5 section 1.5.5 and 2.1.4: one byte of type and flags, then a length of one to four bytes. */
  #header(byte: number): void {
    this.#bytes[this.#have++] = byte;
    if (this.#have === 1) return;
    if ((byte & 0x80) !== 0) {
      if (this.#have === 5) this.#fault("malformed");
      return;
    }
    let remaining = 0;
    for (let i = this.#have - 1; i >= 1; i--) remaining = remaining * 128 + ((this.#bytes[i] as number) & 0x7f);
    const whole = this.#have + remaining;
    if (whole <= this.#options.bytesMax) {
      this.#need = whole;
      return;
    }
    if (this.#options.onSkipped === undefined || whole > MQTT_SKIP_BYTES_MAX) return this.#fault("too_long");
    this.#skip = remaining;
    this.#have = 0;
    this.#options.onSkipped(whole);
  }

  #whole(): void {
    const view = this.#bytes.subarray(0, this.#need);
    this.#have = 0;
    this.#need = 0;
    const packet = this.#parse(view);
    if (packet === null) return this.#fault("malformed");
    // What the parser gives are views of #bytes, which the next packet overwrites.
    if (packet.payload instanceof Uint8Array) packet.payload = new Uint8Array(packet.payload);
    if (packet.password instanceof Uint8Array) packet.password = new Uint8Array(packet.password);
    if (packet.will?.payload instanceof Uint8Array) packet.will.payload = new Uint8Array(packet.will.payload);
    this.#options.onPacket(packet);
  }

  #parse(view: Uint8Array): MqttPacket | null {
    this.#packet = null;
    try {
      this.#parser.parse(view);
    } catch {
      return null; // bl throws on reads past the end of a packet that is too short
    }
    return this.#packet;
  }

  #fault(fault: MqttFault): void {
    this.#stopped = true;
    this.#options.onFault(fault);
  }
}

function makeParser(version: MqttVersion, onPacket: (packet: MqttPacket) => void): Parser {
  const parser = library.parser({ protocolVersion: version });
  let failed = false;
  parser.on("error", () => { failed = true; });
  parser.on("packet", (packet) => { if (!failed) onPacket(packet); });
  // User properties become property names, which XS never frees: a peer could fill the key table
  // of the chip. They are read and forgotten. defineProperty, because a preloaded prototype is
  // frozen and plain assignment over it throws.
  Object.defineProperty(parser, "_parseStringPair", {
    value(): { name: string; value: string } {
      parser._parseString();
      parser._parseString();
      return { name: "user", value: "" };
    },
  });
  return parser;
}
