import { describe, expect, it } from "vitest";
import { crc16, crcX25 } from "../../src/wire/crc16.js";

const check = new TextEncoder().encode("123456789");

describe("CRC-16", () => {
  it("ARC: the check value of the catalogue, BB3D", () => expect(crc16(check, 0, 9, 0)).toBe(0xbb3d));
  it("Modbus: the same polynomial from 0xFFFF, 4B37", () => expect(crc16(check, 0, 9, 0xffff)).toBe(0x4b37));
  it("X-25: 906E", () => expect(crcX25(check, 0, 9)).toBe(0x906e));
  it("covers start to end - 1 only", () => {
    const framed = new TextEncoder().encode("xx123456789yy");
    expect(crc16(framed, 2, 11, 0)).toBe(0xbb3d);
    expect(crc16(framed, 4, 4, 0)).toBe(0);
  });
});
