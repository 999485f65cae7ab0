/**
 * MQTT client over the ECMA-419 TCP or TLS class: MQTT 5, or 3.1.1 where the broker wants that.
 *
 * Life: waiting → connecting (TCP, TLS) → handshake (CONNECT sent) → up → waiting. Whatever goes
 * wrong on the way ends in `#drop(reason)`, which counts it and sets the next attempt; nothing is
 * thrown to the caller. Queue and QoS 1 messages in flight outlive the connection.
 */
import {
  MQTT_ACK_TIMEOUT_MS, MQTT_BACKOFF_MAX_MS, MQTT_CONNECT_TIMEOUT_MS, MQTT_CONTROL_MAX, MQTT_INFLIGHT_MAX,
  MQTT_KEEPALIVE_S, MQTT_PACKET_BYTES_MAX, MQTT_PING_TIMEOUT_MS, MQTT_SESSION_EXPIRY_S,
} from "../constants.js";
import type { TCPConstructor, TCPStream, Timer, TimerId, TLSConstructor, TLSOptions } from "../../hal/ecma419.js";
import type { Millis, Seconds } from "../units.js";
import { Outbox } from "./mqtt_outbox.js";
import { PacketReader, type MqttPacket, type MqttVersion } from "./mqtt_packet.js";
import type { PublishOptions, Queued } from "./mqtt_queue.js";
import { noCounts, type MqttCounters, type MqttReason, type MqttState, type MqttStatus } from "./mqtt_status.js";

export type { PublishOptions, Queued } from "./mqtt_queue.js";
export type { MqttStatus } from "./mqtt_status.js";

export interface MqttOptions {
  /** TCP, or TLS with `secure`. */
  io: TCPConstructor | TLSConstructor;
  timer: Timer;
  /** 32 random bits. */
  random(): number;
  monotonic(): Millis;
  host: string;
  port: number;
  secure?: TLSOptions["secure"];
  /** Stable over reboots and unique at the broker: a second client of the same name ends the first. */
  clientId: string;
  username?: string;
  password?: string;
  /** Topic filters, renewed at QoS 1 with each connection, so that retained messages come again. */
  subscriptions: readonly string[];
  /** Published by the broker, retained, when we vanish. */
  will?: { topic: string; payload: string };
  /** `payload` is the callee's to keep. */
  onMessage(topic: string, payload: Uint8Array, about: { retained: boolean }): void;
  onStatus?(status: MqttStatus): void;
  keepAlive?: Seconds;
}

const DETAIL_CHARACTERS_MAX = 80;

export class MqttClient {
  readonly #options: MqttOptions;
  readonly #counters: MqttCounters = noCounts();
  readonly #outbox = new Outbox(this.#counters);
  #state: MqttState = "waiting";
  #since: Millis;
  #reason: MqttReason = "start";
  #detail = "";
  #version: MqttVersion = 5;
  /** Failures in a row: the exponent of the back-off. */
  #failures = 0;
  #stream: TCPStream | null = null;
  #reader: PacketReader | null = null;
  #timer: TimerId | undefined;
  #writable = 0;
  #subscribeId = 0;
  #subscribedAt: Millis | null = null;
  /** The session at the broker is ours from before: messages in flight are resent as duplicates. */
  #hadSession = false;
  #keepAlive: Seconds;
  #pingSent = false;

  constructor(options: MqttOptions) {
    this.#options = options;
    this.#keepAlive = options.keepAlive ?? MQTT_KEEPALIVE_S;
    this.#since = options.monotonic();
    this.#timer = options.timer.set(() => this.#connect(), 0);
  }

  get status(): MqttStatus {
    return {
      state: this.#state, since: this.#since, reason: this.#reason, detail: this.#detail,
      version: this.#state === "up" ? this.#version : null,
      waiting: this.#outbox.waiting, counters: { ...this.#counters },
    };
  }

  /** Never throws; what became of the message is the answer. Text is sent as UTF-8. */
  publish(topic: string, payload: Uint8Array | string, options: PublishOptions = {}): Queued {
    if (this.#state === "closed") return "closed";
    const expiry = options.expiry ?? null;
    const outcome = this.#outbox.add({
      topic, payload: typeof payload === "string" ? new TextEncoder().encode(payload) : payload,
      qos: options.qos ?? 0, retain: options.retain ?? false,
      expires: expiry === null ? null : this.#options.monotonic() + expiry * 1000,
    });
    this.#pump();
    return outcome;
  }

  /** Ends for good, without DISCONNECT: the broker then publishes the will ("offline"). */
  close(): void {
    if (this.#state === "closed") return;
    this.#release();
    this.#options.timer.clear(this.#timer);
    this.#timer = undefined;
    this.#enter("closed", "closed", "");
  }

  // ---- connection ----

  #connect(): void {
    const { io, host, port, secure } = this.#options;
    this.#timer = undefined;
    this.#counters.attempts++;
    if (!this.#enter("connecting", this.#reason, this.#detail)) return;
    this.#arm(MQTT_CONNECT_TIMEOUT_MS, () => this.#drop("connect_timeout"));
    this.#reader = new PacketReader({
      bytesMax: MQTT_PACKET_BYTES_MAX, version: this.#version,
      onPacket: (packet) => this.#packet(packet),
      onFault: (fault) => {
        this.#counters[fault === "too_long" ? "oversized" : "malformed"]++;
        this.#drop(fault);
      },
      // MQTT 5 brokers were told our maximum; one that sends more breaks the protocol.
      ...(this.#version === 4 ? { onSkipped: () => { this.#counters.oversized++; } } : {}),
    });
    try {
      const stream: TCPStream = new (io as TLSConstructor)({
        host, port, noDelay: true, format: "buffer",
        ...(secure === undefined ? {} : { secure }),
        onReadable: () => { if (stream === this.#stream) this.#read(stream); },
        onWritable: (count) => { if (stream === this.#stream) this.#writableNow(count); },
        onError: (error) => { if (stream === this.#stream) this.#ended(error); },
      } as ConstructorParameters<TLSConstructor>[0]);
      this.#stream = stream;
    } catch (error) {
      this.#drop("io", words(error));
    }
  }

  #writableNow(count: number): void {
    this.#writable = count;
    if (this.#state === "connecting") {
      if (!this.#enter("handshake", this.#reason, this.#detail)) return;
      this.#send(this.#connectPacket());
    }
    this.#pump();
  }

  #connectPacket(): MqttPacket {
    const { clientId, username, password, will } = this.#options;
    const v5 = this.#version === 5;
    return {
      cmd: "connect", protocolId: "MQTT", protocolVersion: this.#version, clientId,
      // The first time after power-on nothing is in flight: whatever the broker kept is stale.
      // MQTT 3.1.1 has no expiry, a kept session would stay for ever: always a clean one.
      clean: !v5 || !this.#hadSession, keepalive: this.#keepAlive,
      ...(username === undefined ? {} : { username }),
      ...(username === undefined || password === undefined ? {} : { password }),
      ...(will === undefined ? {} : { will: { topic: will.topic, payload: will.payload, qos: 1, retain: true } }),
      ...(v5 ? {
        properties: {
          sessionExpiryInterval: MQTT_SESSION_EXPIRY_S, maximumPacketSize: MQTT_PACKET_BYTES_MAX,
          receiveMaximum: MQTT_CONTROL_MAX, requestProblemInformation: false,
        },
      } : {}),
    };
  }

  #ended(error: unknown): void {
    if (this.#state === "connecting") this.#drop("io", words(error));
    else if (this.#state === "handshake") this.#drop("closed_early", words(error));
    else this.#drop("lost", words(error));
  }

  /** The one way back to waiting. */
  #drop(reason: MqttReason, detail = ""): void {
    if (this.#state === "closed" || this.#state === "waiting") return;
    const now = this.#options.monotonic();
    // A connection that held for a while was a success; one that flaps keeps backing off.
    if (this.#state === "up" && now - this.#since >= this.#keepAlive * 1000) this.#failures = 0;
    this.#counters.drops++;
    this.#failures++;
    let delay = Math.floor((this.#options.random() / 2 ** 32) * Math.min(MQTT_BACKOFF_MAX_MS, 1000 * 2 ** Math.min(this.#failures, 20)));
    if (reason === "version" || reason === "closed_early") {
      // Brokers of old answer MQTT 5 by closing. The other version's turn; the same again if that fails too.
      this.#version = this.#version === 5 ? 4 : 5;
      if (this.#version === 4) {
        delay = Math.min(delay, 1000);
        this.#hadSession = false;
      }
    }
    this.#release();
    if (!this.#enter("waiting", reason, detail)) return;
    this.#arm(delay, () => this.#connect());
  }

  #release(): void {
    const stream = this.#stream;
    this.#stream = null;
    this.#reader?.stop();
    this.#reader = null;
    this.#outbox.reset();
    this.#writable = 0;
    this.#subscribedAt = null;
    this.#pingSent = false;
    try {
      stream?.close();
    } catch {
      // A stream that cannot even be closed is left to its host.
    }
  }

  /** False where the listener closed the client meanwhile. */
  #enter(state: MqttState, reason: MqttReason, detail: string): boolean {
    this.#state = state;
    this.#since = this.#options.monotonic();
    this.#reason = reason;
    this.#detail = detail;
    try {
      this.#options.onStatus?.(this.status);
    } catch {
      this.#counters.callbackErrors++;
    }
    return this.#state === state;
  }

  #arm(delay: Millis, then: () => void): void {
    this.#options.timer.clear(this.#timer);
    this.#timer = this.#options.timer.set(then, delay);
  }

  // ---- keep-alive ----

  /** A ping at three quarters of the interval, whatever else flows: one rule, and it proves both ways. */
  #armPing(): void {
    this.#pingSent = false;
    this.#arm(this.#keepAlive * 750, () => {
      const now = this.#options.monotonic();
      this.#outbox.expire(now);
      const unsubscribed = this.#subscribedAt !== null && now - this.#subscribedAt > MQTT_ACK_TIMEOUT_MS;
      if (unsubscribed || this.#outbox.late(now)) return this.#drop("ack_timeout");
      this.#pingSent = true;
      this.#send({ cmd: "pingreq" });
      this.#pump();
      if (this.#state === "up") this.#arm(MQTT_PING_TIMEOUT_MS, () => this.#drop("keep_alive"));
    });
  }

  // ---- incoming ----

  #read(stream: TCPStream): void {
    for (;;) {
      let bytes: ArrayBuffer | undefined;
      try {
        bytes = stream.read();
      } catch (error) {
        return this.#drop("lost", words(error));
      }
      if (bytes === undefined || bytes.byteLength === 0) return;
      this.#reader?.push(new Uint8Array(bytes));
      if (stream !== this.#stream) return;
      this.#pump();
    }
  }

  #packet(packet: MqttPacket): void {
    if (this.#state === "handshake" && packet.cmd === "connack") return this.#connack(packet);
    if (this.#state !== "up") return this.#drop("protocol", packet.cmd);
    switch (packet.cmd) {
      case "publish": return this.#message(packet);
      case "puback": return this.#outbox.acknowledged(packet.messageId, packet.reasonCode ?? 0);
      case "suback":
        if (packet.messageId !== this.#subscribeId) return;
        this.#subscribedAt = null;
        for (const code of packet.granted ?? []) if (code >= 0x80) this.#counters.subscriptionsRefused++;
        return;
      case "pingresp":
        if (this.#pingSent) this.#armPing();
        return;
      case "disconnect": return this.#drop("disconnected", String(packet.reasonCode ?? 0));
      default: return this.#drop("protocol", packet.cmd);
    }
  }

  #connack(packet: MqttPacket): void {
    // A 3.1.1 broker answers MQTT 5 in its own form, where 1 = unacceptable version.
    const code = packet.reasonCode ?? packet.returnCode;
    if (code === undefined) {
      this.#counters.malformed++;
      return this.#drop("malformed");
    }
    if (code === 0x84 || code === 1) return this.#drop("version", String(code));
    if (code === 4 || code === 5 || code === 0x86 || code === 0x87) return this.#drop("not_authorized", String(code));
    if (code !== 0) return this.#drop("refused", String(code));
    const told = packet.properties;
    this.#keepAlive = told?.serverKeepAlive || (this.#options.keepAlive ?? MQTT_KEEPALIVE_S);
    this.#hadSession = true;
    this.#counters.connections++;
    if (!this.#enter("up", "connected", "")) return;
    this.#armPing();
    if (this.#options.subscriptions.length > 0) {
      this.#subscribeId = this.#outbox.nextId();
      this.#subscribedAt = this.#options.monotonic();
      this.#send({ cmd: "subscribe", messageId: this.#subscribeId, subscriptions: this.#options.subscriptions.map((topic) => ({ topic, qos: 1 })) });
    }
    this.#outbox.open({
      version: this.#version, packetMax: told?.maximumPacketSize || Number.MAX_SAFE_INTEGER,
      receiveMaximum: told?.receiveMaximum || MQTT_INFLIGHT_MAX, qosMax: told?.maximumQoS === 0 ? 0 : 1, kept: packet.sessionPresent === true,
    });
    this.#pump();
  }

  #message(packet: MqttPacket): void {
    const { topic, payload, messageId } = packet;
    const qos = packet.qos ?? 0;
    if (topic === undefined || topic.length === 0 || !(payload instanceof Uint8Array) || qos > 1 || (qos === 1 && !(messageId !== undefined && messageId > 0))) {
      this.#counters.malformed++;
      return this.#drop("malformed");
    }
    this.#counters.received++;
    try {
      this.#options.onMessage(topic, payload, { retained: packet.retain === true });
    } catch {
      // Counted, and acknowledged all the same: one poisonous retained message, sent again with each
      // connection, must not keep the good ones from us.
      this.#counters.callbackErrors++;
    }
    if (qos === 1 && this.#state === "up") this.#send({ cmd: "puback", messageId: messageId as number, reasonCode: 0 });
  }

  // ---- outgoing ----

  #send(packet: MqttPacket): void {
    if (!this.#outbox.control(packet, this.#version)) this.#drop("not_reading", packet.cmd);
  }

  /** Writes as much as was announced. */
  #pump(): void {
    const stream = this.#stream;
    while (stream !== null && stream === this.#stream && this.#writable > 0) {
      const part = this.#outbox.take(this.#writable, this.#options.monotonic());
      if (part === null) return;
      this.#writable -= part.length;
      try {
        stream.write(part);
      } catch (error) {
        return this.#drop("lost", words(error));
      }
    }
  }
}

function words(error: unknown): string {
  const text = error instanceof Error ? error.message : typeof error === "string" ? error : "";
  return text.slice(0, DETAIL_CHARACTERS_MAX);
}
