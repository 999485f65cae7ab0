import { describe, expect, test } from "vitest";
import { MQTT_PUBLISH_BYTES_MAX } from "../../src/constants.js";
import { makeStatus, STATUS_EVENTS_MAX } from "../../src/services/status.js";
import { cap, decisions, input, limits, NOON, reading, site } from "./status_world.js";

describe("the status", () => {
  test("is plain JSON: nothing is lost on the way", () => {
    const status = makeStatus(input({ limits: limits({ import: cap, state: "limited", weighed: [cap] }) }));
    expect(JSON.parse(JSON.stringify(status))).toEqual(status);
    expect(status).toMatchObject({
      version: "0.1.0", serial: "VN-000042", uptime: 100, clock: { time: NOON },
      reading: { net: 3_870, age: 600, source: "p1", freshness: "fresh" },
      limits: { state: "limited", import: { watts: 4_200, source: "cap", id: "a1b2c3d4", until: NOON + 7_200 }, export: null },
      link: { operator: true, mqtt: { state: "up", version: 5, seconds: 60 } },
    });
    expect(status.limits.import?.words).toContain("4.2 kW");
    expect(status.reading.phases).toEqual([
      { power: 1_210, current: 5_000, voltage: 229_800 }, { power: 1_320, current: 6_000, voltage: 230_400 }, { power: 1_340, current: 6_000, voltage: 231_100 },
    ]);
    expect(status.devices.map(({ id, reason, limit }) => [id, reason, limit])).toEqual([
      ["charger", "below_minimum", "cap"], ["battery", "covers_shortage", "cap"], ["roof", "asked_in_full", null], ["heat-pump", "blocked", "cap"],
    ]);
    expect(status.devices[0]?.words).toContain("charger");
  });

  test("a stale or absent meter shows nothing as if it were measured", () => {
    for (const [freshness, given] of [["stale", reading], ["never", null]] as const) {
      const { reading: shown } = makeStatus(input({ freshness, reading: given }));
      expect(shown.net).toBeNull();
      expect(shown.phases).toEqual(Array.from({ length: 3 }, () => ({ power: null, current: null, voltage: null })));
      expect(shown.age).toBe(given === null ? null : 600);
    }
    expect(makeStatus(input({ freshness: "ageing" })).reading.net).toBe(3_870);
  });

  test("a cap of 0 W is a limit, not none", () => {
    const zero = { ...cap, watts: 0 };
    expect(makeStatus(input({ limits: limits({ import: zero, export: zero }) })).limits).toMatchObject({ import: { watts: 0 }, export: { watts: 0 } });
  });

  test("a device that is silent has no measurement; one without a decision no setpoint", () => {
    const status = makeStatus(input({ decisions: [], reports: [] }));
    expect(status.devices.length).toBe(4);
    for (const device of status.devices) expect(device).toMatchObject({ setpoint: null, asked: null, online: false, reason: null, words: "", measured: { power: null } });
    const silent = makeStatus(input({ reports: decisions.map(() => ({ online: false, at: 0, power: 5_000, current: [1, 1, 1] as const, voltage: [null, null, null] as const, wants: null, stateOfCharge: null, applied: null, fault: null })) }));
    for (const device of silent.devices) expect(device.measured).toEqual({ power: null, current: [null, null, null] });
  });

  test("a single-phase house has one phase, no broker is null, events are the newest", () => {
    const events = Array.from({ length: 20 }, (_, i) => ({ time: i, type: "x", words: String(i) }));
    const status = makeStatus(input({ site: { ...site, connection: { ...site.connection, phases: 1 } }, mqtt: null, events }));
    expect(status.reading.phases.length).toBe(1);
    expect(status.link.mqtt).toBeNull();
    expect(status.events.map(({ words }) => words)).toEqual(events.slice(-STATUS_EVENTS_MAX).map(({ words }) => words));
  });

  test("eight devices, all limits and full events fit into one MQTT message", () => {
    const devices = Array.from({ length: 8 }, (_, i) => ({ ...site.devices[0]!, id: `charger-with-a-long-id-${i}` }));
    const status = makeStatus(input({
      site: { ...site, devices }, decisions: devices.map(({ id }) => ({ ...decisions[0]!, device: id })),
      limits: limits({ import: cap, export: cap, controllable: cap, production: cap, weighed: [cap, cap, cap, cap, cap] }),
      events: Array.from({ length: 8 }, () => ({ time: NOON, type: "cap_in_force", words: "cap a1b2c3d4 in force, import 4.2 kW, 17:00 UTC to 19:00 UTC" })),
    }));
    expect(JSON.stringify(status).length).toBeLessThanOrEqual(MQTT_PUBLISH_BYTES_MAX);
  });
});
