import type { Site } from "../site.js";
import type { EpochSeconds, Millis, Watts } from "../units.js";
import type { Scope } from "./event.js";
import type { LifeState, LimitSource } from "./limit.js";
import { endOf, milliseconds } from "./link.js";
import { par14aRead, par14aSite } from "./par14a.js";
import type { Binding, ContactMemory, HeldEvent, Link } from "./state.js";

/** What the targets are made of: everything that is released slowly once it ends. */
export interface TargetInput {
  readonly site: Site;
  readonly life: LifeState;
  readonly lifeSince: Millis;
  readonly linkAlive: boolean;
  readonly links: readonly Link[];
  /** Those of the links' events that hold now, in their order. */
  readonly inForce: readonly HeldEvent[];
  readonly contacts: readonly ContactMemory[];
  readonly voltageKnown: boolean;
  /** Since when it is known, or not. */
  readonly voltageSince: Millis;
}

/**
 * The tightest of caps, contacts and the state's own limit for one channel; null = none of them
 * limits it. Of equals the one that lasts longer counts, else the first in the order of LimitSource.
 */
export function targetOf(scope: Scope, input: TargetInput): Binding | null {
  const cap = tightestCap(scope, input);
  const withContacts = tightestContact(scope, input, cap);
  return scope === "import" || scope === "export" ? withState(scope, input, withContacts) : withContacts;
}

function tightestCap(scope: Scope, input: TargetInput): Binding | null {
  let best: Binding | null = null;
  const { inForce } = input;
  for (let i = 0; i < inForce.length; i++) {
    const held = inForce[i]!;
    const event = held.event;
    const watts = ofScope(scope, event.controllable, event.importLimit, event.exportLimit, input.site);
    if (watts === null) continue;
    const length = milliseconds(event.duration);
    // The operator's wish counts for an event that was in force, not for one we only guessed at.
    const release = event.release === null || held.timing === "guess" ? null : milliseconds(event.release);
    best = tighter(best, watts, "cap", event.id, endOf(event), held.startsAt, length, release);
  }
  return best;
}

function tightestContact(scope: Scope, input: TargetInput, cap: Binding | null): Binding | null {
  let best = cap;
  const { site, contacts } = input;
  for (let i = 0; i < site.inputs.length; i++) {
    const contact = site.inputs[i]!;
    const memory = contacts[i];
    if (memory === undefined || memory.state === "inactive") continue;
    const controllable = contact.scope === "controllable";
    const dim = site.par14a && controllable && contact.importLimit === null && contact.exportLimit === null;
    const imported = dim ? par14aSite(site.devices) : contact.importLimit;
    const watts = ofScope(scope, controllable, imported, contact.exportLimit, site);
    best = tighter(best, watts, "contact", contact.id, null, memory.since, null, null);
  }
  return best;
}

/**
 * The state's own limit at the meter. While the link is lost a direction without a cap in force is
 * under the failsafe limit at once, though a cap in the other direction keeps the state "limited".
 */
function withState(scope: "import" | "export", input: TargetInput, best: Binding | null): Binding | null {
  const { site, life, lifeSince, linkAlive } = input;
  const failsafe = scope === "import" ? site.failsafe.importLimit : site.failsafe.exportLimit;
  switch (life) {
    case "start": return tighter(best, failsafe, "start", "", null, lifeSince, null, null);
    case "failsafe": return tighter(best, failsafe, "failsafe", "", null, lifeSince, null, null);
    case "controlled": return best;
    case "limited": {
      // Without an operator a test cap only adds to what holds while autonomous.
      if (!site.hasOperator) return autonomous(scope, input, best);
      const covered = linkAlive || operatorCap(scope, input.links);
      return covered ? best : tighter(best, failsafe, "failsafe", "", null, lifeSince, null, null);
    }
    case "autonomous": return autonomous(scope, input, best);
  }
}

function autonomous(scope: "import" | "export", input: TargetInput, best: Binding | null): Binding | null {
  const { site, lifeSince } = input;
  let tightest = best;
  // Nobody watches the voltage (a meter before DSMR 5, delta, a dead meter): the static limit stays.
  if (!input.voltageKnown) {
    const failsafe = scope === "import" ? site.failsafe.importLimit : site.failsafe.exportLimit;
    tightest = tighter(tightest, failsafe, "failsafe", "no_voltage", null, Math.max(lifeSince, input.voltageSince), null, null);
  }
  return scope === "import" ? tighter(tightest, site.autonomousImport, "static", "", null, lifeSince, null, null) : tightest;
}

/**
 * An operator's event in force limits this direction, in whichever scope, and holds off the failsafe.
 * One that is only counted from its arrival may be over in truth: it tightens and holds nothing off.
 */
export function operatorCap(direction: "import" | "export", links: readonly Link[]): boolean {
  for (let i = 0; i < links.length; i++) {
    const { operator, events } = links[i]!;
    if (!operator) continue;
    for (let k = 0; k < events.length; k++) {
      const held = events[k]!;
      if (held.inForce && held.timing === "clock" && (direction === "import" ? held.event.importLimit : held.event.exportLimit) !== null) return true;
    }
  }
  return false;
}

/** What a pair of limits says about one channel; null = nothing. */
function ofScope(scope: Scope, controllable: boolean, imported: Watts | null, exported: Watts | null, site: Site): Watts | null {
  switch (scope) {
    case "import": return controllable ? null : imported;
    case "export": return controllable ? null : exported;
    case "controllable": return controllable && imported !== null ? par14aRead(site, imported) : null;
    case "production": return controllable ? exported : null;
  }
}

function tighter(
  best: Binding | null, watts: Watts | null, source: LimitSource, id: string, until: EpochSeconds | null,
  since: Millis, length: Millis | null, release: Millis | null,
): Binding | null {
  if (watts === null) return best;
  if (best !== null) {
    if (watts > best.watts) return best;
    const longer = source === best.source && until !== null && best.until !== null && until > best.until;
    if (watts === best.watts && !longer) return best;
  }
  return { watts: Math.max(0, watts), source, id, until, since, length, release };
}
