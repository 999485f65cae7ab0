import { Encoder } from "cbor-x";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CBOR_ARRAY, CBOR_BYTES, CBOR_MAP, CBOR_NEGATIVE, CBOR_TEXT, CBOR_UINT, CborReader, checkCbor, headLength, writeHead } from "../../src/wire/cbor.js";

const runs = (count: number) => ({ numRuns: count * Number(process.env["VANGNET_RUNS"] ?? 1) });
const encoder = new Encoder({ useRecords: false, mapsAsObjects: false, tagUint8Array: false, variableMapSize: true, structuredClone: false });
const encode = (value: unknown) => new Uint8Array(encoder.encode(value));
const hex = (text: string) => new Uint8Array(Buffer.from(text.replaceAll(" ", ""), "hex"));
const check = (text: string, depth = 6) => {
  const bytes = hex(text);
  const fault = checkCbor(bytes, 0, bytes.length, depth);
  return fault === null ? null : `${fault.fault} @${fault.offset}`;
};

type Value = number | string | null | boolean | Uint8Array | Value[] | Map<number | string, Value>;

/** Builds a tree with the reader: what cbor-x wrote must come out again. */
function read(reader: CborReader): Value {
  expect(reader.head()).toBe(true);
  const { major, value } = reader;
  if (major === CBOR_UINT) return value;
  if (major === CBOR_NEGATIVE) return -1 - value;
  if (major === CBOR_BYTES || major === CBOR_TEXT) {
    const bytes = reader.bytes.slice(reader.at, reader.at + value);
    reader.at += value;
    return major === CBOR_BYTES ? bytes : Buffer.from(bytes).toString("ascii");
  }
  if (major === CBOR_ARRAY) return Array.from({ length: value }, () => read(reader));
  if (major === CBOR_MAP) return new Map(Array.from({ length: value }, () => [read(reader) as number | string, read(reader)]));
  return value === 22 ? null : value === 21;
}

/** cbor-x's own form is the deterministic one but for the order of keys and integers from 2^32. */
function canonical(value: Value): unknown {
  if (typeof value === "number") return Math.abs(value) > 0xffff_ffff ? BigInt(value) : value;
  if (Array.isArray(value)) return value.map(canonical);
  if (!(value instanceof Map)) return value;
  return new Map([...value].map(([key, item]) => [canonical(key), canonical(item)] as const)
    .sort(([a], [b]) => Buffer.compare(encode(a), encode(b))));
}

const integer = fc.oneof(fc.integer({ min: -70_000, max: 70_000 }), fc.maxSafeInteger());
const ascii = fc.string({ unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)), maxLength: 40 });
const tree = fc.letrec<{ value: Value }>((tie) => ({
  value: fc.oneof({ maxDepth: 4, depthSize: "small" }, integer, ascii, fc.constant(null), fc.boolean(), fc.uint8Array({ maxLength: 300 }),
    fc.array(tie("value"), { maxLength: 30 }), fc.array(fc.tuple(fc.oneof(integer, ascii), tie("value")), { maxLength: 30 }).map((pairs) => new Map(pairs))),
})).value;

describe("agreement with cbor-x", () => {
  test("what it writes, we read alike", () => {
    fc.assert(fc.property(tree, (value) => {
      const bytes = encode(canonical(value));
      expect(checkCbor(bytes, 0, bytes.length, 6)).toBeNull();
      const reader = new CborReader(bytes);
      expect(read(reader)).toEqual(value);
      expect(reader.at).toBe(bytes.length);
    }), runs(300));
  });

  test("every integer takes one form, and each of its longer forms is refused", () => {
    fc.assert(fc.property(integer, (value) => {
      const bytes = encode(canonical(value));
      const reader = new CborReader(bytes);
      expect(reader.head()).toBe(true);
      expect(reader.major === CBOR_UINT ? reader.value : -1 - reader.value).toBe(value);
      const major = bytes[0]! & 0xe0, argument = BigInt(value < 0 ? -1 - value : value);
      for (const width of [1, 2, 4, 8]) {
        if (width < bytes.length || argument >= 1n << BigInt(8 * width)) continue;
        const long = new Uint8Array(1 + width);
        long[0] = major | (24 + Math.log2(width));
        for (let i = 0; i < width; i++) long[width - i] = Number((argument >> BigInt(8 * i)) & 0xffn);
        expect(checkCbor(long, 0, long.length, 6)).toEqual({ fault: "not the shortest form", offset: 0 });
      }
    }), runs(300));
  });

  test("random bytes never throw, and what passes is what cbor-x writes for it", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      if (checkCbor(bytes, 0, bytes.length, 6) === null) expect(encode(canonical(read(new CborReader(bytes))))).toEqual(bytes);
    }), runs(2_000));
  });

  test("cut anywhere, it is refused", () => {
    fc.assert(fc.property(tree, fc.nat(), (value, seed) => {
      const bytes = encode(canonical(value));
      const end = seed % bytes.length;
      expect(checkCbor(bytes, 0, end, 6)).not.toBeNull();
    }), runs(200));
  });
});

describe("what deterministic CBOR forbids", () => {
  test.each([
    ["an array of indefinite length", "9f 01 ff", "indefinite length @0"],
    ["a map of indefinite length", "bf 01 02 ff", "indefinite length @0"],
    ["bytes of indefinite length", "5f 41 00 ff", "indefinite length @0"],
    ["a break by itself", "82 01 ff", "indefinite length @2"],
    ["a half float", "f9 3c 00", "float @0"],
    ["a float", "fa 3f 80 00 00", "float @0"],
    ["a double", "81 fb 3f f0 00 00 00 00 00 00", "float @1"],
    ["undefined", "f7", "simple value @0"],
    ["a one-byte simple value", "f8 20", "simple value @0"],
    ["reserved additional information", "1c", "reserved @0"],
    ["a tag", "81 c0 61 30", "tag @1"],
    ["a duplicate key", "a2 01 01 01 02", "duplicate key @3"],
    ["keys out of order", "a2 02 01 01 02", "keys not sorted @3"],
    ["a longer key before a shorter one", "a2 18 18 01 20 02", null],
    ["a text key before an integer key", "a2 61 61 01 01 02", "keys not sorted @4"],
    ["an array as a key", "a1 81 01 02", "key type @1"],
    ["null as a key", "a1 f6 02", "key type @1"],
    ["bytes after the item", "01 02", "trailing bytes @1"],
    ["nothing", "", "truncated @0"],
    ["a length beyond the bytes", "5a ff ff ff ff 00", "truncated @0"],
    ["a count beyond the bytes", "9a 7f ff ff ff 00", "truncated @0"],
    ["a map with half its last pair", "a2 01 02 03", "truncated @0"],
    ["2^53", "1b 00 20 00 00 00 00 00 00", "integer beyond 2^53 @0"],
    ["2^64 - 1", "1b ff ff ff ff ff ff ff ff", "integer beyond 2^53 @0"],
    ["2^53 - 1", "1b 00 1f ff ff ff ff ff ff", null],
    ["-2^53", "3b 00 1f ff ff ff ff ff ff", "integer beyond 2^53 @0"],
    ["-(2^53 - 1)", "3b 00 1f ff ff ff ff ff fe", null],
    ["a line break in a text", "62 61 0a", "text not ASCII @2"],
    ["UTF-8 beyond ASCII", "62 c3 a9", "text not ASCII @1"],
  ])("%s", (_name, text, expected) => expect(check(text)).toBe(expected));

  test("depth: 6 arrays pass, 7 do not, 100,000 take no longer than the bound", () => {
    expect(check("81 81 81 81 81 81 01")).toBeNull();
    expect(check("81 81 81 81 81 81 80")).toBe("too deep @6");
    const bytes = new Uint8Array(100_000).fill(0x81);
    expect(checkCbor(bytes, 0, bytes.length, 6)).toEqual({ fault: "too deep", offset: 6 });
  });
});

describe("the reader", () => {
  test("the first fault sticks and nothing moves after it", () => {
    const reader = new CborReader(hex("20 05 43 01 02 03"));
    expect(reader.uint(10)).toBe(0);
    expect([reader.fault, reader.offset]).toEqual(["negative", 0]);
    expect([reader.uint(10), reader.text(9), reader.array(0, 9), reader.byteString(0, 9).length]).toEqual([0, "", 0, 0]);
    expect([reader.fault, reader.offset]).toEqual(["negative", 0]);
  });

  test("0 and null are two things", () => {
    const reader = new CborReader(hex("00 f6 00"));
    expect([reader.uintOrNull(9), reader.uintOrNull(9), reader.uintOrNull(9)]).toEqual([0, null, 0]);
    expect(reader.fault).toBeNull();
    const past = new CborReader(hex("f6"), 0, 0);
    expect(past.uintOrNull(9)).toBe(0);
    expect(past.fault).toBe("truncated");
  });

  test("bounds of the caller", () => {
    const faultOf = (use: (reader: CborReader) => unknown, text: string) => { const reader = new CborReader(hex(text)); use(reader); return reader.fault; };
    expect(faultOf((r) => r.uint(9), "0a")).toBe("out of range");
    expect(faultOf((r) => r.byteString(4, 8), "43 01 02 03")).toBe("wrong length");
    expect(faultOf((r) => r.byteString(0, 2), "43 01 02 03")).toBe("wrong length");
    expect(faultOf((r) => r.text(2), "63 61 61 61")).toBe("wrong length");
    expect(faultOf((r) => r.text(2), "42 61 61")).toBe("wrong type");
    expect(faultOf((r) => r.array(1, 2), "80")).toBe("wrong length");
    expect(faultOf((r) => r.map(1), "a0")).toBe("unknown or missing key");
    expect(faultOf((r) => r.key(4), "03")).toBe("unknown or missing key");
    expect(faultOf((r) => r.key(-65537), "3a 00 01 00 00")).toBeNull();
    expect(faultOf((r) => r.tag(18), "d1 80")).toBe("tag");
    expect(faultOf((r) => r.uint(9), "f6")).toBe("wrong type");
  });

  test("heads that we write are cbor-x's", () => {
    for (const length of [0, 1, 23, 24, 255, 256, 65_535]) {
      const bytes = encode(new Uint8Array(length)), head = new Uint8Array(headLength(length));
      expect(writeHead(head, 0, CBOR_BYTES, length)).toBe(head.length);
      expect(head).toEqual(bytes.slice(0, bytes.length - length));
    }
  });
});
