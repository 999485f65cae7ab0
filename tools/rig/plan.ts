/**
 * One seed → a house, what its people and its grid operator do, and what breaks. Plain data: the same
 * seed gives the same plan, and `vangnet shrink` takes faults out of it one by one.
 */
import { createECDH, createHash } from "node:crypto";
import { Random, seedOf } from "../../hal/sim/random.js";
import { P1_VERSIONS, type P1Version } from "../emulators/p1_telegram.js";
import { keyFromJwk, type SigningKey } from "../operator/encode.js";
import { publicEntry } from "../operator/files.js";

/* eslint-disable-next-line @typescript-eslint/no-explicit-any -- site.json as its owner writes it */
export type SiteJson = Record<string, any>;

export const EAN = "871685900000000006";
/** The world begins on 15 January 2026, 06:00 UTC. */
export const EPOCH = 1_768_456_800;
/** Nothing breaks in the last half hour: whatever happened before, the house must be whole again. */
export const QUIET_S = 1_800;

/** What breaks, for how long. `n` means what the kind says. */
export const FAULTS = {
  p1_flip: "n of 1,000 bytes on the P1 line have a bit flipped",
  p1_drop: "n of 1,000 bytes on the P1 line are lost",
  p1_double: "n of 1,000 bytes on the P1 line come twice",
  p1_glue: "n telegrams are held back and come together",
  p1_babble: "noise between the telegrams, n bytes at a time",
  p1_silent: "no byte on the P1 line",
  p1_unplug: "the serial device is gone",
  device_silent: "takes requests, answers none",
  device_exception: "answers with exception n",
  device_slow: "answers n ms late",
  device_wrong_unit: "answers in another unit's name",
  device_torn: "half an answer",
  device_deaf: "acknowledges writes, forgets them",
  device_gone: "the network to it is down",
  device_reset: "its connections are reset, once",
  relay_stuck: "a contact does not move",
  broker_stop: "the broker is down, and has forgotten all when it is back",
  broker_link: "the network to the broker is down",
  broker_freeze: "a half-open connection",
  broker_repeat: "every message comes n times",
  broker_drop: "messages do not come",
  token_replay: "an old token again, n a minute",
  token_forged: "a token of a stranger's key or with bytes changed, n a minute",
  token_late: "the operator's words come n s late",
  operator_mute: "the operator says nothing",
  clock_meter: "the meter's clock is n s off",
  clock_network: "network time is n s off",
  clock_none: "no network time",
  power_cut: "no power for the time of the fault",
  power_write: "the power goes in the n-th write from now",
  flash_torn: "a power cut tears what is being written",
  flash_broken: "every access to the flash fails",
  flash_full: "no room in the flash",
  files_broken: "every access to the evidence's files fails",
  volts: "n V more on every phase",
  load: "n W more on phase `target`",
} as const;
export type FaultKind = keyof typeof FAULTS;

export interface Fault {
  readonly kind: FaultKind;
  /** Seconds since the world began. */
  readonly at: number;
  /** Seconds. */
  readonly for: number;
  /** Device, or phase; "" where there is one only. */
  readonly target: string;
  readonly n: number;
}

export interface Thing {
  readonly id: string;
  readonly kind: "ev" | "battery" | "inverter" | "pump";
  readonly profile: string | null;
  readonly phases: readonly number[];
  /** W of battery, inverter and pump; Wh the car needs. */
  readonly size: number;
}

/** What the operator says or the people do: no faults. */
export type Deed =
  | { readonly kind: "cap"; readonly at: number; readonly id: string; readonly start: number; readonly for: number; readonly watts: number | null; readonly exportWatts: number | null; readonly emergency: boolean; readonly via: "mqtt" | "p1" }
  | { readonly kind: "cancel"; readonly at: number; readonly id: string }
  | { readonly kind: "car"; readonly at: number; readonly id: string; readonly need: number };

export interface Plan {
  readonly seed: number;
  readonly seconds: number;
  readonly version: P1Version;
  readonly phases: 1 | 3;
  readonly site: SiteJson;
  readonly things: readonly Thing[];
  readonly gridOhms: number;
  readonly deeds: readonly Deed[];
  readonly faults: readonly Fault[];
}

/** A key that everybody can make: for the rig alone. */
export function rigKey(name: string): SigningKey {
  let key = keys.get(name);
  if (key === undefined) keys.set(name, (key = makeKey(name)));
  return key;
}
const keys = new Map<string, SigningKey>();

function makeKey(name: string): SigningKey {
  const curve = createECDH("prime256v1");
  curve.setPrivateKey(createHash("sha256").update(`vangnet rig ${name}`).digest());
  const point = curve.getPublicKey();
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64url");
  return keyFromJwk({ kty: "EC", crv: "P-256", x: text(point.subarray(1, 33)), y: text(point.subarray(33)), d: text(curve.getPrivateKey()) }, "operator");
}

export interface PlanOptions {
  /** Hours of the house. Default: by the seed, 2 to 6. */
  readonly hours?: number;
  /** Faults an hour, on average. Default 10. */
  readonly rate?: number;
}

export function makePlan(seed: number, options: PlanOptions = {}): Plan {
  const luck = new Dice(seedOf(seed, "plan"));
  const seconds = Math.round((options.hours ?? 2 + luck.below(5)) * 3_600);
  const phases = luck.chance(250) ? 1 : 3;
  const version = P1_VERSIONS[luck.weighted([1, 1, 4, 8, 2])]!;
  const things = makeThings(luck, phases);
  const faults = makeFaults(new Dice(seedOf(seed, "faults")), seconds, things, options.rate ?? 10, phases);
  return {
    seed, seconds, version, phases, things, faults,
    site: makeSite(luck, things, phases, version), gridOhms: luck.pick([0.1, 0.25, 0.4]),
    deeds: makeDeeds(new Dice(seedOf(seed, "deeds")), seconds, things),
  };
}

/** Random with words. */
export class Dice extends Random {
  pick<T>(list: readonly T[]): T { return list[this.below(list.length)]!; }
  between(low: number, high: number): number { return low + this.below(high - low + 1); }
  weighted(weights: readonly number[]): number {
    let left = this.below(weights.reduce((sum, one) => sum + one, 0));
    return weights.findIndex((weight) => (left -= weight) < 0);
  }
}

function makeThings(luck: Dice, phases: 1 | 3): Thing[] {
  const some = (): number[] => (phases === 1 ? [1] : luck.chance(500) ? [1, 2, 3] : [luck.between(1, 3)]);
  const things: Thing[] = [];
  const evs = luck.weighted([1, 5, 2]);
  for (let i = 0; i < evs; i++) things.push({ id: `car${i}`, kind: "ev", profile: luck.pick(["alfen", "go_e", "keba_p30", "abb_terra_ac", "phoenix_charx"]), phases: some(), size: luck.between(5, 60) * 1000 });
  if (luck.chance(600)) {
    const profile = luck.pick(["victron_ess", "sunspec_battery"]);
    things.push({ id: "battery", kind: "battery", profile, phases: profile === "victron_ess" ? [luck.between(1, phases)] : some(), size: luck.between(2, 5) * 1000 });
  }
  if (luck.chance(500)) things.push({ id: "roof", kind: "inverter", profile: luck.pick(["sunspec_inverter", "sunspec_inverter_700"]), phases: some(), size: luck.between(2, phases === 1 ? 4 : 9) * 1000 });
  if (luck.chance(700)) things.push({ id: "pump", kind: "pump", profile: luck.chance(300) ? "waveshare_relay" : null, phases: some(), size: luck.between(1, 3) * 1000 });
  return things;
}

function makeSite(luck: Dice, things: readonly Thing[], phases: 1 | 3, version: P1Version): SiteJson {
  const fuse = luck.pick(phases === 1 ? [25, 35, 40] : [25, 25, 35]);
  const buses: SiteJson = {};
  for (const { id, profile } of things) if (profile !== null) buses[id] = { tcp: `${id}:502` };
  return {
    serial: `VN-RIG-${luck.below(1_000_000)}`, ean: EAN,
    connection: { phases, fuse_A: fuse, ...(luck.chance(300) ? { import_W: luck.between(5, 12) * 1000 } : {}) },
    meter: { type: "p1", device: "/dev/p1", ...(version === "2.2" || version === "3.0" ? { line: "9600 7E1" } : luck.chance(500) ? { line: "115200 8N1" } : {}) },
    limits: {
      failsafe_W: luck.pick([1_500, 4_200, 4_200, 6_000]),
      ...(luck.chance(200) ? { autonomous_W: 5_000 } : {}), ...(luck.chance(150) ? { owner_import_W: 8_000 } : {}), ...(luck.chance(150) ? { tariff_W: 4_000 } : {}),
    },
    operator: { keys: [publicEntry(rigKey("operator"))], mqtt: { url: "mqtt://broker:1883" } },
    buses,
    ...(luck.chance(300) ? { inputs: [{ id: "ripple", pin: "ripple", import_W: luck.pick([0, 3_000]) }] } : {}),
    devices: things.map((thing, i) => deviceJson(thing, luck, i)),
  };
}

function deviceJson({ id, kind, profile, phases, size }: Thing, luck: Dice, i: number): SiteJson {
  const base = { id, priority: luck.pick([1, 2, 2, 3, 4 + i]), phases };
  const bus = { profile, bus: id };
  if (kind === "ev") return { ...base, ...bus, kind: "ev", maximum_A: luck.pick([16, 16, 20, 25]) };
  if (kind === "battery") return { ...base, ...bus, kind: "battery", charge_W: size, discharge_W: size };
  if (kind === "inverter") return { ...base, ...bus, kind: "inverter", rated_W: size };
  const contacts = profile === null ? { gpio: [`${id}_1`, `${id}_2`] } : { bus: id, profile, coils: [0, 1] };
  return { ...base, kind: "heat_pump", nominal_W: size, contacts };
}

function makeDeeds(luck: Dice, seconds: number, things: readonly Thing[]): Deed[] {
  const deeds: Deed[] = [];
  let n = 0;
  for (let at = luck.between(60, 1_200); at < seconds - QUIET_S; at += luck.between(600, 7_200)) {
    const id = (0xca000000 + n++).toString(16);
    const start = at + luck.pick([0, 0, 0, 600, 3_600]);
    const watts = luck.pick([0, 1_000, 2_000, 3_000, 4_200, 6_000, 9_000, null]);
    deeds.push({
      kind: "cap", at, id, start, for: luck.pick([120, 600, 1_800, 7_200]), watts,
      exportWatts: watts === null || luck.chance(200) ? luck.pick([0, 1_000, 3_000]) : null, emergency: luck.chance(200), via: luck.chance(150) ? "p1" : "mqtt",
    });
    if (luck.chance(200)) deeds.push({ kind: "cancel", at: start + luck.between(30, 900), id });
  }
  for (const thing of things) {
    if (thing.kind !== "ev") continue;
    for (let at = luck.between(3_600, 20_000); at < seconds; at += luck.between(7_200, 40_000)) {
      deeds.push({ kind: "car", at, id: thing.id, need: luck.chance(300) ? 0 : luck.between(2, 50) * 1000 });
    }
  }
  return deeds.sort((a, b) => a.at - b.at);
}

const KINDS = Object.keys(FAULTS) as FaultKind[];

function makeFaults(luck: Dice, seconds: number, things: readonly Thing[], rate: number, phases: number): Fault[] {
  const faults: Fault[] = [];
  const count = Math.round((rate * (seconds - QUIET_S)) / 3_600);
  for (let i = 0; i < count; i++) {
    const kind = luck.pick(KINDS);
    const at = luck.between(30, Math.max(31, seconds - QUIET_S - 60));
    const long = Math.min(seconds - QUIET_S - at, luck.pick([3, 20, 60, 60, 300, 300, 1_200, 3_600]));
    const onBus = things.filter(({ profile }) => profile !== null);
    const relays = things.filter((thing) => thing.kind === "pump" && thing.profile === null);
    let target = "";
    if (kind.startsWith("device_")) {
      if (onBus.length === 0) continue;
      target = luck.pick(onBus).id;
    } else if (kind === "relay_stuck") {
      if (relays.length === 0) continue;
      target = `${luck.pick(relays).id}_${luck.between(1, 2)}`;
    } else if (kind === "load") target = String(luck.between(1, phases));
    faults.push({ kind, at, for: Math.max(1, long), target, n: amount(kind, luck) });
  }
  return faults.sort((a, b) => a.at - b.at);
}

function amount(kind: FaultKind, luck: Dice): number {
  switch (kind) {
    case "p1_flip": case "p1_drop": case "p1_double": return luck.pick([1, 1, 5, 50]);
    case "p1_glue": return luck.between(2, 5);
    case "p1_babble": return luck.pick([1, 20, 400]);
    case "device_exception": return luck.pick([1, 2, 3, 4, 6, 11]);
    case "device_slow": return luck.pick([100, 500, 900, 1_500, 4_000]);
    case "broker_repeat": return luck.between(2, 3);
    case "token_replay": case "token_forged": return luck.pick([1, 6, 60]);
    case "token_late": return luck.pick([10, 120, 600]);
    case "clock_meter": case "clock_network": return luck.pick([-86_400 * 3, -7_200, -3_600, -400, 400, 3_600, 7_200, 86_400 * 3]);
    case "power_write": return luck.between(1, 40);
    case "flash_full": return luck.between(0, 4_000);
    case "volts": return luck.pick([-40, -30, -15, 15, 22, 30]);
    case "load": return luck.pick([1_000, 3_000, 6_000]);
    default: return 0;
  }
}
