import { describe, expect, test } from "vitest";
import { signatureInRange } from "../../src/wire/p256.js";

const N = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
const word = (value: bigint) => value.toString(16).padStart(64, "0");
const inRange = (r: bigint, s: bigint) => signatureInRange(new Uint8Array(Buffer.from(word(r) + word(s), "hex")));

describe("0 < r < n and 0 < s < n", () => {
  const good = [1n, 2n, 255n, 256n, N / 2n, N / 2n + 1n, N - 256n, N - 1n];
  const bad = [0n, N, N + 1n, N + 256n, 2n ** 256n - 1n];
  test("every good pair", () => { for (const r of good) for (const s of good) expect(inRange(r, s), `${r} ${s}`).toBe(true); });
  test("every bad r and every bad s", () => {
    for (const wrong of bad) for (const right of good) {
      expect(inRange(wrong, right), `r ${wrong}`).toBe(false);
      expect(inRange(right, wrong), `s ${wrong}`).toBe(false);
    }
  });
  test("around n, byte by byte", () => {
    for (let shift = 0n; shift < 256n; shift += 8n) {
      expect(inRange(N - (1n << shift), 1n)).toBe(true);
      const above = N + (1n << shift);
      if (above < 1n << 256n) expect(inRange(above, 1n)).toBe(false);
    }
  });
  test("other lengths", () => {
    expect(signatureInRange(new Uint8Array(63).fill(1))).toBe(false);
    expect(signatureInRange(new Uint8Array(65).fill(1))).toBe(false);
  });
});
