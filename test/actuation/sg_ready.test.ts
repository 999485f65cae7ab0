import { describe, expect, it } from "vitest";
import type { SgReadyState } from "../../src/allocation/decision.js";
import { contactMoves, contactPair, sgReadyState } from "../../src/actuation/sg_ready.js";

const states: readonly SgReadyState[] = [1, 2, 3, 4];

describe("SG Ready contacts", () => {
  it("gives each state the contacts of the standard's table", () => {
    expect(states.map((state) => contactPair(state))).toEqual([
      { one: 1, two: 0 }, { one: 0, two: 0 }, { one: 0, two: 1 }, { one: 1, two: 1 },
    ]);
    for (const state of states) expect(sgReadyState(contactPair(state))).toBe(state);
  });

  // Every origin, known or not: the real position is one of the four.
  for (const origin of states) {
    for (const target of states) {
      it(`${origin} → ${target} ends there and passes neither 1 nor 4 on the way`, () => {
        let { one, two } = contactPair(origin);
        const passed: SgReadyState[] = [];
        for (const move of contactMoves(target)) {
          if (move.contact === 1) one = move.value;
          else two = move.value;
          passed.push(sgReadyState({ one, two }));
        }
        expect(passed.at(-1)).toBe(target);
        const between = passed.slice(0, -1).filter((state) => state !== origin && state !== target);
        expect(between.every((state) => state === 2 || state === 3)).toBe(true);
      });
    }
  }

  it("names the paths makers describe", () => {
    const path = (origin: SgReadyState, target: SgReadyState) => {
      let { one, two } = contactPair(origin);
      const passed: SgReadyState[] = [origin];
      for (const move of contactMoves(target)) {
        if (move.contact === 1) one = move.value; else two = move.value;
        const state = sgReadyState({ one, two });
        if (state !== passed.at(-1)) passed.push(state);
      }
      return passed;
    };
    expect(path(1, 3)).toEqual([1, 2, 3]);
    expect(path(3, 1)).toEqual([3, 2, 1]);
    expect(path(2, 4)).toEqual([2, 3, 4]);
    expect(path(4, 2)).toEqual([4, 3, 2]);
    expect(path(1, 4)).toEqual([1, 4]);
    expect(path(4, 1)).toEqual([4, 1]);
  });
});
