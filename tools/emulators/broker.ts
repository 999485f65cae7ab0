/**
 * A small MQTT 5 and 3.1.1 broker on the Platform classes: over real sockets with hal/node, in
 * virtual time with hal/sim. For `npm start`, the simulator and tests; bounded, and without any
 * rights management: it belongs on a loopback address.
 *
 * It keeps no session (session present is always 0), which both versions of MQTT allow.
 */
import type { ListenerConstructor, TCPConstructor, Timer } from "../../hal/ecma419.js";
import type { Millis } from "../../src/units.js";
import type { MqttPacket, MqttVersion } from "../../src/services/mqtt_packet.js";
import { BrokerClient } from "./broker_client.js";
import { topicMatches } from "./topic.js";

export const BROKER_CLIENTS_MAX = 64;
export const BROKER_RETAINED_MAX = 1_024;
export const BROKER_PACKET_BYTES_MAX = 16_384;

export interface BrokerMessage {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: 0 | 1;
  readonly retain: boolean;
  /** Monotonic; null = never. */
  readonly expires: Millis | null;
}

export interface BrokerHooks {
  /** A message on its way to a subscriber: how often it is sent. 0 drops it, 2 duplicates it. Default 1. */
  deliver?: (clientId: string, message: BrokerMessage) => number;
  /** False: the packet of a client is lost before the broker sees it. */
  receive?: (clientId: string, packet: MqttPacket) => boolean;
  /** CONNACK code for a CONNECT; 0 admits. */
  admit?: (packet: MqttPacket) => number;
  /** Each message the broker took in, its own included. */
  onPublish?: (message: BrokerMessage, clientId: string) => void;
}

export interface BrokerOptions {
  io: { Listener: ListenerConstructor; TCP: TCPConstructor };
  timer: Timer;
  monotonic(): Millis;
  /** 0 = any free one; see `port`. */
  port: number;
  address?: string;
  /** 4: MQTT 5 is refused with "unacceptable protocol version", as brokers of old do. */
  versionMax?: MqttVersion;
  hooks?: BrokerHooks;
}

export class Broker {
  readonly options: BrokerOptions;
  readonly hooks: BrokerHooks;
  readonly #listener: InstanceType<ListenerConstructor>;
  readonly #clients = new Set<BrokerClient>();
  readonly #retained = new Map<string, BrokerMessage>();
  #stopped = false;

  constructor(options: BrokerOptions) {
    this.options = options;
    this.hooks = options.hooks ?? {};
    this.#listener = new options.io.Listener({
      port: options.port,
      ...(options.address === undefined ? {} : { address: options.address }),
      onReadable: () => this.#accept(),
    });
  }

  get port(): number { return this.#listener.port; }

  /** Ids of the clients that are connected. */
  clients(): string[] { return [...this.#clients].filter((client) => client.admitted).map((client) => client.id); }

  retained(topic: string): BrokerMessage | null {
    const message = this.#retained.get(topic);
    if (message === undefined) return null;
    if (message.expires === null || message.expires > this.options.monotonic()) return message;
    this.#retained.delete(topic);
    return null;
  }

  /** Ends a client's connection without a word, as a broken line would; its will is published. All without an id. */
  kick(clientId?: string): number {
    const hit = [...this.#clients].filter((client) => clientId === undefined || client.id === clientId);
    for (const client of hit) client.end(true);
    return hit.length;
  }

  /** From now on the client's packets vanish and it is sent nothing: a half-open connection. */
  freeze(clientId: string): void {
    for (const client of this.#clients) if (client.id === clientId) client.frozen = true;
  }

  /** Ends all connections and the port. Retained messages are gone, as with a broker without a disk. */
  stop(): void {
    this.#stopped = true;
    this.#listener.close();
    for (const client of [...this.#clients]) client.end(false);
    this.#retained.clear();
  }

  publish(topic: string, payload: Uint8Array | string, { retain = false, qos = 1 as 0 | 1, expiry = null as number | null, from = "" } = {}): void {
    const message: BrokerMessage = {
      topic, payload: typeof payload === "string" ? new TextEncoder().encode(payload) : payload, qos, retain,
      expires: expiry === null ? null : this.options.monotonic() + expiry * 1000,
    };
    this.hooks.onPublish?.(message, from);
    if (retain) this.#keep(message);
    for (const client of [...this.#clients]) {
      const qosMax = client.subscribed(topic);
      if (qosMax !== null) client.deliver(message, qosMax, false);
    }
  }

  // ---- for BrokerClient ----

  /** Retained messages that match a filter, to a client that has just subscribed. */
  sendRetained(client: BrokerClient, filter: string, qosMax: 0 | 1): void {
    for (const topic of [...this.#retained.keys()]) {
      if (!topicMatches(filter, topic)) continue;
      const message = this.retained(topic);
      if (message !== null) client.deliver(message, qosMax, true);
    }
  }

  /** A second connection of the same id ends the first (MQTT 5 section 3.1.4). */
  takeOver(newcomer: BrokerClient): void {
    for (const client of [...this.#clients]) if (client !== newcomer && client.id === newcomer.id) client.end(true, 0x8e);
  }

  gone(client: BrokerClient): void { this.#clients.delete(client); }

  #keep(message: BrokerMessage): void {
    this.#retained.delete(message.topic);
    if (message.payload.length === 0) return;
    if (this.#retained.size >= BROKER_RETAINED_MAX) this.#retained.delete(this.#retained.keys().next().value as string);
    this.#retained.set(message.topic, message);
  }

  #accept(): void {
    for (let from = this.#listener.read(); from !== undefined; from = this.#listener.read()) {
      if (this.#stopped || this.#clients.size >= BROKER_CLIENTS_MAX) from.close();
      else this.#clients.add(new BrokerClient(this, from));
    }
  }
}
