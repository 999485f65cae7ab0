/**
 * What one device's registers last said, and which of its read blocks go unanswered: services/device.ts
 * asks, this remembers. With it the requests that a plan's blocks and writes become.
 */
import type { PlannedWrite, Quantities, ReadBlock } from "../actuation/plan.js";
import { readQuantities } from "../actuation/plan.js";
import type { Profile, Register, RegisterTable } from "../actuation/profile.js";
import { wireAddress } from "../actuation/registers.js";
import type { ModelMap } from "../actuation/sunspec.js";
import type { Millis } from "../units.js";
import type { ModbusRequest, ModbusRule } from "../wire/modbus.js";

export class DeviceWords {
  #words = new Map<number, number>();
  /** Blocks that went unanswered, by their first word, and when each is to be asked again. */
  #silent = new Map<number, Millis>();
  /** Those that the last cycle went without: their words are old. */
  #unread: readonly ReadBlock[] = [];

  store(block: ReadBlock, values: readonly number[]): void {
    for (let i = 0; i < values.length; i++) this.#words.set(wordKey(block.table, block.start + i), values[i]!);
  }

  forget(block: ReadBlock): void {
    for (let i = 0; i < block.count; i++) this.#words.delete(wordKey(block.table, block.start + i));
  }

  clear(): void { this.#words.clear(); }

  /** The newest word, however old: what a write needs (scale factors, rated power) does not age. */
  newest(table: RegisterTable, address: number): number | null {
    return this.#words.get(wordKey(table, address)) ?? null;
  }

  /** What the device says now: nothing of the blocks that the last cycle went without. */
  said(table: RegisterTable, address: number): number | null {
    return this.#isUnread(table, address) ? null : this.newest(table, address);
  }

  #isUnread(table: RegisterTable, address: number): boolean {
    return this.#unread.some((block) => block.table === table && address >= block.start && address < block.start + block.count);
  }

  // ---- Silent blocks ----

  isSilent(block: ReadBlock): boolean { return this.#silent.has(keyOf(block)); }
  wentSilent(block: ReadBlock, askAgain: Millis): void { this.#silent.set(keyOf(block), askAgain); }
  answered(block: ReadBlock): void { this.#silent.delete(keyOf(block)); }
  /** No block answers: it is the device, and no block is worse than another. */
  noneAnswers(): void { this.#silent.clear(); }
  /** The first that is to be asked again. */
  due(blocks: readonly ReadBlock[], now: Millis): ReadBlock | undefined {
    return blocks.find((block) => now >= (this.#silent.get(keyOf(block)) ?? Infinity));
  }

  /** Ends a cycle over `blocks`: what it read, and whether none of them was silent. */
  take(profile: Profile, models: ModelMap, blocks: readonly ReadBlock[]): { quantities: Quantities; whole: boolean } {
    this.#unread = blocks.filter((block) => this.isSilent(block));
    const quantities = readQuantities(profile, models, (table, address) => this.said(table, address));
    const whole = this.#unread.length === 0;
    return { quantities: this.#isSumPartial(profile, models) ? { ...quantities, power: null } : quantities, whole };
  }

  /** The power is the sum of the phases, and one of them went unanswered: that is not 0 W. */
  #isSumPartial({ read }: Profile, models: ModelMap): boolean {
    const isMissing = (register: Register | undefined): boolean => {
      const address = register === undefined ? null : wireAddress(register, models);
      return address !== null && this.#isUnread(register!.table, address);
    };
    return read.power === undefined && (isMissing(read.power_l1) || isMissing(read.power_l2) || isMissing(read.power_l3));
  }
}

const TABLES: readonly RegisterTable[] = ["holding", "input", "coil"];
const wordKey = (table: RegisterTable, address: number): number => TABLES.indexOf(table) * 0x10000 + address;
const keyOf = (block: ReadBlock): number => wordKey(block.table, block.start);

/** An exception is the device's own answer, except where a gateway answers for a silent one. */
export function isDevicesWord(rule: ModbusRule): boolean {
  return rule.startsWith("exception_") && rule !== "exception_10" && rule !== "exception_11";
}

/** Whether the request went out and was not answered; else nothing is said of its registers. */
export const wasAsked = (rule: ModbusRule): boolean =>
  rule !== "backing_off" && rule !== "disconnected" && rule !== "superseded" && rule !== "queue_full" && rule !== "refused";

export function readRequest(block: ReadBlock): ModbusRequest {
  return { function: block.table === "coil" ? 1 : block.table === "input" ? 4 : 3, address: block.start, count: block.count };
}

export function writeRequest(write: PlannedWrite): ModbusRequest {
  const { address, words } = write;
  switch (write.function) {
    case 5: return { function: 5, address, value: words[0] !== 0 };
    case 6: return { function: 6, address, value: words[0] ?? 0 };
    case 16: return { function: 16, address, values: words };
  }
}

/** The same profile, one value a read: a refused register then takes no neighbour with it. */
export const single = (profile: Profile): Profile => ({ ...profile, readMax: 1, readGap: 0 });
