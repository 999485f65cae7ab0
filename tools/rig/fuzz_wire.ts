/** Modbus answers, MQTT packets and HTTP requests with bytes mutated, cut into pieces at random. */
import { performance } from "node:perf_hooks";
import { encodePacket, PacketReader, type MqttPacket } from "../../src/services/mqtt_packet.js";
import { RequestReader } from "../../src/services/http_request.js";
import { answerLength, decodePdu, MbapReceiver, RtuReceiver, type ModbusRequest, type ModbusResult } from "../../src/wire/modbus.js";
import { mutated, type Fuzz, type Fuzzer } from "./fuzz.js";
import type { Dice } from "./plan.js";

function pieces(bytes: Uint8Array, dice: Dice): Uint8Array[] {
  const out: Uint8Array[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = Math.min(bytes.length, at + dice.between(1, dice.chance(300) ? 3 : 200));
    out.push(bytes.slice(at, end));
    at = end;
  }
  return out;
}

// ---- Modbus ----

function someRequest(dice: Dice): ModbusRequest {
  const address = dice.below(60_000);
  switch (dice.below(6)) {
    case 0: return { function: 3, address, count: dice.between(1, 125) };
    case 1: return { function: 4, address, count: dice.between(1, 20) };
    case 2: return { function: 1, address, count: dice.between(1, 40) };
    case 3: return { function: 6, address, value: dice.below(65_536) };
    case 4: return { function: 5, address, value: dice.chance(500) };
    default: return { function: 16, address, values: [dice.below(65_536), dice.below(65_536)] };
  }
}

/** The answer as the specification writes it (V1.1b3, 6), by hand. */
function answerTo(request: ModbusRequest, dice: Dice): { pdu: number[]; values: number[] } {
  const hi = (n: number): number => n >> 8, lo = (n: number): number => n & 255;
  if (request.function === 3 || request.function === 4) {
    const values = Array.from({ length: request.count }, () => dice.below(65_536));
    return { pdu: [request.function, 2 * request.count, ...values.flatMap((value) => [hi(value), lo(value)])], values };
  }
  if (request.function === 1 || request.function === 2) {
    const values = Array.from({ length: request.count }, () => dice.below(2));
    const bytes = Array.from({ length: Math.ceil(request.count / 8) }, (_, i) => values.slice(8 * i, 8 * i + 8).reduce((sum, bit, n) => sum | (bit << n), 0));
    return { pdu: [request.function, bytes.length, ...bytes], values };
  }
  const head = [request.function, hi(request.address), lo(request.address)];
  if (request.function === 5) return { pdu: [...head, request.value ? 255 : 0, 0], values: [] };
  if (request.function === 6) return { pdu: [...head, hi(request.value), lo(request.value)], values: [] };
  return { pdu: [...head, 0, (request as { values: readonly unknown[] }).values.length], values: [] };
}

function crc(bytes: readonly number[]): number[] {
  let value = 0xffff;
  for (const byte of bytes) {
    value ^= byte;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >> 1) ^ 0xa001 : value >> 1;
  }
  return [value & 255, value >> 8];
}

export const modbus: Fuzzer = {
  name: "modbus frames", change: 100_000, release: 10_000_000,
  make(): Fuzz {
    const seen = { answered: 0, refused: 0, nothing: 0, exceptions: 0 };
    const count = (result: ModbusResult | null): void => {
      if (result === null) seen.nothing++;
      else if (result.ok) seen.answered++;
      else if (result.rule.startsWith("exception")) seen.exceptions++;
      else seen.refused++;
    };
    const rtu = new RtuReceiver();
    const tcp = new MbapReceiver();
    return {
      seen,
      trial(own) {
        const request = someRequest(own);
        const { pdu, values } = answerTo(request, own);
        if (pdu.length !== answerLength(request)) return `answerLength ${answerLength(request)}, the specification's answer has ${pdu.length}`;
        const unit = own.between(1, 247);
        const spoil = own.chance(800);
        if (own.chance(500)) {
          const frame = [unit, ...pdu];
          const whole = Uint8Array.from([...frame, ...crc(frame)]);
          rtu.clear();
          let result: ModbusResult | null = null;
          const sent = spoil ? mutated(whole, own) : whole;
          for (const piece of pieces(sent, own)) {
            rtu.push(piece);
            result ??= rtu.take(unit, request);
          }
          count(result);
          if (result === null) rtu.diagnose(unit, request);
          if (result?.ok && result.values.join() !== values.join()) {
            // Another answer than the true one: only where the spoilt bytes hold a frame with a right CRC.
            const text = Array.from(sent);
            const found = text.some((_, at) => [5, 6, 8, pdu.length + 3].some((size) => at + size <= text.length && crc(text.slice(at, at + size - 2)).every((byte, i) => text[at + size - 2 + i] === byte)));
            if (!found) return `RTU: ${result.values.join()} for ${values.join()}`;
          }
          if (!spoil && !result?.ok) return `RTU: a right answer was not taken (${result?.rule ?? "nothing"})`;
          return null;
        }
        const transaction = own.below(65_536), length = pdu.length + 1;
        const whole = Uint8Array.from([transaction >> 8, transaction & 255, 0, 0, length >> 8, length & 255, unit, ...pdu]);
        tcp.clear();
        let taken = 0;
        for (const piece of pieces(spoil ? mutated(whole, own) : whole, own)) {
          for (let from = 0; from < piece.length;) {
            const took = tcp.push(piece, from);
            from += took;
            for (let frame = tcp.next(); frame !== null; frame = tcp.next()) {
              if (frame.end <= frame.start || frame.end > frame.bytes.length) return `MBAP frame from ${frame.start} to ${frame.end}`;
              const result = decodePdu(request, frame.bytes, frame.start, frame.end);
              count(result);
              taken++;
              if (!spoil && (!result.ok || result.values.join() !== values.join())) return "MBAP: a right answer was not taken";
              if (result.ok && result.values.length !== values.length) return `MBAP: ${result.values.length} values for ${values.length}`;
            }
            if (took === 0 && tcp.length >= 8) return "MBAP: full, and no frame is given";
          }
        }
        if (!spoil && taken !== 1) return `MBAP: ${taken} frames of one`;
        return null;
      },
    };
  },
};

// ---- MQTT ----

const somePackets = (dice: Dice): MqttPacket[] => [
  { cmd: "publish", topic: "vangnet/cap/all", payload: Uint8Array.from({ length: dice.below(300) }, () => dice.below(256)), qos: 1, retain: true, dup: false, messageId: dice.between(1, 65_535) },
  { cmd: "connack", returnCode: 0, reasonCode: 0, sessionPresent: false },
  { cmd: "suback", messageId: dice.between(1, 65_535), granted: [1, 1, 0] },
  { cmd: "puback", messageId: dice.between(1, 65_535) },
  { cmd: "pingresp" },
] as unknown as MqttPacket[];

export const mqtt: Fuzzer = {
  name: "mqtt packets", change: 50_000, release: 5_000_000,
  make(dice): Fuzz {
    const seen = { packets: 0, faults: 0, skipped: 0 };
    const version = dice.chance(500) ? 4 : 5;
    return {
      seen,
      trial(own) {
        const bytesMax = 2_048;
        let packets = 0, longest = 0, faults = 0;
        const reader = new PacketReader({
          bytesMax, version,
          onPacket: (packet) => {
            packets++;
            if (faults > 0) longest = Infinity;
            const { payload } = packet as { payload?: Uint8Array };
            if (payload instanceof Uint8Array) longest = Math.max(longest, payload.length);
          },
          ...(own.chance(500) ? { onSkipped: () => { seen.skipped++; } } : {}),
          onFault: () => { faults++; },
        });
        let sent = 0;
        const spoil = own.chance(850);
        for (const packet of somePackets(own)) {
          const bytes = encodePacket(packet, version);
          if (bytes === null) return `${(packet as { cmd: string }).cmd} could not be encoded`;
          sent++;
          for (const piece of pieces(spoil ? mutated(bytes, own) : bytes, own)) reader.push(piece);
        }
        seen.packets += packets;
        seen.faults += faults;
        if (faults > 1) return `${faults} faults of one reader`;
        if (longest > bytesMax) return longest === Infinity ? "a packet after a fault" : `a payload of ${longest} bytes`;
        if (!spoil && (packets !== sent || faults > 0)) return `${packets} of ${sent} packets, ${faults} faults`;
        return null;
      },
    };
  },
};

// ---- HTTP ----

export const http: Fuzzer = {
  name: "http requests", change: 100_000, release: 10_000_000,
  make(dice): Fuzz {
    const seen = { whole: 0, faults: 0, more: 0 };
    const body = "x".repeat(dice.below(300));
    const bases = [
      "GET / HTTP/1.1\r\nHost: 127.0.0.1:8480\r\n\r\n",
      "GET /api/evidence?from=1&format=csv HTTP/1.1\r\nHost: vangnet.local\r\nCookie: a=b; c=d\r\nConnection: close\r\n\r\n",
      `POST /api/cap HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\nContent-Type: application/cwt\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      "HEAD /api/status HTTP/1.0\r\nHost: localhost\r\nSec-Fetch-Site: same-origin\r\n\r\n",
    ].map((text) => Uint8Array.from(Buffer.from(text, "latin1")));
    const spice = [13, 10, 32, 58, 47, 48, 57, 9, 0, 255];
    return {
      seen,
      trial(own) {
        const index = own.below(bases.length);
        const spoil = own.chance(850);
        const bytes = spoil ? mutated(bases[index]!, own, spice) : bases[index]!;
        const reader = new RequestReader();
        const began = performance.now();
        let said = "more";
        for (const piece of pieces(bytes, own)) {
          const progress = reader.push(piece);
          said = progress.kind;
          if (progress.kind === "fault") {
            const { status, rule } = progress.fault;
            if (status < 400 || status > 599 || rule === "") return `fault ${status} ${rule}`;
          }
          if (progress.kind === "whole") {
            const { method, path, body: got, host, query } = progress.request;
            if (!["GET", "HEAD", "POST"].includes(method)) return `method ${method}`;
            if (!path.startsWith("/") || /[\r\n\0 ]/.test(path + query) || /[\r\n\0]/.test(host)) return `path ${JSON.stringify(path + query)} host ${JSON.stringify(host)}`;
            if (got.length > 1_536) return `body of ${got.length} bytes`;
            if (!spoil && index === 2 && got.length !== body.length) return `body of ${got.length} for ${body.length}`;
          }
          if (progress.kind !== "more") break;
        }
        if (performance.now() - began > 500) return "slow";
        if (said === "whole") seen.whole++;
        else if (said === "fault") seen.faults++;
        else seen.more++;
        return !spoil && said !== "whole" ? `a right request: ${said}` : null;
      },
    };
  },
};
