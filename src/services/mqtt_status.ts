/** What the MQTT client says of itself. */
import type { Millis } from "../units.js";
import type { MqttVersion } from "./mqtt_packet.js";

export type MqttState = "waiting" | "connecting" | "handshake" | "up" | "closed";

export type MqttReason =
  | "start" | "connected"
  | "io"              // no network, refused, unknown host, TLS: `detail` has the platform's words
  | "connect_timeout" // no CONNACK in MQTT_CONNECT_TIMEOUT_MS
  | "closed_early"    // closed instead of a CONNACK
  | "version"         // the broker refuses this MQTT version: the other one is tried at once
  | "not_authorized" | "refused"
  | "lost"            // the connection ended
  | "keep_alive"      // a ping was not answered: half-open
  | "ack_timeout"     // alive, but acknowledges nothing
  | "disconnected"    // DISCONNECT from the broker: `detail` has its code
  | "malformed" | "too_long" | "protocol" | "not_reading"
  | "closed";

export interface MqttCounters {
  attempts: number; connections: number; drops: number;
  received: number; sent: number; acknowledged: number;
  /** Messages given up: queue full, too long, refused by the broker. */
  discarded: number; expired: number; replaced: number;
  /** Incoming packets above the bound, faults in the bytes, subscriptions refused, exceptions of callbacks. */
  oversized: number; malformed: number; subscriptionsRefused: number; callbackErrors: number;
}

export const noCounts = (): MqttCounters => ({
  attempts: 0, connections: 0, drops: 0, received: 0, sent: 0, acknowledged: 0, discarded: 0, expired: 0, replaced: 0,
  oversized: 0, malformed: 0, subscriptionsRefused: 0, callbackErrors: 0,
});

export interface MqttStatus {
  readonly state: MqttState;
  /** When this state began, monotonic. */
  readonly since: Millis;
  /** Why it is in this state; while trying again, why the last attempt ended. */
  readonly reason: MqttReason;
  readonly detail: string;
  /** Of the connection that is up. */
  readonly version: MqttVersion | null;
  /** Messages queued or not yet acknowledged. */
  readonly waiting: number;
  readonly counters: Readonly<MqttCounters>;
}
