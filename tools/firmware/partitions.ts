/** A board's partition table, as the IDF's gen_esp32part.py reads it, without its conveniences. */
export interface Partition {
  readonly name: string;
  readonly type: string;
  readonly subtype: string;
  readonly offset: number;
  readonly size: number;
}

export function parsePartitions(csv: string): Partition[] {
  return csv.split("\n").map((line) => line.trim()).filter((line) => line !== "" && !line.startsWith("#")).map((line) => {
    const [name = "", type = "", subtype = "", offset = "", size = ""] = line.split(",").map((cell) => cell.trim());
    return { name, type, subtype, offset: Number(offset), size: Number(size) };
  });
}
