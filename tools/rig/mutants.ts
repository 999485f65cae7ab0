/**
 * Bugs put into the code on purpose, the neighbours' among them (PEERS): each must be caught, by the
 * unit tests named with it or by the rig. A patch that no longer fits fails too.
 */
export interface Mutant {
  readonly name: string;
  /** Where it was seen; "" = ours. */
  readonly peer: string;
  readonly file: string;
  readonly search: string;
  readonly replace: string;
  /** A second place in the same file. */
  readonly also?: { readonly search: string; readonly replace: string };
  /** Test files that should notice. */
  readonly tests: readonly string[];
}

export const mutants: readonly Mutant[] = [
  {
    name: "a cap of 0 W is no cap", peer: "evcc hems/eebus", file: "src/limits/target.ts",
    search: "    if (watts === null) continue;\n    const length", replace: "    if (!watts) continue;\n    const length", tests: ["test/limits/peers.test.ts", "test/limits/life.test.ts"],
  },
  {
    name: "cap lost at reboot", peer: "Tinkerforge", file: "src/controller.ts",
    search: "limitsRestore(stored.limits)", replace: "limitsRestore(null)", tests: ["test/e2e/life.test.ts", "test/limits/life.test.ts"],
  },
  {
    name: "failsafe entered, not enforced", peer: "Tinkerforge loadcontrol.cpp", file: "src/limits/target.ts",
    search: `    case "failsafe": return tighter(best, failsafe, "failsafe", "", null, lifeSince, null, null);`, replace: `    case "failsafe": return best;`, tests: ["test/limits/life.test.ts"],
  },
  {
    name: "the end of the link clears the cap", peer: "openeebus-esphome", file: "src/limits/limits.ts",
    search: "  const inForce = heldInForce(links.links);", replace: "  const inForce = linkAlive ? heldInForce(links.links) : NONE_IN_FORCE;", tests: ["test/limits/life.test.ts"],
  },
  {
    name: "an unreadable relay input is inactive", peer: "evcc#31926, OpenEMS Limiter14a", file: "src/limits/limits.ts",
    search: `level === null ? "unreadable" : level`, replace: `level === null ? "inactive" : level`, tests: ["test/limits/peers.test.ts", "test/limits/parts.test.ts"],
  },
  {
    name: "grid meter lost: setpoints stay", peer: "evcc#14248", file: "src/allocation/allocation.ts",
    search: `  if (budget.freshness === "stale" || budget.freshness === "never") allSafe(plan);`, replace: `  if (budget.freshness === "never") allSafe(plan);`, tests: ["test/allocation/allocation.test.ts"],
  },
  {
    name: "currents unsigned during export", peer: "evcc#3643", file: "src/budget/measured.ts",
    search: "  return power < 0 ? -current : current;", replace: "  return current;", tests: ["test/budget/budget.test.ts"],
  },
  {
    name: "one device offline stops every one", peer: "evcc#26467", file: "src/allocation/plan.ts",
    search: "  if (plan.input.reports[index]!.online) return true;", replace: "  if (plan.input.reports.every((report) => report.online)) return true;", tests: ["test/e2e/faults.test.ts"],
  },
  {
    name: "steps faster than the meter tells", peer: "SmartEVSE-3#123", file: "src/constants.ts",
    search: "export const RISE_MA_PER_S = 200;", replace: "export const RISE_MA_PER_S = 2_000;", tests: ["test/constants.test.ts", "test/allocation/allocation.test.ts"],
  },
  {
    name: "a telegram longer than the buffer", peer: "esphome/issues#4508", file: "src/constants.ts",
    search: "export const TELEGRAM_BYTES_MAX = 8192;", replace: "export const TELEGRAM_BYTES_MAX = 640;", tests: ["test/telegram/reader.test.ts", "test/constants.test.ts"],
  },
  {
    name: "the sequence may repeat", peer: "", file: "src/token/claims.ts",
    search: "known !== null && token.seq <= known.seq", replace: "known !== null && token.seq < known.seq", tests: ["test/token/token.test.ts"],
  },
  {
    name: "s = 0 goes to the library", peer: "", file: "src/wire/p256.ts",
    search: "  if (isZero) return false;\n", replace: "", tests: ["test/wire/p256.test.ts"],
  },
  {
    name: "a wrong CRC is believed", peer: "", file: "src/telegram/reader.ts",
    search: "    this.crcSeen = true;\n", replace: "", tests: ["test/telegram/reader.test.ts", "test/e2e/kept.test.ts"],
  },
  {
    name: "five blocks a day", peer: "", file: "src/constants.ts",
    search: "export const SG_BLOCKS_MAX = 3;", replace: "export const SG_BLOCKS_MAX = 5;", tests: ["test/rig/found.test.ts"],
  },
  {
    name: "contacts in the wrong order", peer: "", file: "src/actuation/sg_ready.ts",
    search: "target === 2 || target === 3 ? [first, second] : [second, first]", replace: "[first, second]", tests: ["test/actuation/sg_ready.test.ts"],
  },
  {
    name: "stop and start again at once", peer: "evcc#13750", file: "src/constants.ts",
    search: "export const OFF_TIME_MIN_MS = 5 * 60_000;", replace: "export const OFF_TIME_MIN_MS = 5_000;", tests: ["test/allocation/allocation.test.ts"],
  },
  {
    name: "written only when it changes", peer: "", file: "src/constants.ts",
    search: "export const REWRITE_PERIOD_MS = 10_000;", replace: "export const REWRITE_PERIOD_MS = 10_000_000;", tests: ["test/constants.test.ts", "test/actuation/actuation.test.ts"],
  },
  {
    name: "what a settling device draws is taken for others' load", peer: "", file: "src/budget/controlled.ts",
    search: "settling ? Math.max(measured, highest) : measured", replace: "settling ? 0 : measured", tests: ["test/budget/budget.test.ts"],
  },
  {
    name: "the main fuse is not looked at", peer: "evcc#24863", file: "src/limits/limits.ts",
    search: "  const amps = Math.max(0, site.connection.fuse - FUSE_MARGIN_MA);", replace: "  const amps = site.connection.fuse * 2;", tests: ["test/limits/parts.test.ts"],
  },
  {
    name: "a release does not wait", peer: "UK rule's rebound", file: "src/limits/channel.ts",
    search: "  if (past <= 0) return rise.from;", replace: "  if (past <= 0) return rise.to;", tests: ["test/limits/release.test.ts"],
  },
  {
    name: "a flood of forged tokens leaves a backlog", peer: "ours, rig seed 1", file: "src/services/waiting_line.ts",
    search: "ofChannel.length >= BUSY_WAITING_MAX", replace: "false && ofChannel.length >= BUSY_WAITING_MAX",
    also: { search: "this.#line.splice(0).reverse()", replace: "this.#line.splice(0)" }, tests: ["test/rig/found.test.ts"],
  },
  {
    name: "a tick throws at an odd value", peer: "", file: "src/controller.ts",
    search: "  const reading = inputs.reading ?? state.reading;", replace: `  const reading = inputs.reading ?? state.reading;\n  if (inputs.reading !== null && inputs.reading.net === 0x2a7) throw new Error("mutant");`, tests: ["test/property/limits.test.ts"],
  },
];
