/** A house's limits under virtual time, for the tests of this folder. */
import { limitsPersist, limitsRestore, limitsStart, limitsTick, type LimitsEvent, type LimitsInput, type LimitsState } from "../../src/limits/limits.js";
import type { Limit, Limits } from "../../src/limits/limit.js";
import type { Reading } from "../../src/reading/reading.js";
import type { ContactInput, Device, SgReadyHeatPump, Site } from "../../src/site.js";
import type { AcceptedToken, CapEvent } from "../../src/token/cap.js";

/** 2025-01-15 17:00:00 UTC. */
export const T0 = 1_736_960_400;

export const EV: Device = { kind: "ev", id: "ev", priority: 1, phases: [true, true, true], minimum: 6_000, maximum: 16_000, step: 1_000 };
export const BATTERY: Device = { kind: "battery", id: "bat", priority: 2, phases: [true, false, false], chargeMax: 5_000, dischargeMax: 4_000, step: 100 };
export const PUMP: SgReadyHeatPump = { kind: "heat_pump", id: "hp", control: "sg_ready", priority: 1, phases: [true, true, true], nominal: 3_000 };
export const INVERTER: Device = { kind: "inverter", id: "pv", priority: 3, phases: [true, true, true], rated: 6_000, safe: 0, step: 100 };

export function siteOf(over: Partial<Site> = {}): Site {
  return {
    serial: "VN-0001", ean: "871685900000000001", msr: "MSR1",
    connection: { phases: 3, delta: false, fuse: 25_000, importMax: 17_250, exportMax: 17_250 },
    failsafe: { importLimit: 4_200, exportLimit: null, duration: 2 * 3_600_000 },
    autonomousImport: null, tariffTarget: null, ownerImport: null, ownerExport: null, par14a: false, hasOperator: true,
    inputs: [], devices: [EV, BATTERY, PUMP, INVERTER], ...over,
  };
}

export const relay = (over: Partial<ContactInput> = {}): ContactInput => ({ id: "w4", importLimit: 4_200, exportLimit: null, scope: "net", ...over });

export function readingOf(over: Partial<Reading> = {}): Reading {
  return {
    source: "p1", at: 0, period: 1_000, net: 0, power: [0, 0, 0], current: [0, 0, 0], currentWhole: true,
    voltage: [230_000, 231_000, 232_000], imported: null, exported: null, quarterAverage: null, monthPeak: null, meterTime: null, ...over,
  };
}

export function capOf(over: Partial<CapEvent> = {}): CapEvent {
  return {
    id: "0000aaaa", start: T0, duration: 3_600, importLimit: 2_000, exportLimit: null, emergency: false, controllable: false, release: null, ...over,
  };
}

export const watts = (limit: Limit): number | null => (limit.kind === "none" ? null : limit.watts);

export class House {
  readonly site: Site;
  state: LimitsState;
  limits: Limits;
  /** True time; the house sees it unless told that the clock is lost. */
  utc: number;
  now = 0;
  clock = true;
  /** Null = no telegrams any more. */
  voltage: Reading["voltage"] | null = [230_000, 231_000, 232_000];
  contacts: readonly (boolean | null)[];
  events: LimitsEvent[] = [];
  #reading: Reading | null = null;
  #seq = 0;

  constructor(site: Site = siteOf(), utc: number = T0, stored: string | null = null) {
    this.site = site;
    this.utc = utc;
    this.contacts = site.inputs.map(() => false);
    this.state = limitsStart(site, limitsRestore(stored), 0);
    this.limits = limitsTick(site, this.state, this.#input([]), 0).limits;
  }

  token(events: readonly CapEvent[], over: Partial<AcceptedToken> = {}): AcceptedToken {
    this.#seq++;
    return {
      kid: "0101010101010101", role: "operator", aud: "all", seq: this.#seq, iat: this.utc, exp: this.utc + 900, events,
      clockTrusted: this.clock, channel: "mqtt", hash: "00112233445566ff", ...over,
    };
  }

  #input(tokens: readonly AcceptedToken[]): LimitsInput {
    if (this.voltage !== null) this.#reading = readingOf({ at: this.now, voltage: this.voltage });
    return { utc: this.clock ? this.utc : null, tokens, contacts: this.contacts, reading: this.#reading };
  }

  /** One tick now. */
  tick(...tokens: AcceptedToken[]): Limits {
    const outcome = limitsTick(this.site, this.state, this.#input(tokens), this.now);
    this.state = outcome.state;
    this.limits = outcome.limits;
    this.events.push(...outcome.events);
    return this.limits;
  }

  /** Seconds pass, a tick in each. */
  run(seconds: number): Limits {
    for (let i = 0; i < seconds; i++) {
      this.pass(1);
      this.tick();
    }
    return this.limits;
  }

  /** The same with heartbeats that repeat `events` every 5 minutes. */
  runWithLink(seconds: number, events: readonly CapEvent[] = []): Limits {
    for (let i = 0; i < seconds; i++) {
      this.pass(1);
      if (i % 300 === 0) this.tick(this.token(events));
      else this.tick();
    }
    return this.limits;
  }

  pass(seconds: number): void {
    this.utc += seconds;
    this.now += seconds * 1_000;
  }

  /** Power off for some seconds; only the stored text survives. */
  reboot(off: number, stored: string | null = limitsPersist(this.state)): Limits {
    this.utc += off;
    this.now = 0;
    this.#reading = null;
    this.state = limitsStart(this.site, limitsRestore(stored), 0);
    return this.tick();
  }

  kinds(): string[] {
    return this.events.map((event) => event.kind);
  }
}
