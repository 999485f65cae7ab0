/**
 * Who may speak next on a Modbus line, and for how long a silent unit is left alone. No I/O and no
 * clock: `now` is handed in.
 *
 *   add ──► waiting (writes, then reads) ──choose──► in flight ──► answered
 *                 ▲                                     │ failed
 *                 └──── again, after the others ◄───────┤
 *                        back-off: one probe per interval ◄┘ retries spent
 *
 * A dead unit costs the others one timeout a turn while it is being retried, and after that one
 * attempt per back-off interval: units take turns, and only healthy units' writes jump the queue.
 */
import {
  MODBUS_BACKOFF_MAX_MS, MODBUS_BACKOFF_MIN_MS, MODBUS_QUEUE_MAX, MODBUS_UNITS_MAX,
} from "../constants.js";
import type { Millis } from "../units.js";
import { isWrite, sameRequest, writesTheSame } from "../wire/modbus.js";
import type { ModbusRequest, ModbusResult, ModbusRule } from "../wire/modbus.js";

export type ModbusCallback = (result: ModbusResult) => void;

export interface Job {
  readonly unit: Unit;
  readonly request: ModbusRequest;
  readonly callback: ModbusCallback;
  /** Attempts that have failed. */
  attempts: number;
  /** What the newest of them failed with. */
  rule: ModbusRule | null;
  /** Sent while the answer to the same request, sent before, may still come: one of the two is left over. */
  doubtful: boolean;
}

/** One unit identifier on the line. */
export interface Unit {
  readonly id: number;
  timeout: Millis;
  retries: number;
  readonly waiting: Job[];
  inFlight: boolean;
  /** Attempts without any answer, in a row. */
  failures: number;
  /** Present back-off; 0 = healthy. */
  backoff: Millis;
  backoffUntil: Millis;
  /** A request whose answer may still come, and until when it may. */
  late: ModbusRequest | null;
  lateUntil: Millis;
}

/** A job that is over, with its result: to be told to its callback on a later turn. */
export interface Finished {
  readonly job: Job;
  readonly result: ModbusResult;
}

export class ModbusQueue {
  readonly units: Unit[] = [];
  #finished: Finished[] = [];
  #turn = 0;
  #timeout: Millis;
  #retries: number;
  /** TCP has transaction ids, so late answers are known; RTU has not. */
  #answersHaveIds: boolean;

  constructor(options: { timeout: Millis; retries: number; answersHaveIds: boolean }) {
    this.#timeout = options.timeout;
    this.#retries = options.retries;
    this.#answersHaveIds = options.answersHaveIds;
  }

  /** The unit's state, made when first asked for; null where there are MODBUS_UNITS_MAX already. */
  unit(id: number): Unit | null {
    for (const unit of this.units) if (unit.id === id) return unit;
    if (this.units.length >= MODBUS_UNITS_MAX) return null;
    const unit: Unit = {
      id, timeout: this.#timeout, retries: this.#retries, waiting: [], inFlight: false,
      failures: 0, backoff: 0, backoffUntil: 0, late: null, lateUntil: 0,
    };
    this.units.push(unit);
    return unit;
  }

  /** What has ended since the last call, in order. */
  takeFinished(): Finished[] {
    const finished = this.#finished;
    this.#finished = [];
    return finished;
  }

  get hasFinished(): boolean { return this.#finished.length > 0; }

  finish(job: Job, result: ModbusResult): void {
    this.#finished.push({ job, result });
  }

  fail(job: Job, rule: ModbusRule): void {
    this.finish(job, { ok: false, rule });
  }

  /** Puts a job in line, or ends it at once. */
  add(job: Job, now: Millis): void {
    const { waiting } = job.unit;
    if (job.unit.backoff > 0 && (now < job.unit.backoffUntil)) return this.fail(job, "backing_off");
    if (isWrite(job.request)) {
      for (let i = 0; i < waiting.length; i++) {
        const older = waiting[i]!;
        if (!writesTheSame(older.request, job.request)) continue;
        // The newest setpoint takes the place of the one that has not been sent yet.
        waiting[i] = job;
        return this.fail(older, "superseded");
      }
      if (waiting.length >= MODBUS_QUEUE_MAX) {
        const last = waiting[waiting.length - 1]!;
        if (isWrite(last.request)) return this.fail(job, "queue_full");
        waiting.pop();
        this.fail(last, "queue_full");
      }
      insert(waiting, job, countWrites(waiting));
      return;
    }
    if (waiting.length >= MODBUS_QUEUE_MAX) return this.fail(job, "queue_full");
    waiting.push(job);
  }

  /** The job to send now, null where none may be. It is in flight until answered() or failedAttempt(). */
  choose(now: Millis): Job | null {
    const count = this.units.length;
    for (let pass = 0; pass < 2; pass++) {
      for (let i = 0; i < count; i++) {
        const index = (this.#turn + i) % count;
        const unit = this.units[index]!;
        const job = unit.waiting[0];
        if (job === undefined || unit.inFlight || readyAt(unit, job.request) > now) continue;
        const first = isWrite(job.request) && unit.failures === 0 && unit.backoff === 0;
        if (pass === 0 && !first) continue;
        unit.waiting.shift();
        unit.inFlight = true;
        job.doubtful = unit.late !== null && now < unit.lateUntil && sameRequest(unit.late, job.request);
        this.#turn = (index + 1) % count;
        return job;
      }
    }
    return null;
  }

  /** When choose() will have a job, if nothing else happens; null = none waits. */
  next(now: Millis): Millis | null {
    let at: Millis | null = null;
    for (const unit of this.units) {
      const job = unit.waiting[0];
      if (job === undefined || unit.inFlight) continue;
      const ready = Math.max(now, readyAt(unit, job.request));
      if (at === null || ready < at) at = ready;
    }
    return at;
  }

  /** The device said something: values or an exception. `deadline`: when this attempt would have failed. */
  answered(job: Job, result: ModbusResult, deadline: Millis): void {
    const { unit } = job;
    unit.inFlight = false;
    unit.failures = 0;
    unit.backoff = 0;
    // It may have been the late answer to the earlier one: then this one's is still to come.
    if (job.doubtful) this.#expectLate(job, deadline);
    this.finish(job, result);
  }

  /** No answer, or none that fits. The job stays in line until its retries are spent. */
  failedAttempt(job: Job, rule: ModbusRule, deadline: Millis, now: Millis): void {
    const { unit } = job;
    unit.inFlight = false;
    unit.failures++;
    job.attempts++;
    job.rule = rule;
    this.#expectLate(job, deadline);
    // While backing off there is one quick attempt only.
    if (unit.backoff === 0 && job.attempts <= unit.retries) {
      this.#again(job);
      return;
    }
    unit.backoff = unit.backoff === 0 ? MODBUS_BACKOFF_MIN_MS : Math.min(unit.backoff * 2, MODBUS_BACKOFF_MAX_MS);
    unit.backoffUntil = now + unit.backoff;
    this.fail(job, rule);
    for (const waiting of unit.waiting) this.fail(waiting, waiting.rule ?? "backing_off");
    unit.waiting.length = 0;
  }

  /** Ends everything that waits; those in flight are the caller's. */
  dropAll(rule: ModbusRule): void {
    for (const unit of this.units) {
      for (const job of unit.waiting) this.fail(job, job.rule ?? rule);
      unit.waiting.length = 0;
      unit.inFlight = false;
    }
  }

  #again(job: Job): void {
    const { waiting } = job.unit;
    if (isWrite(job.request)) {
      // A newer setpoint may have come in the meantime: then the older is not sent again.
      for (const newer of waiting) if (writesTheSame(newer.request, job.request)) return this.fail(job, "superseded");
      insert(waiting, job, 0);
    } else {
      insert(waiting, job, countWrites(waiting));
    }
  }

  #expectLate(job: Job, deadline: Millis): void {
    if (this.#answersHaveIds) return;
    job.unit.late = job.request;
    job.unit.lateUntil = deadline + job.unit.timeout;
  }
}

/** When `request` may be sent to the unit without a late answer being taken for its own. */
function readyAt(unit: Unit, request: ModbusRequest): Millis {
  // An exception says no more than its function. A repetition's late answer is as good as its own.
  if (unit.late === null || unit.late.function !== request.function || sameRequest(unit.late, request)) return 0;
  return unit.lateUntil;
}

function countWrites(waiting: readonly Job[]): number {
  let count = 0;
  while (count < waiting.length && isWrite(waiting[count]!.request)) count++;
  return count;
}

function insert(list: Job[], job: Job, at: number): void {
  list.push(job);
  for (let i = list.length - 1; i > at; i--) list[i] = list[i - 1]!;
  list[at] = job;
}
