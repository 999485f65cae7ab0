import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  answerLength, decodePdu, encodeMbap, encodePdu, encodeRtu, isValidRequest, MbapReceiver, RtuReceiver, sameRequest, writesTheSame,
} from "../../src/wire/modbus.js";
import type { ModbusRequest } from "../../src/wire/modbus.js";
import { sealed, Unit } from "../services/modbus_slave.js";

const RUNS = { numRuns: 300 * Number(process.env["VANGNET_RUNS"] ?? 1) };
const hex = (text: string): number[] => text.split(" ").map((two) => parseInt(two, 16));
const bytes = (list: number[]): Uint8Array => Uint8Array.from(list);
const pdu = (request: ModbusRequest): number[] => {
  const out = new Uint8Array(260);
  return [...out.subarray(0, encodePdu(request, out, 0))];
};
const decode = (request: ModbusRequest, list: number[]) => decodePdu(request, bytes(list), 0, list.length);

const word = fc.integer({ min: 0, max: 0xffff });
const address = fc.integer({ min: 0, max: 0xff00 });
const anyRequest: fc.Arbitrary<ModbusRequest> = fc.oneof(
  fc.record({ function: fc.constantFrom(1 as const, 2 as const), address, count: fc.integer({ min: 1, max: 200 }) }),
  fc.record({ function: fc.constantFrom(3 as const, 4 as const), address, count: fc.integer({ min: 1, max: 125 }) }),
  fc.record({ function: fc.constant(5 as const), address, value: fc.boolean() }),
  fc.record({ function: fc.constant(6 as const), address, value: word }),
  fc.record({ function: fc.constant(16 as const), address, values: fc.array(word, { minLength: 1, maxLength: 123 }) }),
);

describe("requests and answers, Modbus Application Protocol V1.1b3", () => {
  // The specification's own examples, 6.1 to 6.12.
  const examples: [string, ModbusRequest, string, string, number[]][] = [
    ["6.1 read coils", { function: 1, address: 0x13, count: 19 }, "01 00 13 00 13", "01 03 CD 6B 05",
      [1, 0, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1, 0, 1, 1, 0, 1, 0, 1]],
    ["6.2 read discrete inputs", { function: 2, address: 0xc4, count: 22 }, "02 00 C4 00 16", "02 03 AC DB 35",
      [0, 0, 1, 1, 0, 1, 0, 1, 1, 1, 0, 1, 1, 0, 1, 1, 1, 0, 1, 0, 1, 1]],
    ["6.3 read holding registers", { function: 3, address: 0x6b, count: 3 }, "03 00 6B 00 03", "03 06 02 2B 00 00 00 64", [555, 0, 100]],
    ["6.4 read input registers", { function: 4, address: 8, count: 1 }, "04 00 08 00 01", "04 02 00 0A", [10]],
    ["6.5 write single coil", { function: 5, address: 0xac, value: true }, "05 00 AC FF 00", "05 00 AC FF 00", []],
    ["6.6 write single register", { function: 6, address: 1, value: 3 }, "06 00 01 00 03", "06 00 01 00 03", []],
    ["6.11 write multiple coils", { function: 15, address: 0x13, values: [1, 0, 1, 1, 0, 0, 1, 1, 1, 0].map(Boolean) },
      "0F 00 13 00 0A 02 CD 01", "0F 00 13 00 0A", []],
    ["6.12 write multiple registers", { function: 16, address: 1, values: [10, 258] }, "10 00 01 00 02 04 00 0A 01 02", "10 00 01 00 02", []],
  ];
  it.each(examples)("%s", (_title, request, sent, answered, values) => {
    expect(pdu(request)).toEqual(hex(sent));
    expect(decode(request, hex(answered))).toEqual({ ok: true, values });
  });

  it("frames RTU as Serial Line V1.02 and TCP as Messaging V1.0b", () => {
    // A well-known vector: unit 17 reads 3 registers from 0x6B, CRC 0x7687 sent low byte first.
    expect([...encodeRtu(0x11, { function: 3, address: 0x6b, count: 3 })]).toEqual(hex("11 03 00 6B 00 03 76 87"));
    expect([...encodeMbap(0x1501, 0xff, { function: 3, address: 4, count: 1 })]).toEqual(hex("15 01 00 00 00 06 FF 03 00 04 00 01"));
  });

  it("names each refusal", () => {
    const read: ModbusRequest = { function: 3, address: 0x6b, count: 1 };
    const rule = (request: ModbusRequest, list: string) => {
      const result = decode(request, hex(list));
      return result.ok ? "ok" : result.rule;
    };
    for (let code = 1; code <= 11; code++) expect(decode(read, [0x83, code])).toEqual({ ok: false, rule: `exception_${code}` });
    expect(rule(read, "04 02 00 01")).toBe("wrong_function");
    expect(rule(read, "84 02")).toBe("wrong_function");
    expect(rule(read, "03 04 00 01 00 02")).toBe("bad_length");
    expect(rule(read, "03 04 00 01")).toBe("bad_length");
    expect(rule(read, "03")).toBe("bad_length");
    expect(rule(read, "83 02 00")).toBe("bad_length");
    expect(rule({ function: 6, address: 1, value: 3 }, "06 00 01 00 04")).toBe("wrong_echo");
    expect(rule({ function: 16, address: 1, values: [3] }, "10 00 02 00 01")).toBe("wrong_echo");
    expect(rule({ function: 5, address: 1, value: false }, "05 00 01 FF 00")).toBe("wrong_echo");
  });

  it("lets no impossible request onto the line", () => {
    const bad: ModbusRequest[] = [
      { function: 3, address: 0, count: 0 }, { function: 3, address: 0, count: 126 }, { function: 4, address: 65535, count: 2 },
      { function: 3, address: -1, count: 1 }, { function: 3, address: 0.5, count: 1 }, { function: 6, address: 0, value: 65536 },
      { function: 6, address: 0, value: Number.NaN }, { function: 16, address: 0, values: [] }, { function: 16, address: 0, values: [0, -1] },
      { function: 16, address: 0, values: new Array<number>(124).fill(0) }, { function: 1, address: 0, count: 1969 },
      { function: 9 as 3, address: 0, count: 1 },
    ];
    for (const request of bad) expect(isValidRequest(request), JSON.stringify(request)).toBe(false);
  });

  it("round trip: an independent device's answer decodes to what it holds", () => {
    fc.assert(fc.property(anyRequest, fc.array(word, { minLength: 1, maxLength: 8 }), (request, content) => {
      expect(isValidRequest(request)).toBe(true);
      const unit = new Unit();
      const at = (i: number) => content[i % content.length]!;
      for (let i = 0; i < 200; i++) {
        unit.holding.set(request.address + i, at(i));
        unit.input.set(request.address + i, at(i) ^ 1);
        unit.coils.set(request.address + i, at(i) & 1);
      }
      const answer = unit.answer(pdu(request))!;
      expect(answer.length).toBe(answerLength(request));
      const result = decode(request, answer);
      expect(result.ok).toBe(true);
      if (!result.ok) return;
      if (request.function <= 4) {
        const table = request.function === 3 ? unit.holding : request.function === 4 ? unit.input : unit.coils;
        const { count } = request as { count: number };
        expect(result.values).toEqual(Array.from({ length: count }, (_, i) => table.get(request.address + i)));
      }
      if (request.function === 16) expect(unit.writes).toEqual([[16, request.address, ...request.values]]);
      if (request.function === 6) expect(unit.writes).toEqual([[6, request.address, request.value]]);
    }), RUNS);
  });

  it("knows repetition and replacement", () => {
    expect(sameRequest({ function: 3, address: 1, count: 2 }, { function: 3, address: 1, count: 2 })).toBe(true);
    expect(sameRequest({ function: 3, address: 1, count: 2 }, { function: 3, address: 1, count: 3 })).toBe(false);
    expect(sameRequest({ function: 16, address: 1, values: [1, 2] }, { function: 16, address: 1, values: [1, 3] })).toBe(false);
    expect(writesTheSame({ function: 16, address: 1, values: [1] }, { function: 16, address: 1, values: [2] })).toBe(true);
    expect(writesTheSame({ function: 16, address: 1, values: [1] }, { function: 16, address: 1, values: [2, 3] })).toBe(false);
    expect(writesTheSame({ function: 3, address: 1, count: 1 }, { function: 3, address: 1, count: 1 })).toBe(false);
  });
});

describe("RTU receiver", () => {
  const read: ModbusRequest = { function: 3, address: 10, count: 2 };
  const good = sealed([7, 3, 4, 0, 1, 0, 2]);
  const fed = (...parts: number[][]): RtuReceiver => {
    const receiver = new RtuReceiver();
    for (const part of parts) receiver.push(bytes(part));
    return receiver;
  };

  it("finds the answer behind garbage, another unit's frame and a torn one", () => {
    const receiver = fed([0xff, 0x00, 7, 3], sealed([9, 3, 4, 0, 8, 0, 9]), good.slice(0, 5), good);
    expect(receiver.take(7, read)).toEqual({ ok: true, values: [1, 2] });
    expect(receiver.length).toBe(0);
  });

  it("waits for the last byte", () => {
    const receiver = fed(good.slice(0, -1));
    expect(receiver.take(7, read)).toBeNull();
    receiver.push(bytes(good.slice(-1)));
    expect(receiver.take(7, read)).toEqual({ ok: true, values: [1, 2] });
  });

  it("says what came instead", () => {
    const spoilt = [...good];
    spoilt[4]! ^= 1;
    const cases: [number[], string][] = [
      [[], "timeout"], [spoilt, "crc"], [good.slice(0, 6), "bad_length"], [sealed([8, 3, 4, 0, 1, 0, 2]), "wrong_unit"],
      [sealed([7, 4, 4, 0, 1, 0, 2]), "wrong_function"], [sealed([7, 3, 2, 0, 1]), "bad_length"],
    ];
    for (const [sent, rule] of cases) {
      const receiver = fed(sent);
      expect(receiver.take(7, read)).toBeNull();
      expect(receiver.diagnose(7, read)).toBe(rule);
    }
  });

  it("never exceeds its buffer and still hears the newest frame", () => {
    const receiver = new RtuReceiver();
    for (let i = 0; i < 100; i++) receiver.push(new Uint8Array(100).fill(7));
    expect(receiver.length).toBeLessThanOrEqual(520);
    expect(receiver.overflows).toBeGreaterThan(0);
    receiver.push(bytes(good));
    expect(receiver.take(7, read)).toEqual({ ok: true, values: [1, 2] });
  });

  it("a frame with any one bit turned is no answer", () => {
    fc.assert(fc.property(fc.nat({ max: good.length * 8 - 1 }), (bit) => {
      const spoilt = [...good];
      spoilt[bit >> 3]! ^= 1 << (bit & 7);
      expect(fed(spoilt).take(7, read)).toBeNull();
    }), RUNS);
  });

  it("torn and garbage streams never give a wrong answer", () => {
    fc.assert(fc.property(
      fc.array(fc.oneof(
        fc.uint8Array({ maxLength: 40 }).map((list) => [...list]),
        fc.nat({ max: good.length }).map((n) => good.slice(0, n)),
        fc.tuple(fc.integer({ min: 0, max: 255 }), fc.uint8Array({ minLength: 2, maxLength: 20 }))
          .filter(([unit]) => unit !== 7).map(([unit, list]) => sealed([unit, ...list])),
      ), { maxLength: 12 }),
      (parts) => {
        const receiver = new RtuReceiver();
        for (const part of parts) {
          receiver.push(bytes(part));
          const result = receiver.take(7, read);
          if (result !== null) expect(result).toEqual({ ok: true, values: [1, 2] });
        }
        receiver.clear();
        receiver.push(bytes(good));
        expect(receiver.take(7, read)).toEqual({ ok: true, values: [1, 2] });
      },
    ), RUNS);
  });
});

describe("MBAP receiver", () => {
  const frame = (transaction: number, unit: number, ...body: number[]): number[] =>
    [transaction >> 8, transaction & 255, 0, 0, (body.length + 1) >> 8, (body.length + 1) & 255, unit, ...body];
  const drain = (receiver: MbapReceiver, data: number[]): { transaction: number; unit: number; pdu: number[] }[] => {
    const found = [];
    for (let from = 0; from < data.length;) {
      from += receiver.push(bytes(data), from);
      for (let next = receiver.next(); next !== null; next = receiver.next()) {
        found.push({ transaction: next.transaction, unit: next.unit, pdu: [...next.bytes.subarray(next.start, next.end)] });
      }
    }
    return found;
  };

  it("cuts any stream of frames as they were, however the pieces fall", () => {
    fc.assert(fc.property(
      fc.array(fc.record({ transaction: word, unit: fc.nat({ max: 255 }), pdu: fc.uint8Array({ minLength: 2, maxLength: 253 }).map((list) => [...list]) }), { maxLength: 6 }),
      fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 20 }),
      (frames, sizes) => {
        const stream = frames.flatMap((one) => frame(one.transaction, one.unit, ...one.pdu));
        const receiver = new MbapReceiver();
        const found = [];
        for (let at = 0, i = 0; at < stream.length; i++) {
          const size = sizes[i % sizes.length]!;
          found.push(...drain(receiver, stream.slice(at, at + size)));
          at += size;
        }
        expect(found).toEqual(frames);
        expect(receiver.skipped).toBe(0);
        expect(receiver.length).toBe(0);
      },
    ), RUNS);
  });

  it("falls into step again after bytes that cannot be a header", () => {
    const receiver = new MbapReceiver();
    expect(drain(receiver, [0xff, 0xff, 0xff, 0xff, 0xff, ...frame(5, 1, 3, 2, 0, 9)])).toEqual([{ transaction: 5, unit: 1, pdu: [3, 2, 0, 9] }]);
    expect(receiver.skipped).toBe(5);
  });

  it("takes any bytes without end and keeps its bound", () => {
    fc.assert(fc.property(fc.array(fc.uint8Array({ maxLength: 600 }), { maxLength: 10 }), (parts) => {
      const receiver = new MbapReceiver();
      for (const part of parts) {
        for (const one of drain(receiver, [...part])) expect(one.pdu.length).toBeLessThanOrEqual(253);
        expect(receiver.length).toBeLessThanOrEqual(520);
      }
    }), RUNS);
  });
});
