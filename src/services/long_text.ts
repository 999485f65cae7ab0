/**
 * A text that may be longer than one value of the store, replaced whole: a power cut at any write
 * leaves the old text or the new one. Short texts stand under the key itself; longer ones in pieces
 * `KEY.a0`, `KEY.a1` … or `KEY.b0` …, which take turns, and the key names the set in force.
 */
import { LONG_TEXT_PIECES_MAX, STORE_VALUE_BYTES_MAX } from "../constants.js";
import type { Store } from "./store.js";

const PIECE = STORE_VALUE_BYTES_MAX - 16;

export type LoadedText = { readonly kind: "absent" } | { readonly kind: "text"; readonly text: string } | { readonly kind: "corrupt" };

/** ASCII only, as all our own texts are. False where the store refused: the old text still stands. */
export function writeLong(store: Store, key: string, text: string): boolean {
  if (text.length <= PIECE) return store.writeText(key, `=${text}`);
  const count = Math.ceil(text.length / PIECE);
  if (count > LONG_TEXT_PIECES_MAX) return false;
  const before = store.readText(key);
  const set = before !== null && before.startsWith("a") ? "b" : "a";
  for (let i = 0; i < count; i++) {
    if (!store.writeText(`${key}.${set}${i}`, text.slice(i * PIECE, (i + 1) * PIECE))) return false;
  }
  return store.writeText(key, `${set}${count}`);
}

export function readLong(store: Store, key: string): LoadedText {
  const loaded = store.load(key);
  if (loaded.kind !== "value") return loaded;
  const head = store.readText(key);
  if (head === null) return { kind: "corrupt" };
  if (head.startsWith("=")) return { kind: "text", text: head.slice(1) };
  const set = head[0];
  const count = Number(head.slice(1));
  if ((set !== "a" && set !== "b") || !Number.isInteger(count) || count < 1 || count > LONG_TEXT_PIECES_MAX) return { kind: "corrupt" };
  let text = "";
  for (let i = 0; i < count; i++) {
    const piece = store.readText(`${key}.${set}${i}`);
    if (piece === null) return { kind: "corrupt" };
    text += piece;
  }
  return { kind: "text", text };
}
