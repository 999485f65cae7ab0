/**
 * One tick of the house, as a pure function: readings, caps, contacts and device reports in;
 * limits, decisions and commands out. It reads as the pipeline. No timers, no I/O, no clock of its
 * own; same state, inputs and now give the same output on Node and on XS, and nothing is mutated.
 *
 * It runs on every telegram, on every change of a cap, and at least every TICK_PERIOD_MS.
 */
import { actuationStart, actuationTick, type ActuationState } from "./actuation/actuation.js";
import type { Command } from "./actuation/command.js";
import { allocationStart, allocationTick, sgPersist, sgRestore, type AllocationState } from "./allocation/allocation.js";
import type { Decision } from "./allocation/decision.js";
import { budgetStart, budgetTick, type BudgetState } from "./budget/assess.js";
import type { Budget } from "./budget/budget.js";
import { complianceStart, complianceTick, type ComplianceEvent, type ComplianceState } from "./compliance.js";
import type { Limits } from "./limits/limit.js";
import { limitsPersist, limitsRestore, limitsStart, limitsTick, type LimitsEvent, type LimitsState } from "./limits/limits.js";
import { clockPersist, clockRestore, clockStart, observeMeterTime, observeNetworkTime, observeToken, utc, type ClockState } from "./reading/clock.js";
import type { Reading } from "./reading/reading.js";
import type { DeviceReport } from "./reading/report.js";
import type { Site } from "./site.js";
import type { AcceptedToken } from "./token/cap.js";
import type { EpochSeconds, Millis } from "./units.js";

/** Everything that happened since the last tick. Plain data: a recording is a list of these. */
export interface Inputs {
  /** The newest reading since the last tick, null where none came. */
  readonly reading: Reading | null;
  readonly tokens: readonly AcceptedToken[];
  /** Relay inputs in the order of site.inputs; null = unreadable, which counts as active. */
  readonly contacts: readonly (boolean | null)[];
  /** In the order of site.devices. */
  readonly reports: readonly DeviceReport[];
  /** NTP, where there is internet. */
  readonly networkTime: EpochSeconds | null;
}

/** What survives a reboot, each a text in the store; null = nothing stored. */
export interface Stored {
  readonly limits: string | null;
  readonly sgReady: string | null;
  readonly clock: string | null;
  /** Stored tokens that could not be read: each may have been a cap. Absent = none. */
  readonly lostTokens?: number;
}

export interface State {
  readonly clock: ClockState;
  /** The newest known reading, however old. */
  readonly reading: Reading | null;
  readonly limits: LimitsState;
  readonly budget: BudgetState;
  readonly allocation: AllocationState;
  readonly actuation: ActuationState;
  readonly compliance: ComplianceState;
}

export interface Outputs {
  readonly utc: EpochSeconds | null;
  readonly limits: Limits;
  readonly budget: Budget;
  readonly decisions: readonly Decision[];
  readonly commands: readonly Command[];
  readonly events: readonly (LimitsEvent | ComplianceEvent)[];
  /** Texts to be stored before the commands go out; null = unchanged since the last tick. */
  readonly store: Stored;
}

export function start(site: Site, stored: Stored, now: Millis): State {
  const limits = limitsRestore(stored.limits);
  return {
    clock: clockStart(clockRestore(stored.clock), now),
    reading: null,
    limits: limitsStart(site, { ...limits, damaged: limits.damaged + (stored.lostTokens ?? 0) }, now),
    budget: budgetStart(site),
    allocation: allocationStart(site, sgRestore(stored.sgReady), now),
    actuation: actuationStart(site),
    compliance: complianceStart(now),
  };
}

export function tick(site: Site, state: State, inputs: Inputs, now: Millis): { state: State; outputs: Outputs } {
  const clock = stepClock(state.clock, inputs, now);
  const time = utc(clock, now);
  const reading = inputs.reading ?? state.reading;

  const limits = limitsTick(site, state.limits, {
    utc: time, tokens: inputs.tokens, contacts: inputs.contacts, reading, reports: inputs.reports,
  }, now);
  const budget = budgetTick(site, state.budget, {
    reading, fresh: inputs.reading !== null, limits: limits.limits, reports: inputs.reports, commanded: state.allocation.commanded,
  }, now);
  const allocation = allocationTick(site, state.allocation, {
    reading, budget: budget.budget, limits: limits.limits, reports: inputs.reports, utc: time,
  }, now);
  const actuation = actuationTick(site, state.actuation, allocation.decisions, inputs.reports, now);
  const compliance = complianceTick(state.compliance, { reading, budget: budget.budget, limit: limits.limits.import, utc: time }, now);

  return {
    state: {
      clock, reading, limits: limits.state, budget: budget.state, allocation: allocation.state,
      actuation: actuation.state, compliance: compliance.state,
    },
    outputs: {
      utc: time,
      limits: limits.limits,
      budget: budget.budget,
      decisions: allocation.decisions,
      commands: actuation.commands,
      events: limits.events.length === 0 && compliance.events.length === 0 ? NO_EVENTS : [...limits.events, ...compliance.events],
      store: {
        limits: limits.state.revision === state.limits.revision ? null : limitsPersist(limits.state),
        sgReady: allocation.persistChanged ? sgPersist(allocation.state) : null,
        clock: clock === state.clock ? null : changed(clockPersist(state.clock, now), clockPersist(clock, now)),
      },
    },
  };
}

const NO_EVENTS: readonly (LimitsEvent | ComplianceEvent)[] = [];

function changed(before: string, after: string): string | null {
  return before === after ? null : after;
}

function stepClock(state: ClockState, inputs: Inputs, now: Millis): ClockState {
  let clock = state;
  if (inputs.networkTime !== null) clock = observeNetworkTime(clock, inputs.networkTime, now);
  for (const token of inputs.tokens) clock = observeToken(clock, token.iat, now);
  if (inputs.reading !== null && inputs.reading.meterTime !== null) clock = observeMeterTime(clock, inputs.reading.meterTime, now);
  return clock;
}
