/** The words of a scenario file (docs/hil.md), checked before anything is started. */
import * as v from "valibot";

const seconds = v.pipe(v.number(), v.minValue(0));
const watts = v.pipe(v.number(), v.integer(), v.minValue(0));
const names = ["net_W", "charger_A", "sg_state", "import_W", "state", "freshness", "mqtt", "charger_fault", "clock", "telegram_errors", "tokens_accepted", "tokens_refused", "faults", "boots"] as const;
const bound = v.union([v.strictObject({ not: v.union([v.string(), v.null()]) }), v.strictObject({ min: v.optional(v.number()), max: v.optional(v.number()) }), v.number(), v.string(), v.null()]);

const step = v.union([
  v.strictObject({ load_W: v.tuple([v.number(), v.number(), v.number()]) }),
  v.strictObject({ cap_W: v.nullable(watts), for: seconds, by: v.picklist(["mqtt", "p1"]), emergency: v.optional(v.boolean()) }),
  v.strictObject({ heartbeat: v.boolean() }),
  v.strictObject({ meter: v.picklist(["on", "off", "garbled"]) }),
  v.strictObject({ meter_clock_s: v.number() }),
  v.strictObject({ broker: v.picklist(["on", "off"]) }),
  v.strictObject({ charger: v.picklist(["on", "silent"]) }),
  v.strictObject({ reboot: v.literal("power") }),
  v.strictObject({ wait: seconds }),
  v.strictObject({ expect: v.record(v.picklist(names), bound), within: v.optional(seconds), for: v.optional(seconds) }),
]);

const scenario = v.strictObject({
  title: v.string(), about: v.string(),
  load_W: v.tuple([v.number(), v.number(), v.number()]),
  site: v.optional(v.record(v.string(), v.unknown())),
  steps: v.pipe(v.array(step), v.minLength(1)),
});

export type Observed = Record<typeof names[number], number | string | null>;
export type Step = v.InferOutput<typeof step>;
export type Scenario = v.InferOutput<typeof scenario>;
export type Bound = v.InferOutput<typeof bound>;

export function readScenario(text: string): Scenario {
  const parsed = v.safeParse(scenario, JSON.parse(text));
  if (parsed.success) return parsed.output;
  throw new Error(parsed.issues.map((issue) => `${v.getDotPath(issue) ?? ""}: ${issue.message}`).join("\n"));
}

export function holds(value: number | string | null, wanted: Bound): boolean {
  if (wanted === null || typeof wanted !== "object") return value === wanted;
  if ("not" in wanted) return value !== wanted.not;
  return typeof value === "number" && (wanted.min === undefined || value >= wanted.min) && (wanted.max === undefined || value <= wanted.max);
}
