/** What a whole house keeps, and what it makes of it when it comes back spoilt: keys, tokens, the meter's CRC. */
import { describe, expect, it } from "vitest";
import { START_TO_FAILSAFE_MS } from "../../src/constants.js";
import { Player } from "../../src/services/recording.js";
import { encodeKeySet, newKey, type SigningKey } from "../../tools/operator/encode.js";
import { topicOf } from "../../tools/operator/deliver.js";
import { publicEntry } from "../../tools/operator/files.js";
import { reissue } from "../../tools/operator/issue.js";
import { TEST_EAN, testKey } from "../helpers/token.js";
import { capOf, useHouses, type House, type SiteJson } from "./house.js";

const make = useHouses();
const maker = testKey("maker");
const FAILSAFE_W = 4_200;

/** Both slots of a record of the store: half of each is overwritten. */
function spoil(house: House, key: string): void {
  const flash = house.platform.flash.domain("vangnet");
  let spoilt = 0;
  for (const name of [`${key}.0`, `${key}.1`]) {
    const bytes = flash.get(name);
    if (bytes === undefined) continue;
    flash.set(name, bytes.map((byte, i) => (i < bytes.length / 2 ? byte : 0xff)));
    spoilt++;
  }
  expect(spoilt, key).toBeGreaterThan(0);
}
const clear = (house: House, key: string): void => { for (const slot of ["0", "1"]) house.platform.flash.domain("vangnet").delete(`${key}.${slot}`); };

describe("a token's record that is lost", () => {
  it("without a cap in force: failsafe, not free, though the link's promise has time left; a word from the operator ends it, over reboots too", () => {
    const house = make({ heartbeat: false });
    house.say((events) => events, { life: 86_400 });
    house.charging();
    expect(house.status.limits).toMatchObject({ state: "controlled", import: null });
    house.broker.stop();

    // The same cut with the record whole: the link is alive again as soon as the clock is.
    house.reboot(2);
    house.run(60);
    expect(house.status.limits.state).toBe("controlled");

    spoil(house, "cap0");
    house.reboot(2);
    const from = house.trace.length;
    house.run(START_TO_FAILSAFE_MS / 1_000 + 60);
    for (const { at, state, limit } of house.trace.slice(from)) expect([at, limit, ["start", "failsafe"].includes(state)]).toEqual([at, FAILSAFE_W, true]);
    expect(house.status.limits.state).toBe("failsafe");
    expect(house.told_of("restored").at(-1)).toMatchObject({ damaged: 1 });
    expect(house.told_of("store_fault").at(-1)!["detail"]).toContain("cap0");

    // Still doubted after one more reboot.
    house.reboot(2);
    house.run(60);
    expect(house.status.limits.import).toMatchObject({ watts: FAILSAFE_W });

    house.startBroker();
    house.say((events) => events, { life: 86_400 });
    house.until(() => house.status.limits.state === "controlled", 400, "heard");
    house.broker.stop();
    house.reboot(2);
    house.run(60);
    expect(house.status.limits.state).toBe("controlled");
    expect(house.told_of("restored").at(-1)).toMatchObject({ damaged: 0 });
  });

  it("with a cap in force, and the limits' own memory lost with it: never above the failsafe limit", () => {
    const house = make({ heartbeat: false });
    house.say((events) => events);
    house.charging();
    house.cap(3_000, 1_200, { life: 86_400 });
    house.run(30);
    house.broker.stop();

    spoil(house, "cap0");
    house.reboot(2);
    house.run(200, ({ limit, source }) => expect(limit, source ?? "").toBeLessThanOrEqual(3_000));

    spoil(house, "limits");
    house.reboot(2);
    house.run(300, ({ limit, source }) => expect(limit, source ?? "").toBeLessThanOrEqual(FAILSAFE_W));
    expect(house.status.limits.state).toBe("failsafe");
  });

  it("in a slot that nobody comes back for is forgotten with the operator's next word", () => {
    const house = make({ heartbeat: false, site: (json) => { json["msr"] = "T1"; } });
    house.say((events) => events, { life: 86_400 });
    house.run(2);
    house.say((events) => events, { life: 86_400, aud: "msr:T1" });
    house.run(30);
    spoil(house, "cap1");
    house.broker.stop();
    house.reboot(2);
    house.run(60);
    expect(house.status.limits.state).toBe("start");
    // Only to the house itself: the transformer's record does not come again.
    house.startBroker();
    house.say((events) => events, { life: 86_400 });
    house.until(() => house.status.limits.state === "controlled", 400, "heard");
    house.broker.stop();
    house.reboot(2);
    house.run(60);
    expect(house.told_of("restored").at(-1)).toMatchObject({ damaged: 0 });
    expect(house.status.limits.state).toBe("controlled");
  });
});

describe("the meter's CRC", () => {
  /** The meter goes silent, and something that speaks DSMR 2.2 without a CRC sits on the line. */
  const forge = (house: House): void => {
    house.options.version = "2.2";
    house.plugMeter();
  };

  it("is remembered over a reboot: telegrams without one are not taken, on the setting they come at", () => {
    const house = make({ devices: [], site: (json) => { (json["meter"] as SiteJson)["line"] = "9600 7E1"; }, version: "3.0" });
    // A meter that never had one is believed, before and after a reboot.
    house.until(() => house.status.reading.freshness === "fresh", 90, "old meter");
    house.reboot(2);
    house.until(() => house.status.reading.freshness === "fresh", 90, "old meter again");
    expect(house.platform.flash.domain("vangnet").has("p1crc.0")).toBe(false);
  });

  it.each([["kept", false], ["damaged", true]])("a forged meter after a reboot, the byte %s", (_name, damaged) => {
    const house = make({ devices: [] });
    house.until(() => house.status.reading.freshness === "fresh", 30, "a DSMR 5 meter");
    if (damaged) spoil(house, "p1crc");
    forge(house);
    house.reboot(2);
    house.run(150);
    expect(house.status.reading).toMatchObject({ net: null, freshness: "never" });
    expect(house.told_of("telegram_error").at(-1)).toMatchObject({ rule: "no_crc" });
  });

  it("and the same forgery is believed where nothing was kept: the test can fail", () => {
    const house = make({ devices: [] });
    house.until(() => house.status.reading.freshness === "fresh", 30, "a DSMR 5 meter");
    clear(house, "p1crc");
    forge(house);
    house.reboot(2);
    house.until(() => house.status.reading.net !== null, 150, "believed");
  });
});

describe("a signed set of keys", () => {
  const set = (version: number, ...keys: SigningKey[]): Uint8Array => encodeKeySet(version, 1_768_496_000, [maker, ...keys].map(publicEntry), maker);
  const offer = (house: House, bytes: Uint8Array): string => {
    let answer = "none";
    house.controller.offerKeys(bytes, "http", (outcome) => { answer = outcome.kind === "refused" ? outcome.rule : outcome.kind; });
    house.world.runFor(50);
    return answer;
  };
  /** A house whose site.json knows the maker, and perhaps the operator. */
  const withMaker = (operator: boolean) => make({
    heartbeat: false, site: (json) => { json["operator"]["keys"] = [publicEntry(maker), ...(operator ? [publicEntry(testKey())] : [])]; },
  });

  it("brings the first operator: heard at once, a link to lose from then on, also after a reboot", () => {
    const house = withMaker(false);
    const next = newKey("operator");
    const say = (life: number, watts: number | null): void => {
      const events = watts === null ? [] : [capOf(house.epoch, watts, 600)];
      house.broker.publish(topicOf(`ean:${TEST_EAN}`), reissue(house.operator, `ean:${TEST_EAN}`, next, house.epoch, life, () => events).token, { retain: true, expiry: life });
    };
    house.run(20);
    expect(house.status).toMatchObject({ link: { operator: false }, limits: { state: "autonomous" } });
    say(900, 5_000);
    house.run(5);
    expect(house.told_of("refused").at(-1)).toMatchObject({ rule: "kid" });

    expect(offer(house, set(3, next))).toBe("accepted");
    expect(offer(house, set(3, next))).toBe("repeat");
    expect(offer(house, set(2, testKey()))).toBe("sequence");
    expect(house.told_of("keys_accepted")).toMatchObject([{ version: 3, channel: "http", operator: true }]);
    expect(house.told_of("keys_refused")).toMatchObject([{ rule: "sequence" }]);
    expect(house.status).toMatchObject({ link: { operator: true }, limits: { state: "autonomous" } });
    say(900, 5_000);
    house.run(5);
    expect(house.status.limits).toMatchObject({ state: "limited", import: { watts: 5_000 } });

    house.broker.stop();
    house.reboot(2);
    house.run(1);
    expect(house.status.link.operator).toBe(true);
    house.run(900);
    expect(house.status.limits.state).toBe("failsafe");
  });

  it("without an operator ends nothing: the cap holds to its end, then failsafe; after a reboot too the cap holds", () => {
    const house = withMaker(true);
    house.say((events) => events);
    house.charging();
    house.cap(3_000, 600, { life: 300 });
    house.run(20);
    expect(offer(house, set(1))).toBe("accepted");
    house.run(5);
    // What the operator says now counts for nothing.
    house.cap(9_000, 600);
    house.run(5);
    expect(house.told_of("refused").at(-1)).toMatchObject({ rule: "kid" });
    house.reboot(2);
    house.run(200, ({ limit, source }) => expect(limit, source ?? "").toBeLessThanOrEqual(3_000));

    const second = withMaker(true);
    second.say((events) => events);
    second.charging();
    second.cap(3_000, 200, { life: 100 });
    second.run(5);
    expect(offer(second, set(1))).toBe("accepted");
    second.run(190, ({ limit, source }) => expect(limit, source ?? "").toBeLessThanOrEqual(3_000));
    second.run(420, ({ limit, at }) => expect(limit, `at ${at}`).toBeLessThanOrEqual(FAILSAFE_W));
    expect(second.status.limits).toMatchObject({ state: "failsafe", import: { watts: FAILSAFE_W } });
  });

  it("that is lost: a house that had its operator from it alone starts as one with an operator, and falls to its failsafe", () => {
    const house = withMaker(false);
    house.run(20);
    expect(offer(house, set(1, newKey("operator")))).toBe("accepted");
    spoil(house, "keys");
    house.reboot(2);
    house.run(START_TO_FAILSAFE_MS / 1_000 + 10);
    expect(house.status).toMatchObject({ link: { operator: true }, limits: { state: "failsafe", import: { watts: FAILSAFE_W } } });
    expect(house.told_of("store_fault").at(-1)!["detail"]).toContain("keys");
    // The maker's next word puts it right.
    expect(offer(house, set(2, testKey()))).toBe("accepted");
  });

  it("stands in the recording: played again it gives the same limits", () => {
    const house = make({ heartbeat: false, boot: false, site: (json) => { json["operator"]["keys"] = [publicEntry(maker)]; } });
    const lines: string[] = [], states: string[] = [];
    house.recorded = (line) => lines.push(line);
    house.boot();
    house.run(20);
    offer(house, set(1, testKey()));
    house.cap(5_000, 600, { life: 100 });
    house.run(120);
    const player = new Player();
    for (const line of lines) {
      const played = player.line(line);
      if (!played.ok) throw new Error(played.rule);
      if (played.outputs !== null) states.push(played.outputs.limits.state);
    }
    expect(player.site!.hasOperator).toBe(true);
    expect(new Set(states)).toEqual(new Set(["autonomous", "limited"]));
    expect(states.at(-1)).toBe(house.status.limits.state);
    expect(lines.filter((line) => line.includes('"hasOperator":true')).length).toBe(1);
  });
});
