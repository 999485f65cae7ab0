import { readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Ajv } from "ajv";
import { describe, expect, test } from "vitest";
import { readSite } from "../../src/services/site_config.js";
import { siteJsonSchema } from "../../tools/schema.js";

const folder = fileURLToPath(new URL("../../boards/host/", import.meta.url));
const examples = readdirSync(folder).filter((name) => name.endsWith(".json") && name !== "site.schema.json");
type Json = Record<string, any>; // eslint-disable-line @typescript-eslint/no-explicit-any -- JSON to be spoilt at will

/** A site in order, and a way to spoil it. */
function spoilt(change: (site: Json) => void): string {
  const site: Json = {
    serial: "VN-1", ean: "871234567890123456",
    connection: { phases: 3, fuse_A: 25 },
    meter: { type: "p1", device: "/dev/ttyUSB0" },
    buses: { charger: { tcp: "192.0.2.1:502" } },
    devices: [
      { id: "charger", kind: "ev", profile: "alfen", bus: "charger", maximum_A: 16 },
      { id: "pump", kind: "heat_pump", nominal_W: 2500, contacts: { gpio: [1, 2] } },
    ],
  };
  change(site);
  return JSON.stringify(site);
}

const faultsOf = (text: string) => {
  const read = readSite(text);
  return read.ok ? [] : read.faults.map(({ path, problem }) => `${path}: ${problem}`);
};

describe("examples", () => {
  test.each(examples)("%s is in order, for the check and for the JSON Schema", (name) => {
    const text = readFileSync(folder + name, "utf8");
    expect(faultsOf(text)).toEqual([]);
    const validate = new Ajv({ strict: false }).compile(JSON.parse(siteJsonSchema()));
    expect(validate(JSON.parse(text)), JSON.stringify(validate.errors)).toBe(true);
  });

  test("the JSON Schema in the repo is the one that the check is made of (npm run schema)", () => {
    expect(readFileSync(`${folder}site.schema.json`, "utf8")).toBe(siteJsonSchema());
  });
});

describe("every fault is named by its path", () => {
  const cases: [string, (site: Json) => void, RegExp][] = [
    ["a negative limit", (s) => { s.limits = { failsafe_W: -1 }; }, /^limits\.failsafe_W: a limit is 0 W or more$/],
    ["a short EAN", (s) => { s.ean = "123"; }, /^ean: an EAN has 18 digits$/],
    ["an EAN with letters", (s) => { s.ean = "87123456789012345X"; }, /^ean: an EAN has 18 digits$/],
    ["a field nobody knows", (s) => { s.limit = {}; }, /^limit: /],
    ["a charger below 6 A", (s) => { s.devices[0].minimum_A = 5; }, /^devices\[0\]\.minimum_A: IEC 61851-1: not below 6 A$/],
    ["a maximum below the minimum", (s) => { s.devices[0].minimum_A = 10; s.devices[0].maximum_A = 8; }, /^devices\[0\]\.maximum_A: below minimum_A$/],
    ["a charger above the fuse", (s) => { s.devices[0].maximum_A = 32; }, /^devices\[0\]\.maximum_A: above the fuse of 25 A$/],
    ["a bus that is not there", (s) => { s.devices[0].bus = "nowhere"; }, /^devices\[0\]\.bus: no bus "nowhere" in buses$/],
    ["a profile that is not there", (s) => { s.devices[0].profile = "acme"; }, /^devices\[0\]\.profile: no profile "acme"$/],
    ["a profile of another kind", (s) => { s.devices[0].profile = "eastron_sdm630"; }, /^devices\[0\]\.profile: profile "eastron_sdm630" is for a meter$/],
    ["one id twice", (s) => { s.devices[1].id = "charger"; }, /^devices\[1\]\.id: "charger" is named twice$/],
    ["two contacts on one pin", (s) => { s.devices[1].contacts.gpio = [3, 3]; }, /^devices\[1\]\.contacts\.gpio: two contacts on one pin$/],
    ["a phase that the house has not", (s) => { s.connection.phases = 1; s.devices[0].phases = [2]; }, /^devices\[0\]\.phases: the connection has one phase$/],
    ["a meter on two roads", (s) => { s.meter.tcp = "h:1"; }, /^meter: give either device or tcp$/],
    ["a meter on none", (s) => { delete s.meter.device; }, /^meter: give either device or tcp$/],
    ["a broker without a key", (s) => { s.operator = { mqtt: { url: "mqtt://h" } }; }, /^operator\.keys: a broker without an operator's key/],
    ["a bad broker URL", (s) => { s.operator = { keys: [], mqtt: { url: "http://h" } }; }, /^operator\.mqtt\.url: mqtt:\/\/host/],
    ["a failsafe shorter than two hours", (s) => { s.limits = { failsafe_hours: 1 }; }, /^limits\.failsafe_hours: /],
    ["a tariff below what it counts", (s) => { s.limits = { tariff_W: 1000 }; }, /^limits\.tariff_W: the tariff counts at least 2,500 W$/],
    ["an input that limits nothing", (s) => { s.inputs = [{ id: "w4", pin: 4 }]; }, /^inputs\[0\]: give import_W or export_W/],
    ["a dim contact where § 14a is not on", (s) => { s.inputs = [{ id: "dim", pin: 4, scope: "controllable" }]; }, /^inputs\[0\]: give import_W or export_W/],
    ["a contact at the meter without watts, § 14a or not", (s) => { s.limits = { par14a: true }; s.inputs = [{ id: "dim", pin: 4 }]; }, /^inputs\[0\]: give import_W or export_W/],
    ["too many devices", (s) => { s.devices = Array.from({ length: 9 }, (_, i) => ({ ...s.devices[0], id: `c${i}` })); }, /^devices: /],
    ["a register of a profile of one's own", (s) => { s.profiles = [{ id: "own", maker: "M", document: "d", kind: "ev", unit: 1, read: { power: { table: "holding", address: 70_000, type: "u16" } }, write: [] }]; }, /^profiles\[0\]\.read\.power\.address: /],
  ];
  test.each(cases)("%s", (_name, change, words) => {
    expect(faultsOf(spoilt(() => {}))).toEqual([]);
    expect(faultsOf(spoilt(change)).filter((line) => words.test(line)), faultsOf(spoilt(change)).join("\n")).toHaveLength(1);
  });

  test("text that is no JSON", () => expect(faultsOf("{")[0]).toMatch(/not JSON/));
  test("several faults are all named", () => {
    expect(faultsOf(spoilt((s) => { s.devices[0].bus = "x"; s.devices[0].profile = "y"; })).length).toBe(2);
  });
});

test("a dim contact of § 14a needs no watts: the formula gives them", () => {
  const read = readSite(spoilt((s) => { s.limits = { par14a: true }; s.inputs = [{ id: "dim", pin: 4, scope: "controllable" }]; }));
  expect(read.ok && read.site.inputs).toEqual([{ id: "dim", importLimit: null, exportLimit: null, scope: "controllable" }]);
});

describe("zero and absent", () => {
  test("0 W stays 0 W, absent is none", () => {
    const zero = readSite(spoilt((s) => { s.limits = { owner_import_W: 0 }; s.connection.export_W = 0; }));
    expect(zero.ok && [zero.site.ownerImport, zero.site.connection.exportMax]).toEqual([0, 0]);
    const none = readSite(spoilt(() => {}));
    expect(none.ok && [none.site.ownerImport, none.site.connection.exportMax]).toEqual([null, null]);
  });
});
