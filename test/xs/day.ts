/**
 * Recordings made with the house of test/house.ts in closed loop with the controller on Node: six
 * devices and the weather of a hard day pressed into an hour. Played again on XS they must give the
 * same bytes.
 */
import { start, tick, type Inputs, type Outputs, type State } from "../../src/controller.js";
import type { Reading } from "../../src/reading/reading.js";
import { Recorder } from "../../src/services/recording.js";
import type { Site } from "../../src/site.js";
import type { AcceptedToken, CapEvent } from "../../src/token/cap.js";
import { battery, ev, House, inverter, powerPump, sgPump, testSite, type HouseOptions } from "../house.js";

/** 2026-01-15 16:00:00 UTC. */
export const DAY_UTC = 1_768_492_800;

export const SIX: Site = testSite([
  sgPump("pump", { priority: 1 }), ev("car", { priority: 2 }), ev("visitor", { priority: 2, phases: [false, true, false] }),
  powerPump("boiler", { priority: 3 }), battery("battery", { priority: 4 }), inverter("roof", { priority: 5 }),
], {
  ean: "871685900000000006", autonomousImport: 8_000, ownerExport: 6_000,
  inputs: [{ id: "ripple", importLimit: 5_000, exportLimit: 3_000, scope: "net" }],
});

export interface DayOptions {
  readonly site?: Site;
  readonly seconds: number;
  readonly house?: Partial<HouseOptions>;
  readonly tokensAt?: (second: number) => readonly AcceptedToken[];
  readonly contactsAt?: (second: number) => readonly (boolean | null)[];
  /** Without a telegram in this second. */
  readonly silent?: (second: number) => boolean;
  readonly offline?: (device: number, second: number) => boolean;
  /** The meter's clock; null = it has none. */
  readonly clockAt?: (second: number) => number | null;
}

export interface Day {
  readonly site: Site;
  readonly lines: readonly string[];
  readonly inputs: readonly { readonly inputs: Inputs; readonly now: number }[];
  readonly outputs: readonly Outputs[];
}

export function makeDay(options: DayOptions): Day {
  const site = options.site ?? SIX;
  const house = new House(site, {
    seed: 7, period: 1_000, base: 400, swing: 60, appliance: 0.004, applianceWatts: 2_000, measures: site.devices.map((_, i) => i % 3 !== 2),
    sun: 0.6, appetite: [], meter: "dsmr5", ...options.house,
  });
  const lines: string[] = [];
  const inputs: { inputs: Inputs; now: number }[] = [];
  const outputs: Outputs[] = [];
  const stored = { limits: null, sgReady: null, clock: null };
  const recorder = new Recorder(site, stored, 0, (line) => lines.push(line));
  let state: State = start(site, stored, 0);
  for (let second = 0; second <= options.seconds; second++) {
    const now = second * 1_000;
    const online = site.devices.map((_, i) => !(options.offline?.(i, second) ?? false));
    const due = second % (house.options.period / 1_000) === 0 && !(options.silent?.(second) ?? false);
    const meterTime = (options.clockAt ?? ((s) => DAY_UTC + s))(second);
    const reading: Reading | null = due ? { ...house.reading(), at: now, meterTime } : null;
    const one: Inputs = {
      reading, tokens: options.tokensAt?.(second) ?? [], contacts: options.contactsAt?.(second) ?? site.inputs.map(() => false),
      reports: house.reports(online), networkTime: null,
    };
    recorder.tick(one, now);
    inputs.push({ inputs: one, now });
    const stepped = tick(site, state, one, now);
    state = stepped.state;
    outputs.push(stepped.outputs);
    house.step(stepped.outputs.decisions.map((decision) => decision.setpoint), online);
  }
  return { site, lines, inputs, outputs };
}

export const capAt = (id: string, start: number, duration: number, importLimit: number | null, more: Partial<CapEvent> = {}): CapEvent =>
  ({ id, start, duration, importLimit, exportLimit: null, emergency: false, controllable: false, release: null, ...more });

export function tokenOf(seq: number, iat: number, events: readonly CapEvent[], more: Partial<AcceptedToken> = {}): AcceptedToken {
  return {
    kid: "0101010101010101", role: "operator", aud: "ean:871685900000000006", seq, iat, exp: iat + 900, events,
    clockTrusted: true, channel: "mqtt", hash: "00112233445566ff", ...more,
  };
}

/** Caps up and down, an export cap, 0 W that blocks the pump, a heartbeat that stops, a contact, a dead meter. */
export function hardDay(seconds = 4_000): Day {
  const caps = [
    capAt("0000aa01", DAY_UTC + 200, 500, 4_200), capAt("0000aa02", DAY_UTC + 400, 100, 0, { emergency: true, release: 60 }),
    capAt("0000aa03", DAY_UTC + 1_000, 300, 9_000, { exportLimit: 1_500 }), capAt("0000aa04", DAY_UTC + 1_100, 100, null, { exportLimit: 0, controllable: true }),
    capAt("0000aa05", DAY_UTC + 1_500, 900, 500),
  ];
  return makeDay({
    seconds,
    tokensAt: (second) => (second < 2_700 && second % 300 === 60 ? [tokenOf(second, DAY_UTC + second, second < 600 ? caps.slice(0, 3) : caps)] : []),
    contactsAt: (second) => [second > 2_500 && second < 2_600 ? (second < 2_550 ? true : null) : false],
    silent: (second) => (second > 800 && second < 840) || (second > 2_450 && second < 2_457),
    offline: (device, second) => device === 1 && second > 2_800 && second < 2_900,
    // The clock goes back once, and is gone for a while.
    clockAt: (second) => (second > 3_200 && second < 3_300 ? null : second > 3_400 && second < 3_410 ? DAY_UTC : DAY_UTC + second),
  });
}
