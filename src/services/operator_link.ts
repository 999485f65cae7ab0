/**
 * The house's side of MQTT: takes cap tokens from the three audiences that may name this house, and
 * tells what the house does. Topics: docs/mqtt.md. The bytes of a token are handed on unread: the
 * channel proves nothing, the signature does (CAPS).
 */
import type { Platform, TLSOptions } from "../../hal/ecma419.js";
import { MqttClient, type MqttStatus, type Queued } from "./mqtt_client.js";

import { parseMqttUrl, type SiteFile } from "./site_config.js";

export interface BrokerAddress {
  readonly host: string;
  readonly port: number;
  /** Present = TLS. */
  readonly secure?: NonNullable<TLSOptions["secure"]>;
  readonly username?: string;
  readonly password?: string;
}

export interface OperatorLinkOptions {
  platform: Pick<Platform, "TCP" | "TLS" | "timer" | "random" | "monotonic">;
  broker: BrokerAddress;
  serial: string;
  ean: string | null;
  msr: string | null;
  /** Called on a later turn than the constructor, once per message, repeats included. */
  onToken(bytes: Uint8Array): void;
  onStatus?(status: MqttStatus): void;
}

/** A status older than this says nothing any more: the broker forgets it. */
export const STATUS_EXPIRY_S = 300;

export class OperatorLink {
  readonly #client: MqttClient;
  readonly #root: string;

  constructor(options: OperatorLinkOptions) {
    const { platform, broker, serial, ean, msr } = options;
    this.#root = `vangnet/${topicLevel(serial)}`;
    this.#client = new MqttClient({
      io: broker.secure === undefined ? platform.TCP : platform.TLS,
      timer: platform.timer, random: () => platform.random(), monotonic: () => platform.monotonic(),
      host: broker.host, port: broker.port,
      ...(broker.secure === undefined ? {} : { secure: broker.secure }),
      clientId: `vangnet-${topicLevel(serial)}`,
      ...(broker.username === undefined ? {} : { username: broker.username }),
      ...(broker.password === undefined ? {} : { password: broker.password }),
      subscriptions: capTopics(ean, msr),
      will: { topic: `${this.#root}/online`, payload: "offline" },
      // An empty payload is how a retained message is deleted. It is no token and changes nothing:
      // only a newer token ends a cap.
      onMessage: (_topic, payload) => { if (payload.length > 0) options.onToken(payload); },
      onStatus: (status) => {
        if (status.state === "up") this.#client.publish(`${this.#root}/online`, "online", { retain: true, qos: 1 });
        options.onStatus?.(status);
      },
    });
  }

  get status(): MqttStatus { return this.#client.status; }

  /** The status JSON; replaces one that was not sent yet. */
  publishStatus(json: string): Queued {
    return this.#client.publish(`${this.#root}/status`, json, { retain: true, expiry: STATUS_EXPIRY_S });
  }

  /** One event of the evidence chain as JSON, in the order in which they happened. */
  publishEvent(json: string): Queued {
    return this.#client.publish(`${this.#root}/events`, json, { qos: 1 });
  }

  /** Head of the evidence chain: whoever keeps it can later tell a log that was cut or rewritten. */
  publishHead(json: string): Queued {
    return this.#client.publish(`${this.#root}/evidence/head`, json, { retain: true, qos: 1 });
  }

  close(): void { this.#client.close(); }
}

/** CAPS, "The token": one topic per audience. */
export function capTopics(ean: string | null, msr: string | null): string[] {
  const topics = ["vangnet/cap/all"];
  if (ean !== null) topics.push(`vangnet/cap/ean/${topicLevel(ean)}`);
  if (msr !== null) topics.push(`vangnet/cap/msr/${topicLevel(msr)}`);
  return topics;
}

/** A name as one topic level: separators and wildcards would make it another topic, or all of them. */
export function topicLevel(name: string): string {
  let level = "";
  for (const character of name) {
    const special = character === "/" || character === "+" || character === "#" || character < " " || character === "\u007f";
    level += special ? "_" : character;
  }
  return level;
}

/** The broker as site.json names it; null where its URL is none. */
export function brokerAddress(mqtt: NonNullable<SiteFile["operator"]["mqtt"]>, authority: Uint8Array | undefined): BrokerAddress | null {
  const url = parseMqttUrl(mqtt.url);
  if (url === null) return null;
  return {
    host: url.host, port: url.port,
    ...(url.tls ? { secure: authority === undefined ? {} : { certificate: authority } } : {}),
    ...(mqtt.username === undefined ? {} : { username: mqtt.username }),
    ...(mqtt.password === undefined ? {} : { password: mqtt.password }),
  };
}
