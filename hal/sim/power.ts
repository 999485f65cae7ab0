/** Counts what reaches a platform's flash, and cuts the power in the middle of the n-th write. */

/** Ends the turn that was running when the power went. No service may go on after it. */
export class PowerCut extends Error {
  override name = "PowerCut";
}

export class Power {
  /** Writes, deletes, moves and flushes since the world began. */
  writes = 0;
  /** The write in which the power goes; null: never. */
  cutAtWrite: number | null = null;
  off = false;
  /** Set by the platform: what else dies. */
  onCut: () => void = () => {};

  /** Before each write: true where the power goes in this one. */
  begin(): boolean {
    this.check();
    this.writes++;
    return this.cutAtWrite !== null && this.writes >= this.cutAtWrite;
  }

  /** Whoever caught the PowerCut and goes on finds everything dead. */
  check(): void {
    if (this.off) throw new PowerCut("no power");
  }

  cut(): never {
    this.cutAtWrite = null;
    this.onCut();
    throw new PowerCut("power cut");
  }
}
