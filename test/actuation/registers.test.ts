import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { RegisterType, RegisterWrite } from "../../src/actuation/profile.js";
import { decodeRegister, encodeRegister, registerCount, type Words } from "../../src/actuation/registers.js";
import { modelAddress, NO_MODELS, sunspecNext, sunspecStart, type ModelMap } from "../../src/actuation/sunspec.js";

const runs = Number(process.env["VANGNET_RUNS"] ?? 1) * 300;
const wordsAt = (start: number, list: readonly number[]): Words => (_, address) => list[address - start] ?? null;
const decode = (register: Partial<RegisterWrite> & { type: RegisterType }, list: readonly number[], models: ModelMap = NO_MODELS) =>
  decodeRegister({ table: "holding", address: 0, ...register }, models, wordsAt(0, list));
const value = (milli: number) => ({ kind: "value", milli });

describe("registers", () => {
  it("decodes each type", () => {
    expect(decode({ type: "u16" }, [0xffff])).toEqual(value(65_535_000));
    expect(decode({ type: "i16" }, [0xffff])).toEqual(value(-1_000));
    expect(decode({ type: "u32" }, [0x0001, 0x0000])).toEqual(value(65_536_000));
    expect(decode({ type: "u32", wordOrder: "little" }, [0x0000, 0x0001])).toEqual(value(65_536_000));
    expect(decode({ type: "i32", scale: -3 }, [0xffff, 0xfc18])).toEqual(value(-1_000));
    expect(decode({ type: "u64" }, [0, 0, 0x0001, 0xe240])).toEqual(value(123_456_000));
    expect(decode({ type: "f32" }, [0x4360, 0x8000])).toEqual(value(224_500));
    expect(decode({ type: "f64" }, [0x40fe, 0x2400, 0, 0])).toEqual(value(123_456_000));
    expect(decode({ type: "string", length: 3 }, [0x4232, 0x2000, 0])).toEqual({ kind: "text", text: "B2" });
  });
  it("takes what is not implemented for absent, never for 0", () => {
    expect(decode({ type: "i16", absent: [0x8000] }, [0x8000])).toEqual({ kind: "absent" });
    expect(decode({ type: "u32", absent: [0xffffffff] }, [0xffff, 0xffff])).toEqual({ kind: "absent" });
    expect(decode({ type: "f32" }, [0x7fc0, 0])).toEqual({ kind: "absent" });
    expect(decode({ type: "u16", scaleRegister: 1 }, [5, 0x8000])).toEqual({ kind: "absent" });
  });
  it("names what fails", () => {
    expect(decode({ type: "u32" }, [1])).toEqual({ kind: "fault", fault: { rule: "not_read", table: "holding", address: 1 } });
    expect(decode({ type: "u16", model: [101, 103] }, [1])).toEqual({ kind: "fault", fault: { rule: "model_missing", model: 101 } });
    expect(decode({ type: "u16", scaleRegister: 1 }, [5, 11])).toEqual({ kind: "fault", fault: { rule: "scale_invalid", scale: 11 } });
    expect(decode({ type: "f32" }, [0x7f80, 0])).toEqual({ kind: "fault", fault: { rule: "out_of_range" } });
    expect(decode({ type: "u64" }, [0x00ff, 0, 0, 0])).toEqual({ kind: "fault", fault: { rule: "out_of_range" } });
  });
  it("scales without loss and rounds half away from zero", () => {
    expect(decode({ type: "u16", scale: -4 }, [5])).toEqual(value(1));
    expect(decode({ type: "u16", scale: -4 }, [4])).toEqual(value(0));
    expect(decode({ type: "i16", scale: -4 }, [0xfffb])).toEqual(value(-1));
    expect(decode({ type: "i16", scale: -1, scaleRegister: 1 }, [123, 0xffff])).toEqual(value(1_230));
    expect(decode({ type: "i16", negate: true }, [0])).toEqual(value(0));
  });

  const integer = fc.record({
    type: fc.constantFrom<RegisterType>("u16", "i16", "u32", "i32", "u64"),
    wordOrder: fc.constantFrom("big" as const, "little" as const),
    scale: fc.integer({ min: -3, max: 2 }),
    negate: fc.boolean(),
  });
  it("comes back as it went, rounded down and never up, within the type", () => {
    fc.assert(fc.property(integer, fc.integer({ min: -80_000_000, max: 80_000_000 }), (shape, milli) => {
      const register: RegisterWrite = { table: "holding", address: 7, ...shape };
      const encoded = encodeRegister(register, milli, NO_MODELS, () => null);
      if (!encoded.ok) throw new Error(encoded.fault.rule);
      expect(encoded.words).toHaveLength(registerCount(register));
      expect(encoded.words.every((word) => Number.isInteger(word) && word >= 0 && word <= 0xffff)).toBe(true);
      const back = decodeRegister(register, NO_MODELS, wordsAt(7, encoded.words));
      expect(back).toEqual(value(encoded.milli));
      const bits = { u16: [0, 0xffff], i16: [-0x8000, 0x7fff], u32: [0, 0xffffffff], i32: [-0x80000000, 0x7fffffff], u64: [0, Number.MAX_SAFE_INTEGER] } as const;
      const [low, high] = bits[shape.type as keyof typeof bits], unit = 10 ** (shape.scale + 3);
      const lowest = (shape.negate ? -high : low) * unit, highest = (shape.negate ? -low : high) * unit;
      if (milli < lowest) expect(encoded.milli).toBe(lowest);
      else expect(encoded.milli).toBeLessThanOrEqual(milli);
      if (milli >= lowest && milli <= highest) expect(milli - encoded.milli).toBeLessThan(unit);
    }), { numRuns: runs });
  });
  it("gives the float that is not above the value", () => {
    fc.assert(fc.property(fc.integer({ min: -80_000, max: 80_000 }), fc.boolean(), (milli, negate) => {
      const encoded = encodeRegister({ table: "holding", address: 0, type: "f32", negate }, milli, NO_MODELS, () => null);
      if (!encoded.ok) throw new Error(encoded.fault.rule);
      const view = new DataView(new ArrayBuffer(4));
      encoded.words.forEach((word, i) => view.setUint16(2 * i, word));
      const float = negate ? -view.getFloat32(0) : view.getFloat32(0);
      expect(float).toBeLessThanOrEqual(milli / 1000);
      expect(milli / 1000 - float).toBeLessThan(1e-4);
    }), { numRuns: runs });
  });
  it("never writes the maker's word for nothing", () => {
    expect(encodeRegister({ table: "holding", address: 0, type: "u16", absent: [0xffff] }, 65_535_000, NO_MODELS, () => null)).toMatchObject({ words: [0xfffe] });
    expect(encodeRegister({ table: "holding", address: 0, type: "i16", absent: [0x8000] }, -40_000_000, NO_MODELS, () => null)).toMatchObject({ words: [0x8001] });
  });
});

describe("SunSpec chain", () => {
  const walk = (memory: ReadonlyMap<number, number>) => {
    let step = sunspecStart(), asked = 0;
    while (step.kind === "read") {
      if (++asked > 200) throw new Error("no end");
      const words = [memory.get(step.address), memory.get(step.address + 1)];
      step = sunspecNext(step, words.some((word) => word === undefined) ? null : (words as number[]));
    }
    return step;
  };
  const memory = (base: number, models: readonly (readonly [number, number])[], end = true) => {
    const map = new Map([[base, 0x5375], [base + 1, 0x6e53]]);
    let at = base + 2;
    for (const [id, length] of models) {
      map.set(at, id).set(at + 1, length);
      at += 2 + length;
    }
    if (end) map.set(at, 0xffff).set(at + 1, 0);
    return map;
  };
  for (const base of [40000, 0, 50000]) {
    it(`finds the models at ${base}`, () => {
      expect(walk(memory(base, [[1, 66], [103, 50], [123, 24]]))).toEqual({ kind: "done", models: [
        { id: 1, address: base + 2, length: 66 }, { id: 103, address: base + 70, length: 50 }, { id: 123, address: base + 122, length: 24 },
      ] });
    });
  }
  it("names what is wrong with a device", () => {
    expect(walk(new Map([[40000, 1], [40001, 2]]))).toEqual({ kind: "fault", fault: { rule: "no_marker" } });
    expect(walk(memory(0, [[1, 66]], false))).toEqual({ kind: "fault", fault: { rule: "chain_unreadable", address: 70 } });
    expect(walk(memory(50000, [[1, 20_000]]))).toEqual({ kind: "fault", fault: { rule: "model_beyond_end", model: 1, address: 50002 } });
    expect(walk(memory(0, Array.from({ length: 70 }, () => [1, 0] as const)))).toEqual({ kind: "fault", fault: { rule: "too_many_models" } });
  });
  it("finds a point only where the model is long enough for it", () => {
    const models: ModelMap = [{ id: 103, address: 70, length: 50 }];
    expect(modelAddress(models, [101, 103], 14)).toBe(84);
    expect(modelAddress(models, 103, 52)).toBeNull();
    expect(modelAddress(models, 101, 14)).toBeNull();
  });
  it("ends for any answers", () => {
    const answer = fc.option(fc.tuple(fc.constantFrom(0x5375, 1, 103, 0xffff), fc.constantFrom(0x6e53, 0, 50, 65_535)), { nil: null });
    fc.assert(fc.property(fc.infiniteStream(answer), (answers) => {
      let step = sunspecStart(), asked = 0;
      while (step.kind === "read") {
        expect(step.address + step.count).toBeLessThanOrEqual(0x10000);
        step = sunspecNext(step, answers.next().value ?? null);
        expect(++asked).toBeLessThan(80);
      }
    }), { numRuns: runs });
  });
});
