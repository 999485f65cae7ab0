/**
 * Messages waiting for the broker: bounded in number and in bytes. Not a transport: it knows what
 * may replace what, what is given up first when full, and what has outlived its expiry.
 *
 * A retained message is a state: a newer one of the same topic takes the place of the older one that
 * was not sent yet. QoS 1 (events, evidence) is kept before QoS 0 (status): when the queue is full the
 * oldest QoS 0 message goes first; where all are QoS 1 the oldest goes, since the evidence log on
 * the device keeps everything and the newest tells the most.
 */
import { MQTT_PUBLISH_BYTES_MAX, MQTT_QUEUE_BYTES_MAX, MQTT_QUEUE_MAX } from "../constants.js";
import type { Millis, Seconds } from "../units.js";

export interface Message {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: 0 | 1;
  readonly retain: boolean;
  /** Monotonic instant after which nobody wants it; null = never. */
  readonly expires: Millis | null;
}

export interface PublishOptions {
  retain?: boolean;
  qos?: 0 | 1;
  /** Seconds after which the message is void, here and at the broker (MQTT 5). */
  expiry?: Seconds | null;
}

/** "replaced": an older state of the topic gave way. "displaced": another message was given up for it. */
export type Queued = "queued" | "replaced" | "displaced" | "full" | "too_long" | "closed";

export class MessageQueue {
  #messages: Message[] = [];
  #bytes = 0;

  get length(): number { return this.#messages.length; }

  add(message: Message): Queued {
    if (message.payload.length > MQTT_PUBLISH_BYTES_MAX) return "too_long";
    if (message.qos === 0 && !this.#fitsBesideEvents(message)) return "full";
    let outcome: Queued = "queued";
    if (message.retain) {
      const at = this.#messages.findIndex((waiting) => waiting.retain && waiting.topic === message.topic);
      if (at >= 0) {
        this.#drop(at);
        outcome = "replaced";
      }
    }
    while (this.#messages.length >= MQTT_QUEUE_MAX || this.#bytes + message.payload.length > MQTT_QUEUE_BYTES_MAX) {
      const oldest0 = this.#messages.findIndex((waiting) => waiting.qos === 0);
      this.#drop(oldest0 < 0 ? 0 : oldest0);
      outcome = "displaced";
    }
    this.#messages.push(message);
    this.#bytes += message.payload.length;
    return outcome;
  }

  /** The oldest that may be sent: QoS 1 only while `window` is open. Takes it out. */
  next(window: boolean): Message | null {
    const at = this.#messages.findIndex((waiting) => window || waiting.qos === 0);
    if (at < 0) return null;
    const message = this.#messages[at] as Message;
    this.#drop(at);
    return message;
  }

  /** Drops what has outlived its expiry; gives how many. */
  expire(now: Millis): number {
    const before = this.#messages.length;
    for (let i = before - 1; i >= 0; i--) {
      const { expires } = this.#messages[i] as Message;
      if (expires !== null && expires <= now) this.#drop(i);
    }
    return before - this.#messages.length;
  }

  /** Known before anything is given up for it. */
  #fitsBesideEvents(message: Message): boolean {
    let count = 1;
    let bytes = message.payload.length;
    for (const waiting of this.#messages) {
      if (waiting.qos === 0 || (message.retain && waiting.retain && waiting.topic === message.topic)) continue;
      count++;
      bytes += waiting.payload.length;
    }
    return count <= MQTT_QUEUE_MAX && bytes <= MQTT_QUEUE_BYTES_MAX;
  }

  #drop(at: number): void {
    const [gone] = this.#messages.splice(at, 1);
    if (gone !== undefined) this.#bytes -= gone.payload.length;
  }
}
