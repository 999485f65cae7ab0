/**
 * One configured Modbus device: polls what its profile names, makes the DeviceReport, writes the
 * setpoint it is told and sees that it stays. What is read and written is actuation/plan.ts; here is
 * only when.
 *
 *   each MODBUS_POLL_MS:  [find the SunSpec models] ─► read block after block ─► report [─► a silent block again]
 *   told a setpoint:      register after register ─► read back
 *   answers after a silence, or over a new connection: setpoint at once, then its watchdog
 *
 * The two run side by side, each with one request under way, so a device has at most two places in
 * the bus' queue and a setpoint never waits for a poll to end.
 *
 * A block that goes unanswered while others are answered takes only its own quantities with it. What
 * was read DEVICE_OFFLINE_MS ago is not there any more, whatever else the device still answers.
 */
import { DEVICE_OFFLINE_MS, MODBUS_BACKOFF_MAX_MS, MODBUS_POLL_MS, READ_BACK_SETTLE_MS } from "../constants.js";
import type { Timer, TimerId } from "../../hal/ecma419.js";
import { sameSetpoint } from "../actuation/actuation.js";
import {
  decodeReadBack, matchesReadBack, planReadBack, planReads, planWatchdog, planWrites, usesSunSpec,
} from "../actuation/plan.js";
import type { PlanContext, PlannedWrite, Quantities, ReadBlock } from "../actuation/plan.js";
import type { Profile } from "../actuation/profile.js";
import { NO_MODELS, sunspecNext, sunspecStart } from "../actuation/sunspec.js";
import type { ModelMap, SunSpecStep } from "../actuation/sunspec.js";
import type { Setpoint } from "../allocation/decision.js";
import { SILENT } from "../reading/report.js";
import type { DeviceReport } from "../reading/report.js";
import type { Millis, Watts } from "../units.js";
import type { ModbusRequest, ModbusRule } from "../wire/modbus.js";
import { DeviceWords, isDevicesWord, readRequest, single, wasAsked, writeRequest } from "./device_words.js";
import type { ModbusBus } from "./modbus_bus.js";

export interface DeviceDriverOptions {
  bus: ModbusBus;
  profile: Profile;
  /** Default: the profile's. */
  unit?: number;
  /** What the device's own watchdog shall fall to, at most; null = there is nothing to set (a meter). */
  safe: Setpoint | null;
  /** Rated power from the site, for writes in percent. */
  rated?: Watts | null;
  timer: Timer;
  monotonic: () => Millis;
  /** Called after each poll cycle that got through whole: `quantities` in a report's units. */
  polled?: (quantities: Quantities, at: Millis) => void;
}

export class DeviceDriver {
  readonly #bus: ModbusBus;
  readonly #profile: Profile;
  readonly #unit: number;
  readonly #sunSpec: boolean;
  readonly #safe: Setpoint | null;
  readonly #rated: Watts | null;
  readonly #timer: Timer;
  readonly #monotonic: () => Millis;
  readonly #polled: ((quantities: Quantities, at: Millis) => void) | null;
  #polling: TimerId | undefined;
  #closed = false;

  /** Null = to be found, again after a long silence: new firmware may have moved them. */
  #models: ModelMap | null;
  #blocks: ReadBlock[] | null = null;
  /** Blocks were split into single values, because the device refused a joined one. */
  #split = false;
  readonly #words = new DeviceWords();
  #cycle = false;
  /** In the cycle under way: whether a block was read, and whether one was answered at all. */
  #anyRead = false;
  #anyAnswer = false;
  #quantities: Quantities | null = null;
  /** When the quantities were read; before the first of them, when the driver began. */
  #readAt: Millis;

  #answeredAt: Millis | null = null;
  /** A request went unanswered since the last answer: the device may have restarted. */
  #missed = true;
  #generation = 0;

  #setpoint: Setpoint | null = null;
  /** The setpoint has to be written; the watchdog has to be set. */
  #due = false;
  #watchdogDue = true;
  #writing: "setpoint" | "watchdog" | null = null;
  /** What was written whole last; null = nothing since the last silence. */
  #written: Setpoint | null = null;
  #mismatchSince: Millis | null = null;

  #lineFault: ModbusRule | null = null;
  #readFault: string | null = null;
  #writeFault: string | null = null;
  #watchdogFault: string | null = null;

  constructor(options: DeviceDriverOptions) {
    this.#bus = options.bus;
    this.#profile = options.profile;
    this.#unit = options.unit ?? options.profile.unit;
    this.#safe = options.safe;
    this.#rated = options.rated ?? null;
    this.#timer = options.timer;
    this.#monotonic = options.monotonic;
    this.#polled = options.polled ?? null;
    this.#sunSpec = usesSunSpec(options.profile);
    this.#models = this.#sunSpec ? null : NO_MODELS;
    this.#readAt = this.#monotonic();
    this.#polling = this.#timer.repeat(() => this.#poll(), MODBUS_POLL_MS);
    this.#poll();
  }

  /** The newest word of the core; repeating it writes it again. */
  write(setpoint: Setpoint): void {
    if (this.#setpoint === null || !sameSetpoint(this.#setpoint, setpoint)) this.#mismatchSince = null;
    this.#setpoint = setpoint;
    this.#due = true;
    this.#writeNext();
  }

  report(): DeviceReport {
    const now = this.#monotonic();
    // An answer to a write says that it is there, and nothing of what it does.
    const online = this.#answeredAt !== null && now - this.#answeredAt < DEVICE_OFFLINE_MS && !this.#isUnread(now);
    const quantities = this.#quantities;
    const fault = this.#fault(online, now);
    // What a silent device once said is not what it does now.
    if (!online || quantities === null) return { ...SILENT, online, at: this.#readAt, fault };
    return {
      online, at: this.#readAt, power: quantities.power, current: quantities.current, voltage: quantities.voltage,
      wants: quantities.wants, stateOfCharge: quantities.stateOfCharge,
      applied: decodeReadBack(this.#profile, this.#said()), fault,
    };
  }

  close(): void {
    this.#closed = true;
    this.#timer.clear(this.#polling);
    this.#polling = undefined;
  }

  #fault(online: boolean, now: Millis): string | null {
    if (!online) return this.#lineFault ?? (this.#isUnread(now) ? this.#readFault ?? "not_read" : null);
    if (this.#writeFault !== null) return this.#writeFault;
    if (this.#mismatchSince !== null && now - this.#mismatchSince >= READ_BACK_SETTLE_MS) return "read_back_mismatch";
    const decoding = this.#quantities?.fault?.rule ?? null;
    // What a whole cycle did not read, the device refused: a feature it lacks, absent and no fault.
    return this.#readFault ?? this.#watchdogFault ?? (decoding === "not_read" ? null : decoding);
  }

  /** No cycle has got through for so long that what the last one read is not known any more. */
  #isUnread(now: Millis): boolean {
    return now - this.#readAt >= DEVICE_OFFLINE_MS;
  }

  /** For a write; #said() is for what the device does now. */
  #context(): PlanContext {
    return { models: this.#models ?? NO_MODELS, rated: this.#rated, words: (table, address) => this.#words.newest(table, address) };
  }

  #said(): PlanContext {
    return { models: this.#models ?? NO_MODELS, rated: this.#rated, words: (table, address) => this.#words.said(table, address) };
  }

  /** A request of ours; `done` only while the driver is open. Null = the device's values are not to be had. */
  #ask(request: ModbusRequest, done: (values: readonly number[] | null, rule: ModbusRule | null) => void): void {
    this.#bus.request(this.#unit, request, (result) => {
      if (this.#closed) return;
      if (!result.ok && !isDevicesWord(result.rule)) {
        // A wait after a fault is not the fault: what began it stays named.
        if (result.rule !== "backing_off" || this.#lineFault === null) this.#lineFault = result.rule;
        // Never sent, these two say nothing of the device.
        if (result.rule !== "superseded" && result.rule !== "queue_full") this.#missed = true;
        return done(null, result.rule);
      }
      this.#lineFault = null;
      this.#heard();
      done(result.ok ? result.values : null, result.ok ? null : result.rule);
    });
  }

  /** It answers. After a silence, or over a new connection, it may know nothing of what it was told. */
  #heard(): void {
    const strange = this.#isStrange();
    const anew = this.#missed || strange;
    if (strange) this.#relearn();
    this.#answeredAt = this.#monotonic();
    this.#missed = false;
    this.#generation = this.#bus.generation;
    if (!anew) return;
    this.#written = null;
    this.#mismatchSince = null;
    // Where this is the answer to a write, that write is the one it needs.
    if (this.#writing !== "watchdog") this.#watchdogDue = true;
    if (this.#writing !== "setpoint" && this.#setpoint !== null) this.#due = true;
    this.#writeNext();
  }

  /** Not heard for long, or only over an earlier connection: it may have another firmware now. */
  #isStrange(): boolean {
    return this.#answeredAt === null || this.#generation !== this.#bus.generation
      || this.#monotonic() - this.#answeredAt >= DEVICE_OFFLINE_MS;
  }

  #relearn(): void {
    this.#split = false;
    this.#blocks = null;
    if (this.#sunSpec) this.#models = null;
  }

  // ---- Polling ----

  #poll(): void {
    if (this.#cycle || this.#closed) return;
    this.#cycle = true;
    this.#anyRead = false;
    this.#anyAnswer = false;
    // First what is still due: where only the reads go unanswered, they would take every turn of a unit in back-off.
    this.#writeNext();
    this.#readBlock(0);
  }

  #discover(step: SunSpecStep): void {
    if (step.kind === "done") {
      this.#models = step.models;
      this.#blocks = null;
      this.#words.clear();
      this.#readFault = null;
      return this.#readBlock(0);
    }
    if (step.kind === "fault") {
      this.#readFault = step.fault.rule;
      this.#cycle = false;
      return;
    }
    this.#ask({ function: 3, address: step.address, count: step.count }, (values, rule) => {
      // Only the device's own refusal says that nothing is there; a silence says nothing.
      if (values === null && (rule === null || !isDevicesWord(rule))) {
        this.#cycle = false;
        return;
      }
      this.#discover(sunspecNext(step, values));
    });
  }

  #readBlock(index: number): void {
    if (this.#models === null) return this.#discover(sunspecStart());
    const blocks = (this.#blocks ??= planReads(this.#split ? single(this.#profile) : this.#profile, this.#models));
    const block = blocks[index];
    if (block === undefined) return this.#cycleDone(blocks);
    if (this.#words.isSilent(block)) return this.#readBlock(index + 1);
    this.#ask(readRequest(block), (values, rule) => {
      if (values === null && (rule === null || !isDevicesWord(rule))) {
        // The bus leaves the unit alone for a while now; the next cycle goes without this block.
        if (rule !== null && wasAsked(rule)) this.#words.wentSilent(block, this.#monotonic());
        this.#cycle = false;
        return;
      }
      this.#anyAnswer = true;
      if (values === null) return this.#refused(block, rule, index);
      this.#anyRead = true;
      this.#words.store(block, values);
      this.#readBlock(index + 1);
    });
  }

  /** The device has no such register, or not now: the other quantities go on without it. */
  #refused(block: ReadBlock, rule: ModbusRule | null, index: number): void {
    this.#words.forget(block);
    this.#readFault = rule;
    if (rule === "exception_2" && !this.#split) {
      this.#split = true;
      this.#blocks = null;
      return this.#readBlock(0);
    }
    this.#readBlock(index + 1);
  }

  #cycleDone(blocks: readonly ReadBlock[]): void {
    if (!this.#anyAnswer && blocks.length > 0) {
      this.#words.noneAnswers();
      this.#cycle = false;
      return;
    }
    const anyRead = this.#anyRead || blocks.length === 0;
    // A feature that this model lacks is absent, not a fault, as long as the rest is there.
    if (anyRead) this.#readFault = null;
    const { quantities, whole } = this.#words.take(this.#profile, this.#models ?? NO_MODELS, blocks);
    this.#quantities = quantities;
    this.#readAt = this.#monotonic();
    this.#compare();
    this.#writeNext();
    // Half a meter is none: without a phase's power the sign of its current is unknown.
    if (anyRead && whole) this.#polled?.(quantities, this.#readAt);
    this.#probe(blocks);
  }

  /** Ends a cycle: one of the silent blocks is asked again, where it is time. */
  #probe(blocks: readonly ReadBlock[]): void {
    const block = this.#words.due(blocks, this.#monotonic());
    if (block === undefined) {
      this.#cycle = false;
      return;
    }
    this.#ask(readRequest(block), (_values, rule) => {
      this.#cycle = false;
      // Answered or refused, it is one of the next cycle's again.
      if (rule === null || isDevicesWord(rule)) this.#words.answered(block);
      else if (wasAsked(rule)) this.#words.wentSilent(block, this.#monotonic() + MODBUS_BACKOFF_MAX_MS);
    });
  }

  // ---- Writing ----

  #writeNext(): void {
    // Where the models are not known yet, nor is what to write: after the next poll cycle.
    if (this.#writing !== null || this.#closed || this.#models === null || (this.#sunSpec && this.#isStrange())) return;
    if (this.#due && this.#setpoint !== null) {
      const setpoint = this.#setpoint;
      const plan = planWrites(this.#profile, setpoint, this.#context());
      if (!plan.ok) {
        // Scale factors not read yet: again after each poll cycle. Before the first it is no fault.
        if (this.#quantities !== null) this.#writeFault = plan.fault.rule;
        return;
      }
      this.#due = false;
      this.#writing = "setpoint";
      return this.#writeFrom(plan.writes, 0, setpoint);
    }
    if (this.#watchdogDue && this.#safe !== null && this.#answeredAt !== null && !this.#missed) {
      const plan = planWatchdog(this.#profile, this.#safe, this.#context());
      if (!plan.ok) {
        if (this.#quantities !== null) this.#watchdogFault = `watchdog_${plan.fault.rule}`;
        return;
      }
      this.#watchdogDue = false;
      if (plan.writes.length === 0) return;
      this.#writing = "watchdog";
      this.#writeFrom(plan.writes, 0, null);
    }
  }

  /** `setpoint`: what these writes say; null = the watchdog's. */
  #writeFrom(writes: readonly PlannedWrite[], index: number, setpoint: Setpoint | null): void {
    const write = writes[index];
    if (write === undefined) return this.#writeDone(setpoint);
    this.#ask(writeRequest(write), (values, rule) => {
      if (values === null) return this.#writeFailed(rule, setpoint);
      // A newer setpoint does not wait for the rest of an older one.
      if (this.#due && setpoint !== null) {
        this.#writing = null;
        return this.#writeNext();
      }
      this.#writeFrom(writes, index + 1, setpoint);
    });
  }

  #writeFailed(rule: ModbusRule | null, setpoint: Setpoint | null): void {
    this.#writing = null;
    if (rule !== null && isDevicesWord(rule)) {
      // Refused: the core writes again within its rewrite period; hammering would not change it.
      if (setpoint === null) this.#watchdogFault = `watchdog_${rule}`;
      else this.#writeFault = rule;
      return this.#writeNext();
    }
    // Not there: #heard() or the next poll cycle writes it as soon as it answers.
    if (setpoint === null) this.#watchdogDue = true;
    else this.#due = true;
  }

  #writeDone(setpoint: Setpoint | null): void {
    this.#writing = null;
    if (setpoint === null) {
      this.#watchdogFault = null;
      return this.#writeNext();
    }
    this.#written = setpoint;
    this.#writeFault = null;
    // Refused before, perhaps only busy: once more with each command.
    if (this.#watchdogFault !== null) this.#watchdogDue = true;
    const block = this.#models === null ? null : planReadBack(this.#profile, this.#models);
    if (block !== null && !this.#due) {
      this.#ask(readRequest(block), (values) => {
        if (values === null) return;
        this.#words.store(block, values);
        this.#compare();
      });
    }
    this.#writeNext();
  }

  /** Whether the device holds what it was told; since when it does not. */
  #compare(): void {
    if (this.#written === null || this.#due || this.#writing !== null) return;
    const matches = matchesReadBack(this.#profile, this.#written, this.#said());
    if (matches === false) this.#mismatchSince ??= this.#monotonic();
    else if (matches === true) this.#mismatchSince = null;
  }
}
