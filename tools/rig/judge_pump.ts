/** Two contacts of a heat pump, by the clock of the world: 3 blocks and 2 h in any 24 h, 10 min each and apart. */
const DAY = 86_400_000;
const MINUTE = 60_000;

interface Block { from: number; to: number | null; excused: boolean }

export class PumpWatch {
  readonly id: string;
  #blocks: Block[] = [];
  #state = 2;
  #told = new Set<string>();

  constructor(id: string) {
    this.id = id;
  }

  /** `excused`: this move is not the controller's. */
  moved(now: number, one: 0 | 1, two: 0 | 1, excused: boolean, emergency: boolean, clockWrong: boolean): string[] {
    const before = this.#state;
    this.#state = one ? (two ? 4 : 1) : two ? 3 : 2;
    const found: string[] = [];
    if (this.#state === 4 && !excused) found.push("forced on (1:1), which nobody asks for");
    const open = this.#blocks.at(-1);
    if (before === 1 && this.#state !== 1 && open !== undefined && open.to === null) {
      open.to = now;
      if (!excused && !open.excused && now - open.from < 10 * MINUTE - 100) found.push(`unblocked after ${now - open.from} ms`);
    }
    if (this.#state === 1 && before !== 1) {
      const recent = this.#blocks.filter(({ to }) => to === null || to > now - DAY);
      if (!excused) {
        if (open && open.to !== null && !open.excused && now - open.to < 10 * MINUTE - 100) found.push(`blocked again ${now - open.to} ms after the last block`);
        if (recent.length >= 3) found.push(`block ${recent.length + 1} in 24 h`);
        if (recent.length >= 2 && !emergency && !clockWrong) found.push("the reserved block spent without emergency");
      }
      this.#blocks.push({ from: now, to: null, excused });
    }
    return found;
  }

  second(now: number, emergency: boolean, clockWrong: boolean): string[] {
    const open = this.#blocks.at(-1);
    if (open === undefined || open.to !== null || open.excused) return [];
    const used = this.#blocks.reduce((sum, { from, to }) => sum + Math.max(0, (to ?? now) - Math.max(from, now - DAY)), 0);
    if (used > 120 * MINUTE) return this.#once(`${open.from} total`, `blocked for ${used} ms in 24 h`);
    if (used > 90 * MINUTE + 1_000 && now - open.from > 10 * MINUTE && !emergency && !clockWrong) return this.#once(`${open.from} reserve`, `the reserved 30 min spent without emergency, ${used} ms`);
    return [];
  }

  /** Without power both contacts are open. */
  power(on: boolean): void {
    const open = this.#blocks.at(-1);
    if (on || open === undefined || open.to !== null) return;
    open.excused = true;
  }

  #once(key: string, detail: string): string[] {
    if (this.#told.has(key)) return [];
    this.#told.add(key);
    return [detail];
  }
}
