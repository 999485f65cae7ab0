import { FAILSAFE_DURATION_MAX_MS, FAILSAFE_DURATION_MIN_MS, START_TO_FAILSAFE_MS } from "../constants.js";
import type { Site } from "../site.js";
import type { Millis } from "../units.js";
import type { LifeState } from "./limit.js";

/** What the table of CAPS.md, "Life", is entered with. */
export interface LifeInput {
  readonly state: LifeState;
  /** Since when. */
  readonly since: Millis;
  /** An accepted token of an operator is unexpired, by a clock that is or was trusted. */
  readonly linkAlive: boolean;
  /** An event that limits anything is in force, whichever token it came with. */
  readonly capInForce: boolean;
  /** The same, of an operator: an installer's test cap does not hold off the failsafe. */
  readonly operatorCap: boolean;
}

/** The state after this tick: one row of the table each. */
export function nextLife(site: Site, input: LifeInput, now: Millis): LifeState {
  const { state, since, linkAlive, capInForce, operatorCap } = input;
  // No operator key: no link to lose. Test caps of the installer bind all the same.
  if (!site.hasOperator) return capInForce ? "limited" : "autonomous";
  if (linkAlive) return capInForce ? "limited" : "controlled";
  switch (state) {
    case "start": return now - since >= START_TO_FAILSAFE_MS ? "failsafe" : "start";
    case "controlled": return "failsafe";
    // The cap in force holds to its own end, whoever is still there to end it.
    case "limited": return operatorCap ? "limited" : "failsafe";
    case "failsafe": return now - since >= failsafeDuration(site) ? "autonomous" : "failsafe";
    case "autonomous": return "autonomous";
  }
}

function failsafeDuration(site: Site): Millis {
  return Math.max(FAILSAFE_DURATION_MIN_MS, Math.min(FAILSAFE_DURATION_MAX_MS, site.failsafe.duration));
}
