/**
 * What goes to the broker, in the order in which it goes: control packets, QoS 1 messages to be sent
 * again, then the queue. Queue and unacknowledged messages outlive a connection; the rest does not.
 */
import { MQTT_ACK_TIMEOUT_MS, MQTT_CONTROL_MAX, MQTT_INFLIGHT_MAX } from "../constants.js";
import type { Millis } from "../units.js";
import { encodePacket, type MqttPacket, type MqttVersion } from "./mqtt_packet.js";
import { MessageQueue, type Message, type Queued } from "./mqtt_queue.js";
import type { MqttCounters } from "./mqtt_status.js";

interface Flight { readonly message: Message; readonly id: number; since: Millis; sent: boolean; again: boolean }

/** What the broker of this connection accepts. */
export interface Terms {
  readonly version: MqttVersion;
  readonly packetMax: number;
  readonly receiveMaximum: number;
  readonly qosMax: 0 | 1;
  /** It kept our session: what is sent again is marked as a duplicate. */
  readonly kept: boolean;
}

export class Outbox {
  readonly #counters: MqttCounters;
  readonly #queue = new MessageQueue();
  #flights: Flight[] = [];
  #control: Uint8Array[] = [];
  /** The packet being written, and how far. */
  #out: Uint8Array | null = null;
  #outAt = 0;
  #lastId = 0;
  /** Null while not connected: then only control packets go. */
  #terms: Terms | null = null;

  constructor(counters: MqttCounters) { this.#counters = counters; }

  get waiting(): number { return this.#queue.length + this.#flights.length; }

  add(message: Message): Queued {
    const outcome = this.#queue.add(message);
    if (outcome === "replaced") this.#counters.replaced++;
    else if (outcome !== "queued") this.#counters.discarded++;
    return outcome;
  }

  /** False where too many wait already (the broker does not read) or it cannot be put into bytes. */
  control(packet: MqttPacket, version: MqttVersion): boolean {
    const bytes = encodePacket(packet, version);
    if (bytes === null || this.#control.length >= MQTT_CONTROL_MAX) return false;
    this.#control.push(bytes);
    return true;
  }

  /** The broker has let us in. */
  open(terms: Terms): void {
    this.#terms = terms;
    for (const flight of this.#flights) {
      flight.again = flight.sent && terms.kept;
      flight.sent = false;
    }
  }

  /** The connection is gone. */
  reset(): void {
    this.#terms = null;
    this.#control = [];
    this.#out = null;
    this.#outAt = 0;
  }

  acknowledged(id: number | undefined, code: number): void {
    const at = this.#flights.findIndex((flight) => flight.id === id && flight.sent);
    if (at < 0) return; // an old one, answered twice
    this.#flights.splice(at, 1);
    // 0x10 "no matching subscribers" is a success; from 0x80 the broker refused: again would be the same.
    if (code >= 0x80) this.#counters.discarded++;
    else this.#counters.acknowledged++;
  }

  expire(now: Millis): void { this.#counters.expired += this.#queue.expire(now); }

  /** A message has waited too long for its acknowledgement. */
  late(now: Millis): boolean {
    return this.#flights.some((flight) => flight.sent && now - flight.since > MQTT_ACK_TIMEOUT_MS);
  }

  /** At most `writable` bytes to be written now, null where there is nothing to say. */
  take(writable: number, now: Millis): Uint8Array | null {
    if (this.#out === null) {
      this.#out = this.#control.shift() ?? this.#nextPublish(now);
      this.#outAt = 0;
      if (this.#out === null) return null;
    }
    const part = this.#out.subarray(this.#outAt, this.#outAt + writable);
    this.#outAt += part.length;
    if (this.#outAt === this.#out.length) this.#out = null;
    return part;
  }

  nextId(): number {
    do {
      this.#lastId = this.#lastId >= 65535 ? 1 : this.#lastId + 1;
    } while (this.#flights.some((flight) => flight.id === this.#lastId));
    return this.#lastId;
  }

  #nextPublish(now: Millis): Uint8Array | null {
    const terms = this.#terms;
    if (terms === null) return null;
    this.expire(now);
    const window = Math.min(MQTT_INFLIGHT_MAX, terms.receiveMaximum);
    for (;;) {
      let flight = this.#flights.find((waiting) => !waiting.sent) ?? null;
      // After a reconnect the window may be smaller than what is to be sent again.
      if (flight !== null && this.#flights.filter(({ sent }) => sent).length >= window) return null;
      if (flight === null) {
        const message = this.#queue.next(this.#flights.length < window);
        if (message === null) return null;
        flight = { message, id: message.qos === 1 && terms.qosMax === 1 ? this.nextId() : 0, since: now, sent: false, again: false };
        if (flight.id !== 0) this.#flights.push(flight);
      }
      flight.sent = true;
      flight.since = now;
      const bytes = encode(flight, now, terms);
      if (bytes !== null) {
        this.#counters.sent++;
        return bytes;
      }
      const at = this.#flights.indexOf(flight);
      if (at >= 0) this.#flights.splice(at, 1);
      this.#counters.discarded++;
    }
  }
}

function encode({ message, id, again }: Flight, now: Millis, terms: Terms): Uint8Array | null {
  const expiry = message.expires === null ? null : Math.max(1, Math.ceil((message.expires - now) / 1000));
  const bytes = encodePacket({
    cmd: "publish", topic: message.topic, payload: message.payload, retain: message.retain, dup: again,
    qos: id === 0 ? 0 : 1, ...(id === 0 ? {} : { messageId: id }),
    ...(terms.version === 5 && expiry !== null ? { properties: { messageExpiryInterval: expiry } } : {}),
  }, terms.version);
  return bytes === null || bytes.length > terms.packetMax ? null : bytes;
}
