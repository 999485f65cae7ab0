/**
 * Bad input from every side of a whole house: the error's words are there, no limit and no setpoint
 * was relaxed by it, and nothing was lost: what is good, before and after, still counts.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { run as config } from "../../tools/commands/config.js";
import { run as runVerb } from "../../tools/commands/run.js";
import { closeTelegram } from "../../tools/emulators/p1_telegram.js";
import { encodeToken, newKey } from "../../tools/operator/encode.js";
import type { TCPStream } from "../../hal/ecma419.js";
import { TEST_EAN, testKey } from "../helpers/token.js";
import { capOf, ev, useHouses, type House, type HouseOptions } from "./house.js";

const make = useHouses();
const AUD = `ean:${TEST_EAN}`;
const CAP_W = 9_000;

/** Charging under a cap of 9 kW, with room for no more: whatever comes must not change that. */
function steady(options: HouseOptions = {}): House {
  const house = make({ devices: [ev("charger")], ...options });
  house.charging();
  house.cap(CAP_W, 36_000);
  house.run(60);
  expect(house.told("charger")).toBeGreaterThanOrEqual(10_000);
  return house;
}

/** Runs so long; the cap holds in every second and the charger is told no more than before. */
function unmoved(house: House, seconds: number): void {
  const before = house.told("charger"), index = house.fittings.findIndex(({ id }) => id === "charger");
  house.run(seconds, ({ limit, setpoints }) => {
    expect(limit).not.toBeNull();
    expect(limit!).toBeLessThanOrEqual(CAP_W);
    expect(setpoints[index]).toBeLessThanOrEqual(before);
  });
}

/** A good word still counts, at once. */
function stillListens(house: House): void {
  const accepted = house.status.counters["tokensAccepted"]!;
  house.cap(CAP_W - 3_000, 36_000);
  house.run(3);
  expect(house.status.counters["tokensAccepted"]).toBe(accepted + 1);
  expect(house.status.limits.import).toMatchObject({ watts: CAP_W - 3_000, source: "cap" });
}

describe("the meter", () => {
  const lines = (telegram: Uint8Array): string[] => {
    const all = Buffer.from(telegram).toString("latin1").split("\r\n");
    return all.slice(0, all.findIndex((line) => line.startsWith("!")));
  };
  const bad: [string, string, (telegram: Uint8Array) => Uint8Array][] = [
    ["a bit error", "crc_mismatch", (telegram) => telegram.map((byte, i) => (i === 200 ? byte ^ 1 : byte))],
    ["a telegram cut off", "truncated", (telegram) => telegram.subarray(0, telegram.length >> 1)],
    ["a CRC that is none", "bad_crc_digits", (telegram) => Uint8Array.from([...telegram.subarray(0, telegram.length - 6), ...Buffer.from("G0!Z\r\n")])],
    ["a telegram longer than any", "overflow", (telegram) => closeTelegram([...lines(telegram), ...Array.from({ length: 150 }, () => `0-0:96.13.0(${"30".repeat(30)})`)])],
  ];
  for (const [what, rule, spoil] of bad) {
    it(`${what}: "${rule}", counted and kept; the next good one counts`, () => {
      let on = false;
      const house = steady({ spoil: (telegram) => (on ? spoil(telegram) : telegram) });
      const { readings, telegramErrors } = house.status.counters;
      on = true;
      unmoved(house, 4);
      on = false;
      unmoved(house, 20);
      expect(house.status.counters["telegramErrors"]).toBeGreaterThan(telegramErrors!);
      expect(house.status.counters["readings"]).toBeGreaterThanOrEqual(readings! + 15);
      expect(house.told_of("telegram_error").map((one) => one["rule"] as string)).toContain(rule);
      expect(house.status.reading.freshness).toBe("fresh");
      stillListens(house);
    });
  }

  it("values that cannot be, with a CRC that is right: refused by name once, and what does not parse is absent, never 0", () => {
    let edit: ((line: string) => string) | null = null;
    const house = steady({ spoil: (telegram) => (edit ? closeTelegram(lines(telegram).map(edit)) : telegram) });
    // The net power of nobody: 0 W and -90 kW while the phases say 8 kW.
    for (const [value, back] of [["00.000", "00.000"], ["00.000", "90.000"]] as const) {
      edit = (line) => (line.startsWith("1-0:1.7.0") ? `1-0:1.7.0(${value}*kW)` : line.startsWith("1-0:2.7.0") ? `1-0:2.7.0(${back}*kW)` : line);
      unmoved(house, 1);
      edit = null;
      unmoved(house, 15);
    }
    expect(house.status.counters["implausible"]).toBeGreaterThanOrEqual(2);
    expect(house.told_of("implausible").map((one) => one["rule"] as string)).toEqual(expect.arrayContaining(["phase_sum"]));
    // Currents and powers that are no numbers, for as long as it lasts.
    edit = (line) => line.replace(/\((\d\d)\.(\d{3})\*kW\)/, "(0x.$2*kW)").replace(/\(\d{3}\*A\)/, "(--*A)");
    unmoved(house, 15);
    expect(house.status.reading.net).toBeNull();
    expect(house.held("charger"), "nothing known is not nothing drawn").toBe(0);
    edit = null;
    stillListens(house);
  });

  it("a text that is no token, or a token spoilt: refused by name, and the good one after it binds", () => {
    const house = steady();
    const refused = house.status.counters["tokensRefused"]!;
    house.text = "Beste klant, uw meter wordt vervangen";
    unmoved(house, 10);
    expect(house.status.counters["tokensRefused"], "not ours: no refusal").toBe(refused);
    house.text = "VN1:!!!!";
    unmoved(house, 5);
    house.text = "VN1:AAAA";
    unmoved(house, 5);
    house.text = "";
    unmoved(house, 5);
    expect(house.status.counters["tokensRefused"]).toBe(refused + 2);
    expect(house.told_of("refused").slice(-2)).toMatchObject([{ channel: "p1", rule: "structure" }, { channel: "p1", rule: "structure" }]);
    house.cap(2_000, 600, { via: "p1", id: "00000c07" });
    house.run(4);
    expect(house.status.limits.import).toMatchObject({ watts: 2_000, source: "cap" });
  });
});

describe("the broker", () => {
  it("tokens that do not verify: each refused by its rule, nothing changes, the good one after them binds", () => {
    const house = steady();
    const now = house.epoch, stranger = newKey("operator"), free = [capOf(now, 50_000, 600)];
    const good = (claims: object) => encodeToken({ aud: AUD, seq: 2_000_000_000, iat: now, exp: now + 900, events: free, ...claims }, house.key);
    const spoilt = good({});
    spoilt[spoilt.length - 3]! ^= 1;
    const maker = testKey("maker");
    const offers: [string, Uint8Array][] = [
      ["size", new Uint8Array(721)],
      ["structure", Uint8Array.of(1, 2, 3)],
      ["structure", good({}).subarray(0, 100)],
      ["kid", encodeToken({ aud: AUD, seq: 2_000_000_000, iat: now, exp: now + 900, events: free }, stranger)],
      ["kid", encodeToken({ aud: AUD, seq: 2_000_000_000, iat: now, exp: now + 900, events: free }, maker)],
      ["audience", good({ aud: "ean:000000000000000000" })],
      ["times", good({ iat: now - 2_000, exp: now - 1_000 })],
      ["times", good({ exp: now + 400 * 86_400 })],
      ["sequence", good({ seq: 1 })],
      ["signature", spoilt],
    ];
    for (const [rule, bytes] of offers) {
      const refused = house.status.counters["tokensRefused"]!;
      house.broker.publish(`vangnet/cap/ean/${TEST_EAN}`, bytes, { retain: true });
      unmoved(house, 3);
      expect(house.status.counters["tokensRefused"], rule).toBe(refused + 1);
      const last = house.status.events.filter(({ type }) => type === "refused").at(-1)!;
      expect(last.words).toMatch(new RegExp(`^token refused \\(${rule}\\): .{5,}`));
      expect(house.told_of("refused").at(-1)).toMatchObject({ rule, channel: "mqtt" });
    }
    // A retained message deleted is no word of anybody.
    house.broker.publish(`vangnet/cap/ean/${TEST_EAN}`, new Uint8Array(0), { retain: true });
    unmoved(house, 30);
    stillListens(house);
  });

  it("a flood of bad tokens: counted in full, the log keeps its room, and a good cap comes through another channel", () => {
    const house = steady();
    const spoilt = encodeToken({ aud: AUD, seq: 2_000_000_000, iat: house.epoch, exp: house.epoch + 900, events: [] }, house.key);
    for (let i = 0; i < 300; i++) {
      const bytes = spoilt.slice();
      bytes[bytes.length - 1 - (i % 60)]! ^= 1 + (i % 7);
      house.broker.publish(`vangnet/cap/ean/${TEST_EAN}`, bytes);
      house.world.runFor(100);
    }
    expect(house.status.limits.import).toMatchObject({ watts: CAP_W });
    expect(house.told_of("refused").length).toBeLessThanOrEqual(60);
    house.cap(3_000, 600, { id: "00000c09", via: "p1" });
    house.run(5);
    expect(house.status.limits.import).toMatchObject({ watts: 3_000, source: "cap" });
  });

  it("a broker that talks nonsense is left, and come back to", () => {
    const house = steady();
    house.world.link("controller", "broker").tamper = (bytes, from) => (from === "broker" ? bytes.map((byte) => byte ^ 0x5a) : bytes);
    house.broker.publish("vangnet/cap/all", new Uint8Array(50));
    unmoved(house, 60);
    expect(house.status.link.mqtt!.state).not.toBe("up");
    expect(house.status.link.mqtt!.reason).not.toBe("");
    house.world.link("controller", "broker").tamper = null;
    house.until(() => house.status.link.mqtt!.state === "up", 600, "up again");
    stillListens(house);
  });
});

describe("Modbus", () => {
  it("values that cannot be: a charger that says NaN and 10 MW, an answer of the wrong length, junk on the line", () => {
    const house = steady({ devices: [ev("charger"), ev("other", { phases: [1], priority: 9 })] });
    const { registers } = house.modbus.get("charger")!;
    const get = registers.get.bind(registers);
    for (const words of [[0x7fc0, 0], [0x4b18, 0x9680], [0xff80, 0]] as const) {
      registers.get = (table, address) => (address >= 320 && address < 346 ? words[address % 2] : get(table, address));
      unmoved(house, 15);
      house.run(1, ({ net }) => expect(net).toBeLessThanOrEqual(CAP_W));
    }
    registers.get = get;
    const link = house.world.link("controller", "charger");
    const { modbusTimeouts } = house.status.counters;
    link.tamper = (bytes, from) => (from === "charger" ? bytes.map((byte, i) => (i === 5 ? byte + 3 : byte)) : bytes);
    unmoved(house, 20);
    expect(house.status.devices[0]!.fault).not.toBeNull();
    expect(house.status.counters["modbusTimeouts"]).toBeGreaterThanOrEqual(modbusTimeouts!);
    link.tamper = (_bytes, from) => (from === "charger" ? Uint8Array.from({ length: 300 }, (_, i) => i) : _bytes);
    unmoved(house, 20);
    link.tamper = null;
    house.until(() => house.status.devices[0]!.fault === null, 60, "well again");
    expect(house.held("charger")).toBe(house.told("charger"));
    expect(house.status.counters["faults"]).toBe(0);
  });
});

describe("HTTP", () => {
  function request(house: House, bytes: string | Uint8Array, wait = 3_000): string {
    const platform = house.world.platform("browser");
    let text = "", sent = false;
    const stream: TCPStream = new platform.TCP({
      host: "controller", port: 8080, format: "buffer",
      onReadable: () => { text += Buffer.from(stream.read() ?? new ArrayBuffer(0)).toString("latin1"); },
      onWritable: () => {
        if (sent) return;
        sent = true;
        stream.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
      },
      onError: () => {},
    });
    house.world.runFor(wait);
    stream.close();
    return text;
  }
  const post = (body: Uint8Array | string, headers = "Content-Type: application/cwt\r\n", host = "controller"): Uint8Array =>
    Buffer.concat([Buffer.from(`POST /api/cap HTTP/1.1\r\nHost: ${host}\r\n${headers}Content-Length: ${body.length}\r\nConnection: close\r\n\r\n`), Buffer.from(body)]);

  it("what is no token, no request, or from another site: refused by name; a good token binds", () => {
    const house = steady({ site: (json) => { json["http"] = { port: 8080, address: "0.0.0.0", names: ["controller"] }; } });
    const token = encodeToken({ aud: AUD, seq: 2_000_000_000, iat: house.epoch, exp: house.epoch + 900, events: [capOf(house.epoch, 2_500, 600)] }, house.key);
    const spoilt = token.slice();
    spoilt[spoilt.length - 9]! ^= 1;
    const answers: [string, string | Uint8Array, RegExp][] = [
      ["junk", post("hello"), /^HTTP\/1\.1 422 [^]*structure/],
      ["a signature that is not right", post(spoilt), /^HTTP\/1\.1 422 [^]*signature/],
      ["another content type, as a form of another site has", post(token, "Content-Type: text/plain\r\n"), /^HTTP\/1\.1 415 [^]*content_type/],
      ["another site's origin", post(token, "Content-Type: application/cwt\r\nOrigin: http://evil.example\r\n"), /^HTTP\/1\.1 403 /],
      ["another name (rebinding)", post(token, "Content-Type: application/cwt\r\n", "evil.example"), /^HTTP\/1\.1 (403|421) /],
      ["too much", post(new Uint8Array(5_000)), /^HTTP\/1\.1 413 /],
      ["another method", "GET /api/cap HTTP/1.1\r\nHost: controller\r\n\r\n", /^HTTP\/1\.1 405 [^]*method/],
      ["another path", "GET /etc/passwd HTTP/1.1\r\nHost: controller\r\n\r\n", /^HTTP\/1\.1 404 /],
      ["no HTTP at all", "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", /^(HTTP\/1\.1 400 |$)/],
    ];
    for (const [what, bytes, answer] of answers) {
      const before = house.status.limits.import;
      expect(request(house, bytes), what).toMatch(answer);
      unmoved(house, 1);
      expect(house.status.limits.import, what).toEqual(before);
    }
    expect(house.told_of("refused").slice(-2)).toMatchObject([{ channel: "http", rule: "structure" }, { channel: "http", rule: "signature" }]);
    expect(request(house, "GET /api/status HTTP/1.1\r\nHost: controller\r\nConnection: close\r\n\r\n")).toMatch(/^HTTP\/1\.1 200 [^]*"limits"/);
    expect(request(house, post(token))).toMatch(/^HTTP\/1\.1 200 [^]*accepted/);
    expect(house.status.limits.import).toMatchObject({ watts: 2_500, source: "cap" });
  });
});

describe("the configuration", () => {
  const written: string[] = [];
  afterEach(() => { for (const path of written.splice(0)) rmSync(path, { recursive: true, force: true }); vi.restoreAllMocks(); });

  it("every fault is named by its path, and nothing starts on a faulty one", async () => {
    const house = make({ boot: false });
    const directory = mkdtempSync(join(tmpdir(), "vangnet-config-"));
    written.push(directory);
    const file = join(directory, "site.json");
    const said: string[] = [];
    vi.spyOn(process.stderr, "write").mockImplementation((text) => { said.push(String(text)); return true; });
    const site = structuredClone(house.site);
    site["ean"] = "123";
    site["devices"][1]["maximum_A"] = 32;
    site["devices"][2]["bus"] = "nowhere";
    site["limits"] = { failsafe_W: -5 };
    for (const [text, words] of [
      ["{", [/not JSON/]],
      ["[]", [/serial: .*received undefined/]],
      [JSON.stringify(site), [/ean: an EAN has 18 digits/, /limits\.failsafe_W: a limit is 0 W or more/]],
      [JSON.stringify({ ...site, ean: TEST_EAN, limits: {} }), [/devices\[1\]\.maximum_A: above the fuse of 25 A/, /devices\[2\]\.bus: no bus "nowhere" in buses/]],
    ] as const) {
      writeFileSync(file, text);
      said.length = 0;
      expect(await config(["check", file])).toBe(1);
      for (const one of words) expect(said.join("")).toMatch(one);
      said.length = 0;
      expect(await runVerb(["--config", file, "--data", join(directory, "data")])).toBe(1);
      for (const one of words) expect(said.join("")).toMatch(one);
    }
  });
});

describe("the store", () => {
  it("noise in every value: named, strict until the operator is heard, and the caps of today are heard again", () => {
    const house = steady();
    house.platform.cutPower();
    const flash = house.platform.flash.domain("vangnet");
    let n = 0;
    for (const [key, value] of flash) flash.set(key, Uint8Array.from(value, () => (n = (n * 73 + 41) & 0xff)));
    house.world.link("controller", "broker").up = false;
    house.reboot(1);
    house.run(150, ({ limit, state }) => {
      expect(limit, state).not.toBeNull();
      expect(limit!).toBeLessThanOrEqual(4_200);
    });
    expect(house.status.counters["storeCorrupt"]).toBeGreaterThan(0);
    expect(house.told_of("restored").at(-1)!["damaged"]).toBeGreaterThan(0);
    expect(house.told_of("store_fault").length).toBeGreaterThan(0);
    house.world.link("controller", "broker").up = true;
    house.until(() => house.status.limits.import?.source === "cap" && house.status.limits.state === "limited", 400, "the retained cap");
    expect(house.status.limits.import!.watts).toBeLessThanOrEqual(CAP_W);
  });

  it("a medium that fails every call from the first: it starts, says so, and is safe and capped", () => {
    const house = make({ boot: false });
    house.platform.flash.broken = true;
    house.boot();
    house.world.runFor(1_000);
    expect(house.held("charger")).toBe(0);
    house.run(60);
    house.cap(3_000, 600);
    house.run(3);
    expect(house.status.limits.import).toMatchObject({ watts: 3_000 });
    expect(house.status.counters["storeFailures"]! + house.status.counters["storeCorrupt"]!).toBeGreaterThan(0);
    expect(house.told_of("store_fault").length).toBeGreaterThan(0);
    house.run(300, ({ limit }) => expect(limit).toBeLessThanOrEqual(4_200));
  });

  it("evidence overwritten is found, and the house goes on", () => {
    const house = steady();
    expect(house.verify()).toMatchObject({ ok: true });
    const name = house.platform.files.scan().find((one) => one.startsWith("ev"))!;
    const file = house.platform.files.openFile({ path: name, mode: "r+" });
    file.write(Uint8Array.of(0xff, 0xff, 0xff), 200);
    file.flush();
    file.close();
    expect(house.verify()).toMatchObject({ ok: false });
    unmoved(house, 10);
    stillListens(house);
    // Its chain is broken for good: off, so that it is not asked for it at the end.
    house.platform.cutPower();
  });
});
