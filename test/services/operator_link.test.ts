import { describe, expect, test } from "vitest";
import { sha256 } from "../../hal/node/crypto.js";
import { SimWorld } from "../../hal/sim/world.js";
import { capTopics, OperatorLink, STATUS_EXPIRY_S, topicLevel } from "../../src/services/operator_link.js";
import { Broker, type BrokerMessage } from "../../tools/emulators/broker.js";

function world(audience: { ean?: string | null; msr?: string | null } = {}) {
  const sim = new SimWorld({ seed: 2, crypto: { sha256, verifyP256: () => false } });
  const platform = sim.platform("broker");
  const published: BrokerMessage[] = [];
  const broker = new Broker({ io: platform, timer: platform.timer, monotonic: () => platform.monotonic(), port: 1883, hooks: { onPublish: (message) => published.push(message) } });
  const tokens: number[][] = [];
  const link = new OperatorLink({
    platform: sim.platform("home"), broker: { host: "broker", port: 1883 }, serial: "VN-1", ean: "871234567890123456", msr: "m1", ...audience,
    onToken: (bytes) => tokens.push([...bytes]),
  });
  sim.runFor(100);
  const texts = (topic: string): string[] => published.filter((one) => one.topic === topic).map(({ payload }) => new TextDecoder().decode(payload));
  return { sim, broker, link, tokens, published, texts };
}

describe("the operator link", () => {
  test("hands on the raw bytes of all three audiences, and of no other", () => {
    const { sim, broker, tokens } = world();
    const send = (topic: string, n: number): void => broker.publish(topic, Uint8Array.of(n, 0, 255), { retain: true });
    send("vangnet/cap/all", 1);
    send("vangnet/cap/ean/871234567890123456", 2);
    send("vangnet/cap/msr/m1", 3);
    send("vangnet/cap/ean/871234567890123457", 4);
    send("vangnet/cap/msr/m2", 5);
    send("vangnet/cap", 6);
    sim.runFor(100);
    expect(tokens).toEqual([[1, 0, 255], [2, 0, 255], [3, 0, 255]]);
  });

  test("a retained token that is deleted is no token: nothing is handed on", () => {
    const { sim, broker, tokens } = world();
    broker.publish("vangnet/cap/all", "", { retain: true });
    sim.runFor(100);
    expect(tokens).toEqual([]);
  });

  test("after a reconnect the retained token comes again: a late subscriber and a lost message come out right", () => {
    const { sim, broker, tokens } = world();
    sim.link("home", "broker").up = false;
    broker.publish("vangnet/cap/all", Uint8Array.of(7), { retain: true });
    sim.runFor(60_000);
    expect(tokens).toEqual([]);
    sim.link("home", "broker").up = true;
    sim.runFor(400_000);
    expect(tokens.at(-1)).toEqual([7]);
  });

  test("says online, and the broker says offline when it vanishes", () => {
    const { sim, broker, link, texts } = world();
    expect(texts("vangnet/VN-1/online")).toEqual(["online"]);
    broker.kick();
    sim.runFor(30_000);
    expect(texts("vangnet/VN-1/online")).toEqual(["online", "offline", "online"]);
    link.close();
    sim.runFor(100);
    expect(texts("vangnet/VN-1/online").at(-1)).toBe("offline");
    expect(broker.retained("vangnet/VN-1/online")).not.toBeNull();
  });

  test("status is retained and expires; events are QoS 1; the chain's head is kept", () => {
    const { sim, broker, link, published } = world();
    link.publishStatus('{"n":1}');
    link.publishEvent('{"e":1}');
    link.publishHead('{"n":5,"hash":"ab"}');
    sim.runFor(100);
    expect(published.slice(-3).map(({ topic, retain, qos }) => [topic, retain, qos]).sort()).toEqual([
      ["vangnet/VN-1/events", false, 1], ["vangnet/VN-1/evidence/head", true, 1], ["vangnet/VN-1/status", true, 0],
    ]);
    sim.runFor((STATUS_EXPIRY_S - 1) * 1000);
    expect(broker.retained("vangnet/VN-1/status")).not.toBeNull();
    sim.runFor(2_000);
    expect(broker.retained("vangnet/VN-1/status")).toBeNull();
    expect(broker.retained("vangnet/VN-1/evidence/head")).not.toBeNull();
  });

  test("a house without EAN or transformer listens to all alone", () => {
    expect(capTopics(null, null)).toEqual(["vangnet/cap/all"]);
    const { sim, broker, tokens } = world({ ean: null, msr: null });
    broker.publish("vangnet/cap/ean/871234567890123456", Uint8Array.of(1), { retain: true });
    sim.runFor(100);
    expect(tokens).toEqual([]);
  });

  test("a name cannot become another topic or all of them", () => {
    expect(topicLevel("a/b+c#d\u0000")).toBe("a_b_c_d_");
    expect(capTopics(null, "#")).toEqual(["vangnet/cap/all", "vangnet/cap/msr/_"]);
  });
});
