/** One connection of the emulated broker: its packets, subscriptions, will, keep-alive and output. */
import type { TCPStream, TimerId } from "../../hal/ecma419.js";
import { encodePacket, PacketReader, type MqttPacket, type MqttVersion, type MqttWill } from "../../src/services/mqtt_packet.js";
import { BROKER_PACKET_BYTES_MAX, type Broker, type BrokerMessage } from "./broker.js";
import { filterIsValid, topicMatches } from "./topic.js";

const CONNECT_TIMEOUT_MS = 10_000;
const SUBSCRIPTIONS_MAX = 32;
/** Bytes a client may leave unread before it is dropped. */
const OUT_BYTES_MAX = 262_144;

export class BrokerClient {
  readonly #broker: Broker;
  readonly #stream: TCPStream;
  readonly #reader: PacketReader;
  readonly #subscriptions = new Map<string, { qos: 0 | 1; rap: boolean }>();
  id = "";
  admitted = false;
  frozen = false;
  #ended = false;
  #version: MqttVersion = 4;
  #will: MqttWill | null = null;
  #packetMax = Number.MAX_SAFE_INTEGER;
  #silenceMax = CONNECT_TIMEOUT_MS;
  #timer: TimerId;
  #out: Uint8Array[] = [];
  #outAt = 0;
  #outBytes = 0;
  #writable = 0;
  #lastId = 0;

  constructor(broker: Broker, from: TCPStream) {
    const { io, timer } = broker.options;
    this.#broker = broker;
    this.#reader = new PacketReader({
      bytesMax: BROKER_PACKET_BYTES_MAX, version: 4,
      onPacket: (packet) => this.#packet(packet), onFault: () => this.end(true),
    });
    this.#stream = new io.TCP({
      from, noDelay: true, format: "buffer",
      onReadable: () => this.#read(),
      onWritable: (count) => { this.#writable = count; this.#flush(); },
      onError: () => this.end(true),
    });
    this.#timer = timer.set(() => this.end(true), this.#silenceMax);
  }

  /** The highest QoS this client subscribed the topic with; null where it did not. */
  subscribed(topic: string): 0 | 1 | null {
    let best: 0 | 1 | null = null;
    for (const [filter, { qos }] of this.#subscriptions) {
      if (topicMatches(filter, topic) && (best === null || qos > best)) best = qos;
    }
    return best;
  }

  deliver(message: BrokerMessage, qosMax: 0 | 1, fresh: boolean): void {
    if (!this.admitted) return;
    const now = this.#broker.options.monotonic();
    if (message.expires !== null && message.expires <= now) return;
    const qos = Math.min(message.qos, qosMax) as 0 | 1;
    const rap = [...this.#subscriptions].some(([filter, options]) => options.rap && topicMatches(filter, message.topic));
    const times = this.#broker.hooks.deliver?.(this.id, message) ?? 1;
    for (let i = 0; i < times; i++) {
      this.#lastId = this.#lastId >= 65535 ? 1 : this.#lastId + 1;
      this.#send({
        cmd: "publish", topic: message.topic, payload: message.payload, qos, dup: i > 0 && qos > 0, retain: fresh || (rap && message.retain),
        ...(qos > 0 ? { messageId: this.#lastId } : {}),
        ...(this.#version === 5 && message.expires !== null ? { properties: { messageExpiryInterval: Math.max(1, Math.ceil((message.expires - now) / 1000)) } } : {}),
      });
    }
  }

  /** `code`: said in a DISCONNECT first, to MQTT 5 clients. */
  end(withWill: boolean, code?: number): void {
    if (this.#ended) return;
    if (code !== undefined && this.#version === 5) this.#send({ cmd: "disconnect", reasonCode: code });
    this.#ended = true;
    this.#reader.stop();
    this.#broker.options.timer.clear(this.#timer);
    this.#stream.close();
    this.#broker.gone(this);
    const will = this.#will;
    if (withWill && this.admitted && will !== null) {
      this.#broker.publish(will.topic, will.payload, { retain: will.retain, qos: will.qos === 0 ? 0 : 1, expiry: will.properties?.messageExpiryInterval ?? null, from: this.id });
    }
  }

  #read(): void {
    for (;;) {
      const bytes = this.#ended ? undefined : this.#stream.read();
      if (bytes === undefined || bytes.byteLength === 0) return;
      if (!this.frozen) this.#reader.push(new Uint8Array(bytes));
    }
  }

  /** MQTT 5 section 3.1.2.10: one and a half times the keep-alive without a packet ends the connection. */
  #heard(): void {
    const { timer } = this.#broker.options;
    timer.clear(this.#timer);
    if (this.#silenceMax > 0) this.#timer = timer.set(() => this.end(true, 0x8d), this.#silenceMax);
  }

  #packet(packet: MqttPacket): void {
    if (this.#broker.hooks.receive?.(this.id, packet) === false) return;
    if (!this.admitted) return packet.cmd === "connect" ? this.#connect(packet) : this.end(false);
    this.#heard();
    switch (packet.cmd) {
      case "publish": return this.#publish(packet);
      case "subscribe": return this.#subscribe(packet);
      case "unsubscribe":
        for (const filter of packet.unsubscriptions ?? []) this.#subscriptions.delete(filter);
        return this.#send({ cmd: "unsuback", messageId: packet.messageId ?? 0, granted: (packet.unsubscriptions ?? []).map(() => 0) });
      case "pingreq": return this.#send({ cmd: "pingresp" });
      case "puback": return;
      case "disconnect": return this.end(packet.reasonCode === 4);
      default: return this.end(true, 0x82);
    }
  }

  #connect(packet: MqttPacket): void {
    const asked = packet.protocolVersion ?? 4;
    this.#version = asked === 5 ? 5 : 4;
    const { versionMax = 5, monotonic } = this.#broker.options;
    if (this.#version > versionMax) {
      this.#version = 4;
      this.#send({ cmd: "connack", returnCode: 1, sessionPresent: false });
      return this.end(false);
    }
    this.id = packet.clientId || `anonymous-${monotonic()}-${this.#stream.remotePort ?? 0}`;
    const code = this.#broker.hooks.admit?.(packet) ?? 0;
    const properties = this.#version === 5 ? { properties: { maximumPacketSize: BROKER_PACKET_BYTES_MAX, maximumQoS: 1 } } : {};
    if (code === 0) this.admitted = true;
    this.#send({ cmd: "connack", reasonCode: code, returnCode: code, sessionPresent: false, ...properties });
    if (code !== 0) return this.end(false);
    this.#will = packet.will ?? null;
    this.#packetMax = packet.properties?.maximumPacketSize || Number.MAX_SAFE_INTEGER;
    this.#silenceMax = (packet.keepalive ?? 0) * 1500;
    this.#heard();
    if (this.#silenceMax === 0) this.#broker.options.timer.clear(this.#timer);
    this.#broker.takeOver(this);
  }

  #publish(packet: MqttPacket): void {
    const { topic, payload, messageId } = packet;
    const qos = packet.qos ?? 0;
    if (topic === undefined || topic === "" || topic.includes("#") || topic.includes("+") || payload === undefined || qos > 1) return this.end(true, 0x82);
    this.#broker.publish(topic, payload, {
      retain: packet.retain === true, qos: qos === 0 ? 0 : 1, expiry: packet.properties?.messageExpiryInterval ?? null, from: this.id,
    });
    if (qos === 1) this.#send({ cmd: "puback", messageId: messageId ?? 0, reasonCode: 0 });
  }

  #subscribe(packet: MqttPacket): void {
    const granted: number[] = [];
    const taken: { filter: string; qos: 0 | 1 }[] = [];
    for (const { topic, qos, rap, rh } of packet.subscriptions ?? []) {
      if (!filterIsValid(topic) || (this.#subscriptions.size >= SUBSCRIPTIONS_MAX && !this.#subscriptions.has(topic))) {
        granted.push(this.#version === 5 ? 0x8f : 0x80);
        continue;
      }
      const given: 0 | 1 = qos === 0 ? 0 : 1;
      const known = this.#subscriptions.has(topic);
      this.#subscriptions.set(topic, { qos: given, rap: rap === true });
      granted.push(given);
      if (!(rh === 2 || (rh === 1 && known))) taken.push({ filter: topic, qos: given });
    }
    this.#send({ cmd: "suback", messageId: packet.messageId ?? 0, granted });
    for (const { filter, qos } of taken) this.#broker.sendRetained(this, filter, qos);
  }

  #send(packet: MqttPacket): void {
    if (this.#ended || this.frozen) return;
    const bytes = encodePacket(packet, this.#version);
    // MQTT 5 section 3.1.2.11.4: what is above the client's maximum is not sent, as if it had been.
    if (bytes === null || bytes.length > this.#packetMax) return;
    this.#outBytes += bytes.length;
    if (this.#outBytes > OUT_BYTES_MAX) return this.end(true);
    this.#out.push(bytes);
    this.#flush();
  }

  #flush(): void {
    while (this.#writable > 0 && this.#out.length > 0 && !this.#ended) {
      const first = this.#out[0] as Uint8Array;
      const part = first.subarray(this.#outAt, this.#outAt + this.#writable);
      this.#writable -= part.length;
      this.#outAt += part.length;
      this.#outBytes -= part.length;
      if (this.#outAt === first.length) {
        this.#out.shift();
        this.#outAt = 0;
      }
      try {
        this.#stream.write(part);
      } catch {
        return this.end(true);
      }
    }
  }
}
