/**
 * A pin with two sides. The controller's side is the Digital of hal/node (`virtual:NAME`) or
 * hal/sim; the outside (a test, the emulated relay board) drives inputs, watches outputs and makes
 * the pin fail. Levels here are electrical: `activeLow` belongs to the Digital.
 */
export class VirtualPin {
  #level: 0 | 1 = 0;
  #observers: ((level: 0 | 1) => void)[] = [];
  /** A pin that cannot be read: `read()` throws, as an I2C expander's that has fallen off its bus. */
  unreadable = false;
  unwritable = false;
  /** Welded contact: writes are taken and change nothing. */
  stuck = false;
  /** The level an output falls to when the controller loses power. */
  idle: 0 | 1 = 0;

  get level(): 0 | 1 {
    return this.#level;
  }

  /** From outside: the level on the wire. */
  drive(level: 0 | 1): void {
    if (level === this.#level) return;
    this.#level = level;
    for (const observer of this.#observers.slice()) observer(level);
  }

  /** From the controller. */
  set(level: 0 | 1): void {
    if (this.unwritable) throw new Error("pin cannot be written");
    if (!this.stuck) this.drive(level);
  }

  get(): 0 | 1 {
    if (this.unreadable) throw new Error("pin cannot be read");
    return this.#level;
  }

  /** Calls at each change, at once; gives the function that ends it. */
  observe(observer: (level: 0 | 1) => void): () => void {
    this.#observers.push(observer);
    return () => {
      this.#observers = this.#observers.filter((one) => one !== observer);
    };
  }
}

/** Pins by name, made when first asked for. */
export class VirtualPins {
  #pins = new Map<string, VirtualPin>();

  /** The controller has lost power: it drives no output any more. */
  release(names: Iterable<string | number>): void {
    for (const name of names) {
      const pin = this.get(name);
      if (!pin.stuck) pin.drive(pin.idle);
    }
  }

  get(name: string | number): VirtualPin {
    const key = String(name);
    let pin = this.#pins.get(key);
    if (!pin) this.#pins.set(key, (pin = new VirtualPin()));
    return pin;
  }
}
