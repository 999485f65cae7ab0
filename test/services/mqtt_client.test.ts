/** The MQTT client in virtual time, against the emulated broker and against one that sends whatever bytes. */
import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import { sha256 } from "../../hal/node/crypto.js";
import type { TCPStream } from "../../hal/ecma419.js";
import { SimWorld } from "../../hal/sim/world.js";
import {
  MQTT_ACK_TIMEOUT_MS, MQTT_BACKOFF_MAX_MS, MQTT_CONNECT_TIMEOUT_MS, MQTT_INFLIGHT_MAX, MQTT_KEEPALIVE_S,
  MQTT_PACKET_BYTES_MAX, MQTT_PING_TIMEOUT_MS, MQTT_PUBLISH_BYTES_MAX, MQTT_QUEUE_BYTES_MAX, MQTT_QUEUE_MAX, MQTT_SKIP_BYTES_MAX,
} from "../../src/constants.js";
import { MqttClient, type MqttOptions, type MqttStatus } from "../../src/services/mqtt_client.js";
import { encodePacket, type MqttPacket } from "../../src/services/mqtt_packet.js";
import { MessageQueue, type Message } from "../../src/services/mqtt_queue.js";
import { Broker, type BrokerHooks } from "../../tools/emulators/broker.js";
import { runs } from "./runs.js";

const PORT = 1883;
const crypto = { sha256, verifyP256: () => false };
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

let world: SimWorld;
beforeEach(() => { world = new SimWorld({ seed: 7, crypto }); });

function broker(hooks: BrokerHooks = {}, versionMax: 4 | 5 = 5): Broker {
  const platform = world.platform("broker");
  return new Broker({ io: platform, timer: platform.timer, monotonic: () => platform.monotonic(), port: PORT, hooks, versionMax });
}

function client(options: Partial<MqttOptions> = {}, on = world) {
  const platform = on.platform(options.clientId ?? "home");
  const received: { topic: string; text: string; retained: boolean }[] = [];
  const history: MqttStatus[] = [];
  const mqtt = new MqttClient({
    io: platform.TCP, timer: platform.timer, random: () => platform.random(), monotonic: () => platform.monotonic(),
    host: "broker", port: PORT, clientId: "home", subscriptions: ["cap"],
    onMessage: (topic, payload, { retained }) => received.push({ topic, text: text(payload), retained }),
    onStatus: (status) => history.push(status), ...options,
  });
  return { mqtt, received, history, get state() { return mqtt.status.state; }, get counters() { return mqtt.status.counters; } };
}

/** A server that hands each new connection to the script. */
function server(onConnection: (stream: TCPStream, n: number) => { onReadable?: (bytes: Uint8Array) => void; onWritable?: () => void }, on = world): void {
  const platform = on.platform("broker");
  let count = 0;
  const listener = new platform.Listener({
    port: PORT,
    onReadable: () => {
      for (let from = listener.read(); from !== undefined; from = listener.read()) {
        const n = count++;
        let script: ReturnType<typeof onConnection> | null = null;
        const stream: TCPStream = new platform.TCP({
          from, format: "buffer",
          onReadable: () => { const bytes = stream.read(); if (bytes) script?.onReadable?.(new Uint8Array(bytes)); },
          onWritable: () => script?.onWritable?.(), onError: () => stream.close(),
        });
        script = onConnection(stream, n);
      }
    },
  });
}
const packet = (value: MqttPacket, version: 4 | 5 = 5): Uint8Array => encodePacket(value, version) as Uint8Array;
const connack = packet({ cmd: "connack", reasonCode: 0, sessionPresent: false });

describe("a connection's life", () => {
  test("connects with MQTT 5, subscribes, receives retained and live messages", () => {
    const b = broker();
    b.publish("cap", "first", { retain: true });
    const c = client();
    world.runFor(100);
    expect(c.mqtt.status).toMatchObject({ state: "up", version: 5, reason: "connected" });
    b.publish("cap", "second", { qos: 0 });
    world.runFor(100);
    expect(c.received).toEqual([{ topic: "cap", text: "first", retained: true }, { topic: "cap", text: "second", retained: false }]);
  });

  test("a broker that refuses MQTT 5 is asked again with 3.1.1 within a second", () => {
    broker({}, 4);
    const c = client();
    world.runFor(1_200);
    expect(c.mqtt.status).toMatchObject({ state: "up", version: 4 });
    expect(c.history.map(({ reason }) => reason)).toContain("version");
  });

  test.each([["MQTT 5's own code", packet({ cmd: "connack", reasonCode: 0x84, sessionPresent: false })], ["3.1.1's code", Uint8Array.of(0x20, 2, 0, 1)], ["a close", null]])(
    "falls back after %s", (_name, answer) => {
      const asked: number[] = [];
      server((stream, n) => ({
        onReadable: (bytes) => {
          asked.push(bytes[8] as number);
          if (n > 0) return stream.write(Uint8Array.of(0x20, 2, 0, 0));
          if (answer !== null) stream.write(answer);
          stream.close();
        },
      }));
      const c = client({ subscriptions: [] });
      world.runFor(1_500);
      expect(asked).toEqual([5, 4]);
      expect(c.mqtt.status).toMatchObject({ state: "up", version: 4 });
    });

  test("a broker that closes both versions is asked with each in turn, and forgiven when it is well", () => {
    const asked: number[] = [];
    server((stream, n) => ({ onReadable: (bytes) => { asked.push(bytes[8] as number); if (n < 2) stream.close(); else stream.write(connack); } }));
    const c = client({ subscriptions: [] });
    world.runFor(20_000);
    expect(asked).toEqual([5, 4, 5]);
    expect(c.mqtt.status).toMatchObject({ state: "up", version: 5 });
  });

  test("no answer to CONNECT ends the attempt on its deadline", () => {
    server(() => ({}));
    const c = client();
    world.runFor(MQTT_CONNECT_TIMEOUT_MS - 10);
    expect(c.state).toBe("handshake");
    world.runFor(20);
    expect(c.mqtt.status).toMatchObject({ reason: "connect_timeout", counters: { drops: 1 } });
  });

  test("not authorised is said by name, and tried again", () => {
    let refuse = true;
    broker({ admit: () => (refuse ? 0x87 : 0) });
    const c = client();
    world.runFor(100);
    expect(c.history.at(-1)).toMatchObject({ state: "waiting", reason: "not_authorized" });
    refuse = false;
    world.runFor(10_000);
    expect(c.state).toBe("up");
  });

  test("the host's constructor may throw (no network yet): counted and tried again", () => {
    const platform = world.platform("home");
    let networked = false;
    const io = class { constructor(options: ConstructorParameters<typeof platform.TCP>[0]) { if (!networked) throw new Error("no network"); return new platform.TCP(options); } };
    broker();
    const c = client({ io: io as unknown as typeof platform.TCP });
    world.runFor(10);
    expect(c.history.at(-1)).toMatchObject({ state: "waiting", reason: "io", detail: "no network" });
    networked = true;
    world.runFor(10_000);
    expect(c.state).toBe("up");
  });

  test("after close nothing is sent, kept or called", () => {
    const b = broker();
    const c = client();
    world.runFor(100);
    c.mqtt.close();
    c.mqtt.close();
    const seen = c.history.length;
    b.publish("cap", "late");
    world.runFor(600_000);
    expect(c.mqtt.publish("x", "y")).toBe("closed");
    expect(c.received).toEqual([]);
    expect(c.history.length).toBe(seen);
    expect(c.history.filter(({ state }) => state === "closed").length).toBe(1);
    expect(b.clients()).toEqual([]);
  });

  test("a listener that closes the client from within any status leaves nothing running", () => {
    for (const state of ["connecting", "handshake", "up", "waiting"]) {
      world = new SimWorld({ seed: 3, crypto });
      const b = broker();
      const c: { mqtt: MqttClient; history: MqttStatus[] } = client({ onStatus: (status) => { if (status.state === state) c.mqtt.close(); } });
      world.runFor(50);
      b.kick();
      world.runFor(600_000);
      expect(c.mqtt.status.state, state).toBe("closed");
      expect(b.clients(), state).toEqual([]);
    }
  });
});

describe("reconnecting", () => {
  test("full jitter up to min(300 s, 2^n s): each wait lies under its bound, and 300 s is reached", () => {
    const waits: number[] = [];
    const c = client({ random: () => 0xffff_ffff });
    const attempts: number[] = [];
    world.runUntil(() => {
      if (c.counters.attempts > attempts.length) attempts.push(world.now);
      return attempts.length >= 14;
    }, 5_000_000);
    for (let i = 1; i < attempts.length; i++) waits.push((attempts[i] as number) - (attempts[i - 1] as number));
    // Refused after a round trip of 2 ms; the first waits belong to n = 1, 2, …
    waits.forEach((wait, i) => {
      const bound = Math.min(MQTT_BACKOFF_MAX_MS, 1000 * 2 ** (i + 1));
      expect(wait).toBeGreaterThan(bound - 10);
      expect(wait).toBeLessThanOrEqual(bound + 5);
    });
    expect(waits.at(-1)).toBeGreaterThan(MQTT_BACKOFF_MAX_MS - 10);
  });

  test("a neighbourhood of 60 does not come back in one instant", () => {
    let b = broker();
    const houses = Array.from({ length: 60 }, (_, i) => client({ clientId: `house${i}` }));
    world.runFor(60_000);
    expect(b.clients().length).toBe(60);
    b.stop();
    world.runFor(120_000);
    b = broker();
    const back: number[] = [];
    for (let s = 0; s < 400; s++) {
      world.runFor(1_000);
      back.push(b.clients().length);
    }
    expect(back.at(-1)).toBe(60);
    const perSecond = back.map((n, i) => n - (back[i - 1] ?? 0));
    expect(Math.max(...perSecond)).toBeLessThan(20);
    for (const { mqtt } of houses) expect(mqtt.status.counters.malformed).toBe(0);
  });

  test("a line that flaps keeps backing off; one that held starts afresh", () => {
    const b = broker();
    const c = client({ random: () => 0xffff_ffff });
    const wait = (): number => {
      world.runUntil(() => c.state === "up", world.now + 400_000);
      b.kick("home");
      const from = world.now;
      world.runUntil(() => c.state === "connecting", from + 400_000);
      return world.now - from;
    };
    const flapping = [wait(), wait(), wait()];
    expect(flapping.map((ms) => Math.round(ms / 1000))).toEqual([2, 4, 8]);
    world.runUntil(() => c.state === "up", world.now + 400_000);
    world.runFor(MQTT_KEEPALIVE_S * 1000 + 1000);
    expect(Math.round(wait() / 1000)).toBe(2);
  });

  test("a half-open connection is found by the unanswered ping, and left", () => {
    const b = broker();
    const c = client();
    world.runFor(100);
    b.freeze("home");
    const before = world.now;
    world.runUntil(() => c.state !== "up", before + 100_000);
    expect(world.now - before).toBeLessThanOrEqual(MQTT_KEEPALIVE_S * 1000 + MQTT_PING_TIMEOUT_MS);
    expect(c.mqtt.status.reason).toBe("keep_alive");
    world.runFor(10_000);
    expect(c.state).toBe("up");
  });

  test("the network goes without a word: found, and back when it is back", () => {
    const b = broker();
    const c = client();
    world.runFor(100);
    world.link("home", "broker").up = false;
    world.runFor(50_000);
    expect(c.state).not.toBe("up");
    world.link("home", "broker").up = true;
    world.runFor(400_000);
    expect(c.state).toBe("up");
    expect(b.clients()).toEqual(["home"]);
  });

  test("an idle connection stays up for a day, in both eyes", () => {
    const b = broker();
    const c = client();
    world.runFor(86_400_000);
    expect(c.counters).toMatchObject({ attempts: 1, connections: 1, drops: 0 });
    expect(b.clients()).toEqual(["home"]);
  });

  test("messages in flight when the line breaks arrive after it; none is lost", () => {
    const seen: string[] = [];
    const b = broker({ onPublish: ({ payload }) => seen.push(text(payload)) });
    const c = client({ subscriptions: [] });
    world.runFor(100);
    b.freeze("home");
    for (let i = 0; i < 10; i++) c.mqtt.publish("events", `e${i}`, { qos: 1 });
    world.runFor(200);
    expect(c.mqtt.status.waiting).toBe(10);
    world.runUntil(() => c.mqtt.status.waiting === 0, 300_000);
    expect(seen).toEqual(Array.from({ length: 10 }, (_, i) => `e${i}`));
    expect(c.counters.acknowledged).toBe(10);
  });

  test("a broker that is alive but acknowledges nothing is left", () => {
    broker({ receive: (_id, { cmd }) => cmd !== "publish" });
    const c = client({ subscriptions: [] });
    world.runFor(100);
    c.mqtt.publish("events", "e", { qos: 1 });
    world.runUntil(() => c.history.some(({ reason }) => reason === "ack_timeout"), 300_000);
    expect(world.now).toBeGreaterThan(MQTT_ACK_TIMEOUT_MS);
    expect(world.now).toBeLessThan(MQTT_ACK_TIMEOUT_MS + 2 * MQTT_KEEPALIVE_S * 1000);
  });

  test("with the session kept the resend is marked as a duplicate, of the same id", () => {
    const publishes: { dup: boolean; id: number; clean: boolean }[] = [];
    let clean = true;
    server((stream, n) => ({
      onReadable: (bytes) => {
        if ((bytes[0] as number) === 0x10) {
          clean = ((bytes[9] as number) & 2) !== 0;
          stream.write(packet({ cmd: "connack", reasonCode: 0, sessionPresent: n > 0 }));
        } else if ((bytes[0] as number) >> 4 === 3) {
          publishes.push({ dup: ((bytes[0] as number) & 8) !== 0, id: (bytes[5] as number) * 256 + (bytes[6] as number), clean });
          if (n === 0) stream.close();
        }
      },
    }));
    const c = client({ subscriptions: [] });
    c.mqtt.publish("e", "x", { qos: 1 });
    world.runFor(10_000);
    expect(publishes).toEqual([{ dup: false, id: 1, clean: true }, { dup: true, id: 1, clean: false }]);
  });
});

describe("bounds", () => {
  const message = (topic: string, options: Partial<Message> = {}): Message => ({ topic, payload: new Uint8Array(4), qos: 0, retain: false, expires: null, ...options });

  test("the queue holds MQTT_QUEUE_MAX; QoS 0 gives way to QoS 1, the newest state to none", () => {
    const queue = new MessageQueue();
    for (let i = 0; i < MQTT_QUEUE_MAX; i++) expect(queue.add(message(`s${i}`))).toBe("queued");
    expect(queue.add(message("e", { qos: 1 }))).toBe("displaced");
    expect(queue.length).toBe(MQTT_QUEUE_MAX);
    expect(queue.next(true)?.topic).toBe("s1");
    queue.add(message("state", { retain: true, payload: Uint8Array.of(1) }));
    expect(queue.add(message("state", { retain: true, payload: Uint8Array.of(2) }))).toBe("replaced");
    const rest: Message[] = [];
    for (let next = queue.next(true); next !== null; next = queue.next(true)) rest.push(next);
    expect(rest.filter(({ topic }) => topic === "state").map(({ payload }) => payload[0])).toEqual([2]);
  });

  test("full of events: a status is refused, an event takes the place of the oldest", () => {
    const queue = new MessageQueue();
    for (let i = 0; i < MQTT_QUEUE_MAX; i++) queue.add(message(`e${i}`, { qos: 1 }));
    expect(queue.add(message("status"))).toBe("full");
    expect(queue.add(message("last", { qos: 1 }))).toBe("displaced");
    expect(queue.next(true)?.topic).toBe("e1");
  });

  test("any order of adding and taking stays within number and bytes, and loses no event to a status", () => {
    const action = fc.oneof(
      fc.record({ qos: fc.constantFrom(0 as const, 1 as const), retain: fc.boolean(), size: fc.integer({ min: 0, max: MQTT_PUBLISH_BYTES_MAX + 100 }), topic: fc.constantFrom("a", "b", "c") }),
      fc.constant("take" as const),
    );
    fc.assert(fc.property(fc.array(action, { maxLength: 120 }), (actions) => {
      const queue = new MessageQueue();
      let waiting: Message[] = [];
      for (const step of actions) {
        if (step === "take") {
          const next = queue.next(true);
          waiting = waiting.filter((one) => one !== next);
          continue;
        }
        const one = message(step.topic, { qos: step.qos, retain: step.retain, payload: new Uint8Array(step.size) });
        const events = waiting.filter(({ qos, retain }) => qos === 1 && !retain).length;
        const outcome = queue.add(one);
        expect(outcome === "too_long").toBe(step.size > MQTT_PUBLISH_BYTES_MAX);
        if (outcome === "queued") waiting.push(one);
        // What was given up is seen by taking all out and putting it back in the same order.
        if (outcome === "replaced" || outcome === "displaced") {
          const left: Message[] = [];
          for (let next = queue.next(true); next !== null; next = queue.next(true)) left.push(next);
          for (const again of left) queue.add(again);
          waiting = left;
          expect(left.at(-1)).toBe(one);
          if (step.qos === 0) expect(left.filter(({ qos, retain }) => qos === 1 && !retain).length).toBe(events);
        }
        expect(queue.length).toBe(waiting.length);
        expect(queue.length).toBeLessThanOrEqual(MQTT_QUEUE_MAX);
        expect(waiting.reduce((sum, { payload }) => sum + payload.length, 0)).toBeLessThanOrEqual(MQTT_QUEUE_BYTES_MAX);
      }
    }), { numRuns: runs(200) });
  });

  test("thirty days without a broker: the queue is full, the newest state is in it, expired ones are gone", () => {
    const seen: { topic: string; text: string }[] = [];
    const c = client({ subscriptions: [] });
    for (let day = 0; day < 30; day++) {
      c.mqtt.publish("status", `day ${day}`, { retain: true, expiry: 300 });
      c.mqtt.publish("alarm", `day ${day}`, { qos: 1, expiry: 86_400 });
      for (let i = 0; i < 5; i++) c.mqtt.publish("events", `day ${day}, ${i}`, { qos: 1 });
      world.runFor(86_400_000);
      expect(c.mqtt.status.waiting).toBeLessThanOrEqual(MQTT_QUEUE_MAX);
    }
    c.mqtt.publish("status", "now", { retain: true, expiry: 300 });
    broker({ onPublish: ({ topic, payload }) => seen.push({ topic, text: text(payload) }) });
    world.runUntil(() => seen.length > 0 && c.mqtt.status.waiting === 0, world.now + 400_000);
    expect(seen.filter(({ topic }) => topic === "status").length).toBeLessThanOrEqual(1);
    expect(seen.map(({ text: words }) => words)).toContain("day 29, 4");
    expect(seen.map(({ text: words }) => words)).not.toContain("day 3");
  });

  test("no more than MQTT_INFLIGHT_MAX are unacknowledged, and fewer where the broker asks", () => {
    for (const receiveMaximum of [100, 2]) {
      world = new SimWorld({ seed: 1, crypto });
      let publishes = 0;
      server((stream) => ({
        onReadable: (bytes) => {
          if ((bytes[0] as number) === 0x10) stream.write(packet({ cmd: "connack", reasonCode: 0, sessionPresent: false, properties: { receiveMaximum } }));
          else for (let at = 0; at < bytes.length; at += 2 + (bytes[at + 1] as number)) if ((bytes[at] as number) >> 4 === 3) publishes++;
        },
      }));
      const c = client({ subscriptions: [] });
      for (let i = 0; i < 10; i++) c.mqtt.publish("e", "x", { qos: 1 });
      world.runFor(5_000);
      expect(publishes).toBe(Math.min(MQTT_INFLIGHT_MAX, receiveMaximum));
    }
  });

  test("the broker's own maximum packet size is kept to: the message is given up, not the link", () => {
    const seen: string[] = [];
    server((stream) => ({
      onReadable: (bytes) => {
        if ((bytes[0] as number) === 0x10) stream.write(packet({ cmd: "connack", reasonCode: 0, sessionPresent: false, properties: { maximumPacketSize: 64 } }));
        else seen.push(text(bytes));
      },
    }));
    const c = client({ subscriptions: [] });
    c.mqtt.publish("e", "x".repeat(100), { qos: 1 });
    c.mqtt.publish("e", "small");
    world.runFor(1_000);
    expect(seen.length).toBe(1);
    expect(seen[0]).toContain("small");
    expect(c.counters).toMatchObject({ discarded: 1, drops: 0 });
  });

  test("MQTT 5: a packet above our maximum is refused by its length alone", () => {
    server((stream, n) => ({ onReadable: (bytes) => {
      if ((bytes[0] as number) !== 0x10) return;
      stream.write(connack);
      // The header of a packet of 2,049 bytes, and no more: nothing waits for the rest.
      if (n === 0) stream.write(Uint8Array.of(0x30, 0x80 | ((MQTT_PACKET_BYTES_MAX - 2) & 0x7f), (MQTT_PACKET_BYTES_MAX - 2) >> 7));
    } }));
    const c = client({ subscriptions: [] });
    world.runFor(1_000);
    expect(c.history.find(({ state }) => state === "waiting")).toMatchObject({ reason: "too_long", counters: { oversized: 1 } });
    world.runFor(10_000);
    expect(c.state).toBe("up");
  });

  test("3.1.1 knows no maximum: a long packet is passed over and the next one read; a huge one ends it", () => {
    let stream: TCPStream | null = null;
    server((one, n) => {
      stream = one;
      return { onReadable: (bytes) => { if ((bytes[0] as number) === 0x10) one.write(Uint8Array.of(0x20, 2, 0, n === 0 ? 1 : 0)); if (n === 0) one.close(); } };
    });
    const c = client({ subscriptions: [] });
    world.runFor(1_500);
    expect(c.mqtt.status.version).toBe(4);
    const big = packet({ cmd: "publish", topic: "cap", payload: new Uint8Array(MQTT_PACKET_BYTES_MAX), qos: 0, retain: true }, 4);
    (stream as unknown as TCPStream).write(big);
    (stream as unknown as TCPStream).write(packet({ cmd: "publish", topic: "cap", payload: "good", qos: 0, retain: true }, 4));
    world.runFor(100);
    expect(c.received.map(({ text: words }) => words)).toEqual(["good"]);
    expect(c.counters).toMatchObject({ oversized: 1, received: 1 });
    expect(c.state).toBe("up");
    const huge = MQTT_SKIP_BYTES_MAX;
    (stream as unknown as TCPStream).write(Uint8Array.of(0x30, 0x80 | (huge & 0x7f), 0x80 | ((huge >> 7) & 0x7f), huge >> 14));
    world.runFor(100);
    expect(c.mqtt.status.reason).toBe("too_long");
  });

  test("a broker that floods with pings to answer and never reads is left, with bounded memory", () => {
    const flood = packet({ cmd: "publish", topic: "cap", payload: "x", qos: 1, messageId: 1 });
    const platform = world.platform("broker");
    const listener = new platform.Listener({ port: PORT, onReadable: () => {
      const from = listener.read();
      if (!from) return;
      let greeted = false;
      const stream: TCPStream = new platform.TCP({ from, format: "buffer",
        onWritable: (count) => { if (!greeted) return; if (count > 1_000) { const many = new Uint8Array(flood.length * 50); for (let i = 0; i < 50; i++) many.set(flood, i * flood.length); stream.write(many); } },
        // Reads the CONNECT and then nothing more; each ack it does not read stays on the way.
        onReadable: () => { if (!greeted && stream.read(64)) { greeted = true; stream.write(connack); } }, onError: () => stream.close() });
    } });
    const c = client({ subscriptions: [] });
    world.runUntil(() => c.counters.drops > 0, 20_000);
    expect(c.mqtt.status.reason).toBe("not_reading");
    expect(c.mqtt.status.waiting).toBe(0);
  });
});

describe("bad input from the broker", () => {
  test("an exception of onMessage is counted; the message is acknowledged and the next one arrives", () => {
    const b = broker();
    const got: string[] = [];
    const c = client({ onMessage: (_topic, payload) => { if (text(payload) === "poison") throw new Error("boom"); got.push(text(payload)); } });
    world.runFor(100);
    b.publish("cap", "poison", { retain: true });
    b.publish("cap", "good");
    world.runFor(100);
    expect(got).toEqual(["good"]);
    expect(c.counters).toMatchObject({ callbackErrors: 1, drops: 0, received: 2 });
  });

  test("user properties, whose names XS would keep for ever, never become property names", () => {
    server((stream) => ({ onReadable: (bytes) => {
      if ((bytes[0] as number) !== 0x10) return;
      stream.write(connack);
      const properties = [0x26, 0, 6, ...new TextEncoder().encode("secret"), 0, 1, 0x31, 0x02, 0, 0, 0, 60];
      const body = [0, 3, ...new TextEncoder().encode("cap"), properties.length, ...properties, 0x6f, 0x6b];
      stream.write(Uint8Array.of(0x30, body.length, ...body));
    } }));
    const defined: PropertyKey[] = [];
    const original = Object.create;
    Object.create = ((proto: object | null, ...rest: []) => {
      const made = original(proto, ...rest);
      return proto === null ? new Proxy(made, { set(target, key, value) { defined.push(key); target[key] = value; return true; } }) : made;
    }) as typeof Object.create;
    try {
      const c = client({ subscriptions: [] });
      world.runFor(100);
      expect(c.received).toEqual([{ topic: "cap", text: "ok", retained: false }]);
    } finally {
      Object.create = original;
    }
    expect(defined).toEqual(["user"]);
  });

  test.each<[string, number[]]>([
    ["a reserved type", [0x00, 0]], ["wrong header flags", [0x41, 2, 0, 1]], ["QoS 3", [0x36, 5, 0, 1, 0x61, 0, 1]],
    ["an endless length", [0x30, 0xff, 0xff, 0xff, 0xff, 0x7f]], ["a topic longer than its packet", [0x30, 3, 0, 9, 0x61]],
    ["QoS 2, never subscribed", [0x34, 6, 0, 1, 0x61, 0, 1, 0]], ["message id 0", [0x32, 6, 0, 1, 0x61, 0, 0, 0]],
    ["an empty topic", [0x30, 3, 0, 0, 0]], ["a second CONNACK", [0x20, 3, 0, 0, 0]], ["a client's packet", [0x82, 3, 0, 1, 0]],
    ["unknown property", [0x30, 6, 0, 1, 0x61, 2, 0x7f, 1]],
  ])("%s: the connection is left, counted and made again", (_name, bytes) => {
    server((stream, n) => ({ onReadable: (input) => { if ((input[0] as number) === 0x10) { stream.write(connack); if (n === 0) stream.write(Uint8Array.from(bytes)); } } }));
    const c = client({ subscriptions: [] });
    world.runFor(1_000);
    expect(c.history.find(({ state }) => state === "waiting")?.reason).toMatch(/^(malformed|protocol|too_long)$/);
    expect(c.received).toEqual([]);
    world.runFor(10_000);
    expect(c.state).toBe("up");
  });

  test("a short CONNACK is malformed, not a success", () => {
    server((stream) => ({ onReadable: () => stream.write(Uint8Array.of(0x20, 0)) }));
    const c = client();
    world.runFor(50);
    expect(c.counters.connections).toBe(0);
    expect(c.history.some(({ reason }) => reason === "malformed")).toBe(true);
  });

  test("any bytes, before or after CONNACK, in any pieces: nothing is thrown and it comes back", () => {
    const valid = [
      packet({ cmd: "publish", topic: "cap", payload: "x", qos: 1, messageId: 3 }), packet({ cmd: "pingresp" }),
      packet({ cmd: "suback", messageId: 1, granted: [1] }), packet({ cmd: "puback", messageId: 1, reasonCode: 0x97 }),
      packet({ cmd: "disconnect", reasonCode: 0x8b }), connack,
    ];
    const mutated = fc.tuple(fc.constantFrom(...valid), fc.array(fc.tuple(fc.nat(40), fc.nat(255)), { maxLength: 4 }))
      .map(([bytes, edits]) => { const copy = Uint8Array.from(bytes); for (const [at, value] of edits) copy[at % copy.length] = value; return copy; });
    const piece = fc.oneof(fc.uint8Array({ maxLength: 60 }), mutated, mutated);
    fc.assert(fc.property(fc.boolean(), fc.array(piece, { minLength: 1, maxLength: 12 }), (admitted, pieces) => {
      const own = new SimWorld({ seed: 11, crypto });
      server((stream, n) => ({
        onReadable: (input) => {
          if ((input[0] as number) !== 0x10) return;
          if (admitted || n > 0) stream.write(connack);
          if (n === 0) for (const bytes of pieces) if (bytes.length > 0) stream.write(bytes);
        },
      }), own);
      const c = client({ subscriptions: ["cap"] }, own);
      c.mqtt.publish("e", "x", { qos: 1 });
      // Whatever it was, a broker that then behaves has the client again (an ack may have been lost: its deadline counts).
      own.runFor(1_000);
      own.cutConnections("home", "broker");
      expect(own.runUntil(() => c.state === "up" && c.counters.connections > 0, own.now + 120_000)).toBe(true);
    }), { numRuns: runs(300) });
  });
});
