import fc from "fast-check";
import { expect, test } from "vitest";
import { toJson } from "../../src/services/json.js";

/** Frozen through and through, as a preloaded constant is. */
function frozen<T>(value: T): T {
  if (typeof value === "object" && value !== null) {
    for (const child of Object.values(value)) frozen(child);
    Object.freeze(value);
  }
  return value;
}

/** As XS does it: what is frozen cannot be marked, so it cannot be written. */
function refusing(): () => void {
  const real = JSON.stringify;
  JSON.stringify = ((value: unknown, replacer?: (key: string, value: unknown) => unknown) =>
    real(value, (key, inner: unknown) => {
      const written = replacer === undefined ? inner : replacer(key, inner);
      if (typeof written === "object" && written !== null && Object.isFrozen(written) && Object.keys(written).length > 0) throw new TypeError("read only value");
      return written;
    })) as typeof JSON.stringify;
  return () => { JSON.stringify = real; };
}

test("what is preloaded is written as what is not", () => {
  fc.assert(fc.property(fc.jsonValue({ maxDepth: 4 }), (value) => {
    const expected = JSON.stringify(value);
    const restore = refusing();
    try {
      expect(toJson(frozen(value))).toBe(expected);
    } finally {
      restore();
    }
  }));
});

test("a preloaded constant inside a fresh object", () => {
  const restore = refusing();
  try {
    expect(() => JSON.stringify({ setpoint: frozen({ kind: "off" }) })).toThrow("read only value");
    expect(toJson({ setpoint: frozen({ kind: "off", list: [1, { a: null }] }) })).toBe('{"setpoint":{"kind":"off","list":[1,{"a":null}]}}');
  } finally {
    restore();
  }
});
