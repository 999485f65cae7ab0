/** The emulated broker against npm `mqtt`, a client that is not ours, over real sockets; and its clockwork in virtual time. */
import { connectAsync, type IClientOptions, type MqttClient } from "mqtt";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { monotonicClock } from "../../hal/node/clock.js";
import { sha256 } from "../../hal/node/crypto.js";
import { Listener } from "../../hal/node/listener.js";
import { TCP } from "../../hal/node/tcp.js";
import { nodeTimer } from "../../hal/node/timer.js";
import type { TCPStream } from "../../hal/ecma419.js";
import { SimWorld } from "../../hal/sim/world.js";
import { encodePacket, type MqttPacket } from "../../src/services/mqtt_packet.js";
import { Broker, type BrokerHooks } from "../../tools/emulators/broker.js";
import { filterIsValid, topicMatches } from "../../tools/emulators/topic.js";
import { until } from "../services/mqtt_world.js";

describe("topics (MQTT 5 section 4.7)", () => {
  test.each([
    ["a/b", "a/b", true], ["a/+", "a/b", true], ["a/+", "a/b/c", false], ["a/#", "a/b/c", true], ["a/#", "a", true], ["#", "a/b", true], ["+/+", "/a", true],
    ["+", "/a", false], ["a/b", "a/b/", false], ["#", "$SYS/x", false], ["+/x", "$SYS/x", false], ["$SYS/#", "$SYS/x", true], ["a", "A", false],
  ])("%s matches %s: %s", (filter, topic, expected) => { expect(topicMatches(filter, topic)).toBe(expected); });
  test.each([["a+", false], ["a/#/b", false], ["#", true], ["+/a", true], ["", false], ["a/b#", false]])("filter %s is valid: %s", (filter, valid) => { expect(filterIsValid(filter)).toBe(valid); });
});

describe("over real sockets, with npm mqtt", () => {
  const timer = nodeTimer();
  let broker: Broker;
  let hooks: { -readonly [Key in keyof BrokerHooks]: BrokerHooks[Key] };
  const clients: MqttClient[] = [];
  beforeEach(async () => {
    hooks = {};
    broker = new Broker({ io: { Listener, TCP }, timer, monotonic: monotonicClock(), port: 0, address: "127.0.0.1", hooks });
    await until(() => broker.port > 0, "listening");
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) await client.endAsync(true);
    broker.stop();
    timer.clearAll();
  });
  async function join(clientId: string, options: IClientOptions = {}) {
    const client = await connectAsync(`mqtt://127.0.0.1:${broker.port}`, { clientId, reconnectPeriod: 0, protocolVersion: 5, ...options });
    clients.push(client);
    const received: { topic: string; text: string; retain: boolean; expiry: number | undefined }[] = [];
    client.on("message", (topic, payload, { retain, properties }) => received.push({ topic, text: payload.toString(), retain, expiry: properties?.messageExpiryInterval }));
    return { client, received };
  }

  test.each([[5], [4]] as const)("MQTT version %i: subscribe, QoS 1, retained, unsubscribe", async (protocolVersion) => {
    const a = await join("a", { protocolVersion });
    await a.client.publishAsync("vangnet/1/status", "kept", { retain: true, qos: 1 });
    await a.client.subscribeAsync("vangnet/+/status", { qos: 1 });
    await until(() => a.received.length === 1, "retained");
    expect(a.received[0]).toMatchObject({ topic: "vangnet/1/status", text: "kept", retain: true });
    await a.client.publishAsync("vangnet/2/status", "live", { qos: 1 });
    await until(() => a.received.length === 2, "live");
    expect(a.received[1]).toMatchObject({ text: "live", retain: false });
    await a.client.unsubscribeAsync("vangnet/+/status");
    await a.client.publishAsync("vangnet/2/status", "unheard", { qos: 1 });
    await a.client.publishAsync("vangnet/1/status", "", { retain: true, qos: 1 });
    expect(a.received.length).toBe(2);
    expect(broker.retained("vangnet/1/status")).toBeNull();
  });

  test("kick ends the connection and publishes the will; the message expiry is passed on, counted down", async () => {
    const watcher = await join("watcher");
    await watcher.client.subscribeAsync("#", { qos: 1 });
    await join("house", { will: { topic: "vangnet/1/online", payload: Buffer.from("offline"), qos: 1, retain: true } });
    expect(broker.clients()).toEqual(["watcher", "house"]);
    expect(broker.kick("house")).toBe(1);
    await until(() => watcher.received.length === 1, "will");
    expect(watcher.received[0]).toMatchObject({ topic: "vangnet/1/online", text: "offline" });
    await watcher.client.publishAsync("cap", "x", { properties: { messageExpiryInterval: 60 } });
    await until(() => watcher.received.length === 2, "message");
    expect(watcher.received[1]?.expiry).toBe(60);
  });

  test("the second of one name ends the first, and hooks drop or double", async () => {
    const first = await join("same");
    let closed = false;
    first.client.on("close", () => { closed = true; });
    const second = await join("same");
    await until(() => closed, "taken over");
    await second.client.subscribeAsync("x", { qos: 1 });
    let times = 0;
    hooks.deliver = () => times;
    await second.client.publishAsync("x", "dropped", { qos: 1 });
    times = 2;
    await second.client.publishAsync("x", "doubled", { qos: 1 });
    await until(() => second.received.length === 2, "twice");
    expect(second.received.map(({ text }) => text)).toEqual(["doubled", "doubled"]);
  });
});

describe("in virtual time", () => {
  function raw(world: SimWorld, name: string, connect: Partial<MqttPacket>) {
    const platform = world.platform(name);
    const state = { ended: false, said: false };
    const stream: TCPStream = new platform.TCP({
      host: "broker", port: 1883, format: "buffer", onError: () => { state.ended = true; stream.close(); }, onReadable: () => { stream.read(); },
      onWritable: () => { if (!state.said) { state.said = true; stream.write(encodePacket({ cmd: "connect", protocolId: "MQTT", protocolVersion: 5, clientId: name, clean: true, keepalive: 10, ...connect }, 5) as Uint8Array); } },
    });
    return state;
  }

  test("keep-alive: silence for one and a half times ends the connection; retained messages expire", () => {
    const world = new SimWorld({ seed: 1, crypto: { sha256, verifyP256: () => false } });
    const platform = world.platform("broker");
    const published: string[] = [];
    const broker = new Broker({ io: platform, timer: platform.timer, monotonic: () => platform.monotonic(), port: 1883, hooks: { onPublish: ({ topic }) => published.push(topic) } });
    broker.publish("cap", "x", { retain: true, expiry: 20 });
    const silent = raw(world, "silent", { will: { topic: "will", payload: "gone", qos: 0, retain: false } });
    world.runFor(14_000);
    expect(silent.ended).toBe(false);
    expect(broker.retained("cap")).not.toBeNull();
    world.runFor(2_000);
    expect(silent.ended).toBe(true);
    expect(published).toContain("will");
    world.runFor(5_000);
    expect(broker.retained("cap")).toBeNull();
    expect(broker.clients()).toEqual([]);
  });
});
