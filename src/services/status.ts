/** GET /api/status and the status topic: one picture of the house, made of what the last tick knew. */
import type { Decision, ReasonCode, Setpoint } from "../allocation/decision.js";
import { describeDecision } from "../allocation/reason.js";
import type { Budget, Freshness } from "../budget/budget.js";
import type { LifeState, Limit, Limits, LimitSource, UpcomingCap } from "../limits/limit.js";
import { describeLimit } from "../limits/words.js";
import type { Reading } from "../reading/reading.js";
import type { DeviceReport } from "../reading/report.js";
import type { Device, Site } from "../site.js";
import type { EpochSeconds, Milliamps, Millis, Millivolts, PerPhase, Seconds, Watts } from "../units.js";
import type { MqttReason, MqttState, MqttStatus } from "./mqtt_status.js";

/** Events shown at most, the newest last. */
export const STATUS_EVENTS_MAX = 8;

/** docs/api.md has every field. Watts, milliamperes, millivolts, whole seconds; unknown is null. */
export interface Status {
  readonly version: string;
  readonly serial: string;
  readonly uptime: Seconds;
  /** The controller's clock; `time` null while it has none that it trusts. */
  readonly clock: { readonly time: EpochSeconds | null };
  readonly reading: StatusReading;
  readonly limits: StatusLimits;
  readonly devices: readonly StatusDevice[];
  readonly link: StatusLink;
  readonly counters: Readonly<Record<string, number>>;
  readonly events: readonly StatusEvent[];
}

export interface StatusReading {
  readonly net: Watts | null;
  readonly phases: readonly { readonly power: Watts | null; readonly current: Milliamps | null; readonly voltage: Millivolts | null }[];
  /** Milliseconds since its last byte; null where there never was one. */
  readonly age: Millis | null;
  readonly source: "p1" | "modbus" | null;
  readonly freshness: Freshness;
}

export interface StatusLimit {
  readonly watts: Watts;
  readonly source: LimitSource;
  readonly id: string;
  readonly words: string;
  readonly until: EpochSeconds | null;
}

export interface StatusLimits {
  readonly state: LifeState;
  readonly import: StatusLimit | null;
  readonly export: StatusLimit | null;
  readonly controllable: StatusLimit | null;
  readonly production: StatusLimit | null;
  readonly fuse: PerPhase<Milliamps>;
  readonly next: UpcomingCap | null;
  readonly weighed: readonly StatusLimit[];
}

export interface StatusDevice {
  readonly id: string;
  readonly kind: Device["kind"];
  /** Null before the first tick. */
  readonly setpoint: Setpoint | null;
  /** What it would have been given without any limit, in the setpoint's unit. */
  readonly asked: number | null;
  readonly measured: { readonly power: Watts | null; readonly current: PerPhase<Milliamps | null> };
  readonly online: boolean;
  readonly fault: string | null;
  readonly reason: ReasonCode | null;
  readonly limit: LimitSource | null;
  readonly words: string;
}

export interface StatusLink {
  /** An operator's key is installed: there is a link that can be lost. */
  readonly operator: boolean;
  /** Null where no broker is configured. */
  readonly mqtt: { readonly state: MqttState; readonly reason: MqttReason; readonly detail: string; readonly version: 4 | 5 | null; readonly seconds: Seconds } | null;
}

export interface StatusEvent {
  readonly time: EpochSeconds | null;
  readonly type: string;
  readonly words: string;
}

export interface StatusInput {
  version: string;
  now: Millis;
  utc: EpochSeconds | null;
  site: Site;
  reading: Reading | null;
  freshness: Budget["freshness"];
  limits: Limits;
  /** In the order of site.devices; empty before the first tick. */
  decisions: readonly Decision[];
  reports: readonly DeviceReport[];
  mqtt: MqttStatus | null;
  counters: Readonly<Record<string, number>>;
  /** Oldest first. */
  events: readonly StatusEvent[];
}

/** Pure. A reading that is stale is not shown as if it were live: its values are null. */
export function makeStatus(input: StatusInput): Status {
  const { site, limits, now, mqtt } = input;
  return {
    version: input.version, serial: site.serial, uptime: Math.floor(now / 1000), clock: { time: input.utc },
    reading: readingOf(input),
    limits: {
      state: limits.state, import: limitOf(limits.import), export: limitOf(limits.export),
      controllable: limitOf(limits.controllable), production: limitOf(limits.production),
      fuse: limits.fuse, next: limits.next,
      weighed: limits.weighed.map(limitOf).filter((one): one is StatusLimit => one !== null),
    },
    devices: site.devices.map((device, i) => deviceOf(input, device, i)),
    link: {
      operator: site.hasOperator,
      mqtt: mqtt === null ? null : {
        state: mqtt.state, reason: mqtt.reason, detail: mqtt.detail, version: mqtt.version, seconds: Math.floor((now - mqtt.since) / 1000),
      },
    },
    counters: input.counters,
    events: input.events.slice(-STATUS_EVENTS_MAX),
  };
}

function readingOf({ reading, freshness, now, site }: StatusInput): StatusReading {
  const known = freshness === "fresh" || freshness === "ageing" ? reading : null;
  const phases = [];
  for (let i = 0; i < site.connection.phases; i++) {
    phases.push({ power: known?.power[i] ?? null, current: known?.current[i] ?? null, voltage: known?.voltage[i] ?? null });
  }
  return { net: known?.net ?? null, phases, age: reading === null ? null : now - reading.at, source: reading?.source ?? null, freshness };
}

function limitOf(limit: Limit): StatusLimit | null {
  if (limit.kind === "none") return null;
  return { watts: limit.watts, source: limit.source, id: limit.id, words: describeLimit(limit), until: limit.until };
}

function deviceOf({ site, decisions, reports, limits }: StatusInput, device: Device, i: number): StatusDevice {
  const decision = decisions[i] ?? null;
  const report = reports[i];
  const known = report?.online === true;
  return {
    id: device.id, kind: device.kind, setpoint: decision?.setpoint ?? null, asked: decision?.asked ?? null,
    measured: { power: known ? report.power : null, current: known ? report.current : [null, null, null] },
    online: known, fault: report?.fault ?? null, reason: decision?.reason ?? null, limit: decision?.limit ?? null,
    words: decision === null ? "" : describeDecision(site, decision, limits),
  };
}
