import type { SgReadyState } from "../allocation/decision.js";
import type { ContactMove } from "./command.js";

/** Position of the two SG Ready contacts, 1:2 (BWP "SG Ready", table 1). */
export interface ContactPair {
  readonly one: 0 | 1;
  readonly two: 0 | 1;
}

/** 1 blocked 1:0, 2 normal 0:0, 3 encouraged 0:1, 4 forced 1:1. */
export function contactPair(state: SgReadyState): ContactPair {
  return { one: state === 1 || state === 4 ? 1 : 0, two: state === 3 || state === 4 ? 1 : 0 };
}

export function sgReadyState(pair: ContactPair): SgReadyState {
  if (pair.one === 1) return pair.two === 1 ? 4 : 1;
  return pair.two === 1 ? 3 : 2;
}

/**
 * Both contacts, in the order in which they may move to reach `target`. The order depends on the
 * target alone, so it holds from every position, also from one that we do not know (power-on, a relay
 * board that restarted): opening contact 1 or closing contact 2 first never gives 1 or 4, unless that
 * is where the pump was or has to go.
 *
 *   to 2, 3: contact 1 opens first (1→3 by 2, 4→2 by 3)
 *   to 1, 4: contact 2 takes its place first (3→1 by 2, 2→4 by 3)
 */
export function contactMoves(target: SgReadyState): readonly [ContactMove, ContactMove] {
  const { one, two } = contactPair(target);
  const first: ContactMove = { contact: 1, value: one };
  const second: ContactMove = { contact: 2, value: two };
  return target === 2 || target === 3 ? [first, second] : [second, first];
}
