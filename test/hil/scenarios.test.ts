import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { holds, readScenario } from "../../tools/hil/scenario.js";

const folder = join(dirname(fileURLToPath(import.meta.url)), "scenarios");

test.each(readdirSync(folder).filter((file) => file.endsWith(".json")))("%s is in order and asks something", (file) => {
  const { steps } = readScenario(readFileSync(join(folder, file), "utf8"));
  expect(steps.some((step) => "expect" in step)).toBe(true);
});

test("a misspelt step or observable is refused", () => {
  const text = (step: unknown): string => JSON.stringify({ title: "t", about: "a", load_W: [0, 0, 0], steps: [step] });
  expect(() => readScenario(text({ meter: "of" }))).toThrow();
  expect(() => readScenario(text({ expect: { net_w: 1 } }))).toThrow();
  expect(readScenario(text({ expect: { net_W: { max: 1 } } })).steps).toHaveLength(1);
});

describe("a bound", () => {
  test("of numbers holds on both ends, and never for what is absent", () => {
    expect([holds(5, { min: 5, max: 5 }), holds(4, { min: 5 }), holds(6, { max: 5 }), holds(null, { max: 5 }), holds(0, { max: 5 })]).toEqual([true, false, false, false, true]);
  });
  test("of a value is that value, null included; not is its opposite", () => {
    expect([holds(null, null), holds(0, null), holds("fresh", "fresh"), holds("timeout", { not: null }), holds(null, { not: null })]).toEqual([true, false, true, true, false]);
  });
});
