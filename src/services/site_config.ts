/**
 * site.json → what the controller needs, or every fault with its path. The schema is the single
 * source: boards/host/site.schema.json is generated from it (`npm run schema`), and the same check
 * runs on the chip before a configuration is taken into use.
 *
 * Units end the names: _A amperes, _W watts, _hours. Limits that are absent or null are none; 0 is 0.
 */
import * as v from "valibot";
import {
  DEVICES_MAX, EV_MINIMUM_MA, FAILSAFE_DURATION_DEFAULT_MS, FAILSAFE_IMPORT_DEFAULT_W, TARIFF_FLOOR_W,
} from "../constants.js";
import type { Profile } from "../actuation/profile.js";
import { profiles as builtIn } from "../actuation/profiles/index.js";
import type { ContactInput, Device, Site } from "../site.js";

const HOUR_MS = 3_600_000;
const CONNECTION_W_MAX = 55_200; // 3 x 80 A at 230 V, the largest small-consumer connection

const name = v.pipe(v.string(), v.minLength(1), v.maxLength(24),
  v.check((text) => [...text].every((c) => (c >= "a" && c <= "z") || (c >= "0" && c <= "9") || c === "_" || c === "-"), "only a-z, 0-9, _ and -"));
const watts = v.pipe(v.number(), v.integer(), v.minValue(0, "a limit is 0 W or more"), v.maxValue(CONNECTION_W_MAX));
const optionalWatts = v.nullish(watts, null);
const port = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(65535));
const digits = (text: string) => [...text].every((c) => c >= "0" && c <= "9");
const isHex = (text: string) => [...text].every((c) => (c >= "0" && c <= "9") || (c >= "a" && c <= "f"));
const hex = (bytes: number) => v.pipe(v.string(), v.length(bytes * 2), v.check(isHex, "lower-case hex"));
/** host:port, also [::1]:502. */
const hostPort = v.pipe(v.string(), v.check((text) => parseHostPort(text) !== null, "host:port"));
const pin = v.union([v.pipe(v.number(), v.integer(), v.minValue(0)), v.pipe(v.string(), v.minLength(1))]);

const meterSchema = v.variant("type", [
  v.strictObject({
    type: v.literal("p1"),
    /** A serial device, or: */
    device: v.optional(v.string()),
    tcp: v.optional(hostPort),
    line: v.optional(v.picklist(["auto", "115200 8N1", "9600 7E1", "115200 7E1"]), "auto"),
    /** DSMR 2.2 and 3.0 have no CRC: "auto" accepts that once it is sure of the meter, and not where a CRC ever came. */
    crc: v.optional(v.picklist(["auto", "required", "none"]), "auto"),
  }),
  v.strictObject({
    type: v.literal("modbus"),
    profile: name,
    bus: name,
    unit: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(247))),
  }),
]);

const keySchema = v.strictObject({
  kid: hex(8),
  x: hex(32),
  y: hex(32),
  role: v.picklist(["operator", "installer", "owner", "maker"]),
  /** Audiences this key may speak for; absent = any that reaches this house. */
  audiences: v.optional(v.pipe(v.array(v.string()), v.maxLength(8))),
  not_before: v.optional(v.pipe(v.number(), v.integer())),
  not_after: v.optional(v.pipe(v.number(), v.integer())),
});

const busSchema = v.union([
  v.strictObject({ tcp: hostPort }),
  v.strictObject({
    device: v.string(),
    baud: v.optional(v.picklist([1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200]), 9600),
    parity: v.optional(v.picklist(["none", "even", "odd"]), "none"),
    stop_bits: v.optional(v.picklist([1, 2]), 1),
  }),
]);

const contactsSchema = v.union([
  v.strictObject({ gpio: v.tuple([pin, pin]), active_low: v.optional(v.boolean(), false) }),
  v.strictObject({
    bus: name, profile: name, unit: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(247))),
    coils: v.tuple([v.pipe(v.number(), v.integer(), v.minValue(0)), v.pipe(v.number(), v.integer(), v.minValue(0))]),
  }),
]);

const deviceBase = {
  id: name,
  priority: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(99)), 50),
  phases: v.optional(v.pipe(v.array(v.picklist([1, 2, 3])), v.minLength(1), v.maxLength(3),
    v.check((list) => new Set(list).size === list.length, "a phase is named twice"))),
};
const onBus = {
  profile: name,
  bus: name,
  unit: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(255))),
};
const step = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(5_000));

const deviceSchema = v.variant("kind", [
  v.strictObject({
    ...deviceBase, ...onBus, kind: v.literal("ev"),
    minimum_A: v.optional(v.pipe(v.number(), v.minValue(EV_MINIMUM_MA / 1000, "IEC 61851-1: not below 6 A"), v.maxValue(80)), 6),
    maximum_A: v.pipe(v.number(), v.minValue(6), v.maxValue(80)),
    step_A: v.optional(v.pipe(v.number(), v.minValue(0.1), v.maxValue(2)), 1),
  }),
  v.strictObject({ ...deviceBase, ...onBus, kind: v.literal("battery"), charge_W: watts, discharge_W: watts, step_W: v.optional(step, 50) }),
  v.strictObject({ ...deviceBase, ...onBus, kind: v.literal("inverter"), rated_W: watts, safe_W: v.optional(watts), step_W: v.optional(step, 50) }),
  v.strictObject({
    ...deviceBase, kind: v.literal("heat_pump"), nominal_W: watts,
    contacts: contactsSchema,
  }),
  v.strictObject({
    ...deviceBase, ...onBus, kind: v.literal("heat_pump_power"), minimum_W: watts, maximum_W: watts,
    step_W: v.optional(step, 100), safe_W: v.optional(watts),
  }),
]);

const registerEntries = {
  table: v.picklist(["holding", "input", "coil"]),
  address: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(65535)),
  type: v.picklist(["u16", "i16", "u32", "i32", "u64", "f32", "f64", "string"]),
  length: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(32))),
  wordOrder: v.optional(v.picklist(["big", "little"])),
  scale: v.optional(v.pipe(v.number(), v.integer(), v.minValue(-9), v.maxValue(9))),
  scaleRegister: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0))),
  model: v.optional(v.union([
    v.pipe(v.number(), v.integer(), v.minValue(1)), v.pipe(v.array(v.pipe(v.number(), v.integer(), v.minValue(1))), v.minLength(1), v.maxLength(8)),
  ])),
  absent: v.optional(v.pipe(v.array(v.number()), v.maxLength(4))),
  negate: v.optional(v.boolean()),
  trueWhen: v.optional(v.pipe(v.array(v.number()), v.maxLength(8))),
  mask: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(0x7fff_ffff))),
  trueWhenText: v.optional(v.pipe(v.array(v.pipe(v.string(), v.minLength(1), v.maxLength(16))), v.maxLength(8))),
};
const register = v.strictObject(registerEntries);
const registerWrite = v.strictObject({
  ...registerEntries,
  constant: v.optional(v.pipe(v.number(), v.integer())),
  percent: v.optional(v.boolean()),
  percentOf: v.optional(register),
  divide: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(3))),
  when: v.optional(v.picklist(["zero", "not_zero"])),
});
const quantities = {
  current_l1: v.optional(register), current_l2: v.optional(register), current_l3: v.optional(register),
  voltage_l1: v.optional(register), voltage_l2: v.optional(register), voltage_l3: v.optional(register),
  power: v.optional(register), power_l1: v.optional(register), power_l2: v.optional(register), power_l3: v.optional(register),
  state_of_charge: v.optional(register), wants: v.optional(register), imported: v.optional(register), exported: v.optional(register),
};
const profileSchema = v.strictObject({
  id: name,
  maker: v.string(),
  models: v.optional(v.string(), ""),
  document: v.pipe(v.string(), v.minLength(1, "name the maker's register document")),
  kind: v.picklist(["ev", "battery", "inverter", "heat_pump", "meter", "relay"]),
  unit: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(255)),
  read: v.strictObject(quantities),
  readGap: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(64))),
  readMax: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(125))),
  write: v.pipe(v.array(registerWrite), v.maxLength(8)),
  writeFunction: v.optional(v.picklist([6, 16])),
  readBack: v.nullish(register),
  setpoint: v.optional(v.picklist(["A", "W", "state"])),
  minimum: v.optional(v.number()),
  maximum: v.optional(v.number()),
  step: v.optional(v.number()),
  watchdog: v.optional(v.strictObject({
    register: v.nullable(register), seconds: v.pipe(v.number(), v.integer(), v.minValue(1)),
    fallback: v.nullable(registerWrite), to: v.union([v.number(), v.literal("safe")]),
  })),
  setup: v.optional(v.string()),
});

export const siteSchema = v.strictObject({
  $schema: v.optional(v.string()),
  serial: v.pipe(v.string(), v.minLength(1), v.maxLength(32)),
  ean: v.nullish(v.pipe(v.string(), v.length(18, "an EAN has 18 digits"), v.check(digits, "an EAN has 18 digits")), null),
  msr: v.nullish(v.pipe(v.string(), v.minLength(1), v.maxLength(48)), null),
  connection: v.strictObject({
    phases: v.picklist([1, 3]),
    fuse_A: v.pipe(v.number(), v.integer(), v.minValue(6), v.maxValue(80)),
    import_W: optionalWatts,
    export_W: optionalWatts,
    /** 3 x 230 V delta net: phase voltages do not witness the feeder. */
    without_neutral: v.optional(v.boolean(), false),
  }),
  meter: meterSchema,
  limits: v.optional(v.strictObject({
    failsafe_W: v.optional(watts, FAILSAFE_IMPORT_DEFAULT_W),
    failsafe_export_W: optionalWatts,
    failsafe_hours: v.optional(v.pipe(v.number(), v.minValue(2), v.maxValue(24)), FAILSAFE_DURATION_DEFAULT_MS / HOUR_MS),
    autonomous_W: optionalWatts,
    owner_import_W: optionalWatts,
    owner_export_W: optionalWatts,
    tariff_W: v.nullish(v.pipe(watts, v.minValue(TARIFF_FLOOR_W, "the tariff counts at least 2,500 W")), null),
    par14a: v.optional(v.boolean(), false),
  }), {}),
  operator: v.optional(v.strictObject({
    keys: v.optional(v.pipe(v.array(keySchema), v.maxLength(8)), []),
    mqtt: v.nullish(v.strictObject({
      url: v.pipe(v.string(), v.check((url) => parseMqttUrl(url) !== null, "mqtt://host[:port] or mqtts://host[:port]")),
      username: v.optional(v.string()),
      password: v.optional(v.string()),
      /** PEM file of the authority; absent = the host's own list. */
      ca: v.optional(v.string()),
    }), null),
  }), {}),
  inputs: v.optional(v.pipe(v.array(v.strictObject({
    id: name, pin, active_low: v.optional(v.boolean(), false),
    import_W: optionalWatts, export_W: optionalWatts,
    scope: v.optional(v.picklist(["net", "controllable"]), "net"),
  })), v.maxLength(8)), []),
  buses: v.optional(v.record(name, busSchema), {}),
  devices: v.optional(v.pipe(v.array(deviceSchema), v.maxLength(DEVICES_MAX)), []),
  profiles: v.optional(v.pipe(v.array(profileSchema), v.maxLength(DEVICES_MAX)), []),
  http: v.nullish(v.strictObject({ port, address: v.optional(v.string(), "127.0.0.1"), names: v.optional(v.array(v.string()), []) }), null),
  p1_relay: v.nullish(v.strictObject({ port, address: v.optional(v.string(), "127.0.0.1") }), null),
  /** Folder of the store and the evidence log; the host's choice where absent. */
  data: v.optional(v.string()),
});

export type SiteFile = v.InferOutput<typeof siteSchema>;
export type DeviceFile = SiteFile["devices"][number];
export type BusFile = SiteFile["buses"][string];
export interface ConfigFault { readonly path: string; readonly problem: string }
export type SiteResult =
  | { readonly ok: true; readonly file: SiteFile; readonly site: Site; readonly profileOf: ReadonlyMap<string, Profile> }
  | { readonly ok: false; readonly faults: readonly ConfigFault[] };

/** `text` is site.json. Every fault is named by its path, `devices[1].maximum_A`. */
export function readSite(text: string): SiteResult {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    return { ok: false, faults: [{ path: "", problem: `not JSON: ${String(error instanceof Error ? error.message : error)}` }] };
  }
  const parsed = v.safeParse(siteSchema, json);
  if (!parsed.success) return { ok: false, faults: parsed.issues.flatMap((issue) => issueFaults(issue)) };
  const file = parsed.output;
  const profileOf = new Map<string, Profile>(builtIn.map((profile) => [profile.id, profile]));
  for (const own of file.profiles) profileOf.set(own.id, own as Profile); // exactOptionalPropertyTypes: the same shape
  const faults = crossFaults(file, profileOf);
  return faults.length > 0 ? { ok: false, faults } : { ok: true, file, site: toSite(file), profileOf };
}

type Issue = v.BaseIssue<unknown>;
function issueFaults(issue: Issue, prefix = ""): ConfigFault[] {
  const path = prefix + pathOf(issue, prefix !== "");
  // A union's own words ("expected Object") help nobody: name what the nearest alternative lacks.
  if (issue.type === "union" && issue.issues && issue.issues.length > 0) {
    return issue.issues.map((inner) => ({ path: path + pathOf(inner, path !== ""), problem: inner.message }));
  }
  return [{ path, problem: issue.message }];
}
function pathOf(issue: Issue, nested: boolean): string {
  let path = "";
  for (const item of issue.path ?? []) {
    const key: unknown = item.key;
    path += typeof key === "number" ? `[${key}]` : (path === "" && !nested ? "" : ".") + String(key);
  }
  return path;
}

/** Rules between fields, which a schema cannot say. */
function crossFaults(file: SiteFile, profileOf: ReadonlyMap<string, Profile>): ConfigFault[] {
  const faults: ConfigFault[] = [];
  const add = (path: string, problem: string) => faults.push({ path, problem });
  const bus = (path: string, id: string) => {
    if (!Object.hasOwn(file.buses, id)) add(path, `no bus "${id}" in buses`);
  };
  const profile = (path: string, id: string, kinds: readonly string[]) => {
    const found = profileOf.get(id);
    if (!found) add(path, `no profile "${id}"`);
    else if (!kinds.includes(found.kind)) add(path, `profile "${id}" is for a ${found.kind}`);
  };
  if (file.meter.type === "p1") {
    if ((file.meter.device === undefined) === (file.meter.tcp === undefined)) add("meter", "give either device or tcp");
  } else {
    bus("meter.bus", file.meter.bus);
    profile("meter.profile", file.meter.profile, ["meter"]);
  }
  if (file.operator.keys?.length === 0 && file.operator.mqtt) add("operator.keys", "a broker without an operator's key: no cap can be accepted");
  (file.operator.keys ?? []).forEach((key, i, all) => {
    if (all.findIndex((other) => other.kid === key.kid) !== i) add(`operator.keys[${i}].kid`, "named twice");
  });
  const ids = new Set<string>();
  file.devices.forEach((device, i) => {
    const at = `devices[${i}]`;
    if (ids.has(device.id)) add(`${at}.id`, `"${device.id}" is named twice`);
    ids.add(device.id);
    if (file.connection.phases === 1 && device.phases?.some((phase) => phase !== 1)) add(`${at}.phases`, "the connection has one phase");
    if (device.kind === "heat_pump") {
      if ("bus" in device.contacts) {
        bus(`${at}.contacts.bus`, device.contacts.bus);
        profile(`${at}.contacts.profile`, device.contacts.profile, ["relay"]);
        if (device.contacts.coils[0] === device.contacts.coils[1]) add(`${at}.contacts.coils`, "two contacts on one coil");
      } else if (device.contacts.gpio[0] === device.contacts.gpio[1]) add(`${at}.contacts.gpio`, "two contacts on one pin");
      return;
    }
    bus(`${at}.bus`, device.bus);
    // A hybrid inverter is a battery to one and an inverter to another: both are written in watts.
    const kinds = device.kind === "ev" ? ["ev"] : device.kind === "heat_pump_power" ? ["heat_pump"] : ["battery", "inverter"];
    profile(`${at}.profile`, device.profile, kinds);
    if (device.kind === "ev" && device.maximum_A < device.minimum_A) add(`${at}.maximum_A`, "below minimum_A");
    if (device.kind === "ev" && device.maximum_A > file.connection.fuse_A) add(`${at}.maximum_A`, `above the fuse of ${file.connection.fuse_A} A`);
    if (device.kind === "heat_pump_power" && device.maximum_W < device.minimum_W) add(`${at}.maximum_W`, "below minimum_W");
  });
  file.inputs.forEach((input, i, all) => {
    if (all.findIndex((other) => other.id === input.id) !== i) add(`inputs[${i}].id`, `"${input.id}" is named twice`);
    // A dim contact of § 14a needs no watts: they come from the formula (limits/target.ts).
    const dims = (file.limits.par14a ?? false) && input.scope === "controllable";
    if (input.import_W === null && input.export_W === null && !dims) add(`inputs[${i}]`, "give import_W or export_W: an input that limits nothing does nothing");
  });
  return faults;
}

const milli = (value: number) => Math.round(value * 1000);

function toSite(file: SiteFile): Site {
  const limits = file.limits;
  return {
    serial: file.serial,
    ean: file.ean,
    msr: file.msr,
    connection: {
      phases: file.connection.phases,
      delta: file.connection.without_neutral,
      fuse: milli(file.connection.fuse_A),
      importMax: file.connection.import_W,
      exportMax: file.connection.export_W,
    },
    failsafe: {
      importLimit: limits.failsafe_W ?? FAILSAFE_IMPORT_DEFAULT_W,
      exportLimit: limits.failsafe_export_W ?? null,
      duration: Math.round((limits.failsafe_hours ?? FAILSAFE_DURATION_DEFAULT_MS / HOUR_MS) * HOUR_MS),
    },
    autonomousImport: limits.autonomous_W ?? null,
    tariffTarget: limits.tariff_W ?? null,
    ownerImport: limits.owner_import_W ?? null,
    ownerExport: limits.owner_export_W ?? null,
    par14a: limits.par14a ?? false,
    hasOperator: (file.operator.keys ?? []).some((key) => key.role === "operator"),
    inputs: file.inputs.map((input): ContactInput => ({ id: input.id, importLimit: input.import_W, exportLimit: input.export_W, scope: input.scope })),
    devices: file.devices.map((device) => toDevice(device, file.connection.phases)),
  };
}

function toDevice(device: DeviceFile, connectionPhases: 1 | 3): Device {
  const listed = device.phases ?? (connectionPhases === 1 ? [1] : [1, 2, 3]);
  const base = {
    id: device.id,
    priority: device.priority,
    phases: [listed.includes(1), listed.includes(2), listed.includes(3)] as const,
  };
  switch (device.kind) {
    case "ev":
      return { ...base, kind: "ev", minimum: milli(device.minimum_A), maximum: milli(device.maximum_A), step: milli(device.step_A) };
    case "battery":
      return { ...base, kind: "battery", chargeMax: device.charge_W, dischargeMax: device.discharge_W, step: device.step_W };
    case "inverter":
      return { ...base, kind: "inverter", rated: device.rated_W, safe: device.safe_W ?? device.rated_W, step: device.step_W };
    case "heat_pump":
      return { ...base, kind: "heat_pump", control: "sg_ready", nominal: device.nominal_W };
    case "heat_pump_power":
      return { ...base, kind: "heat_pump", control: "power", minimum: device.minimum_W, maximum: device.maximum_W, step: device.step_W, safe: device.safe_W ?? device.minimum_W };
  }
}

/** "host:port" or "[ipv6]:port". */
export function parseHostPort(text: string): { host: string; port: number } | null {
  const colon = text.lastIndexOf(":");
  if (colon < 1) return null;
  let host = text.slice(0, colon);
  if (host.startsWith("[") && host.endsWith("]")) host = host.slice(1, -1);
  else if (host.includes(":")) return null;
  const tail = text.slice(colon + 1);
  const number = Number(tail);
  if (host === "" || tail === "" || !digits(tail) || number > 65535) return null;
  return { host, port: number };
}

/** Default ports 1883 and 8883. */
export function parseMqttUrl(url: string): { host: string; port: number; tls: boolean } | null {
  const tls = url.startsWith("mqtts://");
  if (!tls && !url.startsWith("mqtt://")) return null;
  const rest = url.slice(tls ? 8 : 7);
  const end = rest.endsWith("/") ? rest.slice(0, -1) : rest;
  const withPort = parseHostPort(end);
  if (withPort) return { ...withPort, tls };
  if (end === "" || end.includes(":") || end.includes("/") || end.includes("@")) return null;
  return { host: end, port: tls ? 8883 : 1883, tls };
}
