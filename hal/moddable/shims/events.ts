/** What mqtt-packet asks of Node's `events`. One listener an event is all the parser ever gets. */
type Listener = (...values: unknown[]) => void;

export class EventEmitter {
  #names: string[] = [];
  #listeners: Listener[] = [];

  on(name: string, listener: Listener): this {
    this.#names.push(name);
    this.#listeners.push(listener);
    return this;
  }

  emit(name: string, value?: unknown): boolean {
    let heard = false;
    for (let i = 0; i < this.#names.length; i++) {
      if (this.#names[i] !== name) continue;
      heard = true;
      this.#listeners[i]!(value);
    }
    return heard;
  }
}
