/** embedded:storage/key-value over the SDK's, which is the IDF's NVS: each write is atomic and committed when it returns. */
import storage, { type Store } from "embedded:storage/key-value";
import type { Bytes, KeyValueStore } from "../../ecma419.js";

export class KeyValue implements KeyValueStore {
  #store: Store | null;

  constructor(path: string) {
    this.#store = storage.open({ path });
  }

  get #open(): Store {
    if (this.#store === null) throw new Error("storage is closed");
    return this.#store;
  }

  read(key: string): ArrayBuffer | undefined { return this.#open.read(key); }
  write(key: string, value: Bytes): void { this.#open.write(key, value); }
  delete(key: string): void { this.#open.delete(key); }

  keys(): string[] {
    const names: string[] = [];
    for (const name of this.#open) names.push(name);
    return names.sort();
  }

  close(): void {
    this.#store?.close();
    this.#store = null;
  }
}
