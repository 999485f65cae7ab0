/**
 * What a technician writes beside the image (`npm run flash`), each as text in a partition of its
 * own that no update touches: `site` (site.json), `wifi` (two lines: name, password), `authority`
 * (PEM of the broker's authority). Text ends where the flash is erased.
 */
import flash from "embedded:storage/flash";

export type SettingName = "site" | "wifi" | "authority";

const PIECE = 512;
const ERASED = 0xff;

/** Null where the partition is absent or empty. */
export function readSetting(name: SettingName): Uint8Array | null {
  let partition;
  try {
    partition = flash.open({ path: name, mode: "r" });
  } catch {
    return null;
  }
  try {
    const { blocks, blockLength } = partition.status();
    const all = blocks * blockLength;
    const length = textLength(partition, all);
    return length === 0 ? null : new Uint8Array(partition.read(length, 0));
  } finally {
    partition.close();
  }
}

function textLength(partition: { read(length: number, offset: number): ArrayBuffer }, all: number): number {
  for (let offset = 0; offset < all; offset += PIECE) {
    const piece = new Uint8Array(partition.read(Math.min(PIECE, all - offset), offset));
    const end = piece.indexOf(ERASED);
    if (end >= 0) return offset + end;
  }
  return all;
}
