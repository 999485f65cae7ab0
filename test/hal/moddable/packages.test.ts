/** mqtt-packet as the firmware has it, with our shims and without its caches, against npm's own on Node. */
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bundlePackages } from "../../../tools/firmware/packages.js";

interface Library {
  writeToStream: { (packet: unknown, stream: unknown, options: { protocolVersion: number }): boolean; cacheNumbers: boolean };
  parser(options: { protocolVersion: number }): { on(event: string, heard: (value: unknown) => void): void; parse(bytes: Uint8Array): number };
}

const root = join(dirname(fileURLToPath(import.meta.url)), "../../..");
const theirs = createRequire(import.meta.url)("mqtt-packet") as Library;
let ours: Library;
let out: string;

beforeAll(async () => {
  out = mkdtempSync(join(tmpdir(), "vangnet-packages-"));
  await bundlePackages(root, out);
  ours = ((await import(pathToFileURL(join(out, "mqtt-packet.js")).href)) as { default: Library }).default;
});
afterAll(() => rmSync(out, { recursive: true, force: true }));

function bytes(library: Library, packet: unknown, protocolVersion: number): Buffer {
  const chunks: Buffer[] = [];
  library.writeToStream(packet, { write: (chunk: Uint8Array | string) => { chunks.push(Buffer.from(chunk as string)); return true; }, destroy: () => {} }, { protocolVersion });
  return Buffer.concat(chunks);
}

function packets(library: Library, input: Uint8Array, protocolVersion: number): unknown[] {
  const heard: unknown[] = [];
  const parser = library.parser({ protocolVersion });
  parser.on("packet", (packet) => heard.push(plain(packet)));
  parser.on("error", (error) => heard.push(String(error)));
  try {
    parser.parse(input);
  } catch (error) {
    heard.push(error instanceof RangeError ? "range" : String(error));
  }
  return heard;
}

const plain = (packet: unknown): unknown => JSON.parse(JSON.stringify(packet, (_key, value: unknown) => {
  const view = value as { type?: string; data?: number[] } | Uint8Array | null;
  if (view instanceof Uint8Array) return Buffer.from(view).toString("hex");
  return view !== null && typeof view === "object" && (view as { type?: string }).type === "Buffer" ? Buffer.from((view as { data: number[] }).data).toString("hex") : value;
}));

const text = fc.string({ unit: "grapheme", minLength: 1, maxLength: 40 }).filter((value) => !/[\0#+\ud800-\udfff]/.test(value));
const publish = fc.record({
  cmd: fc.constant("publish"), topic: text, payload: fc.uint8Array({ maxLength: 300 }).map((value) => Buffer.from(value)),
  qos: fc.constant(1), messageId: fc.integer({ min: 1, max: 65_535 }), retain: fc.boolean(), dup: fc.boolean(),
  properties: fc.record({ messageExpiryInterval: fc.nat(0xffff_ffff), contentType: text }),
});
const connect = fc.record({
  cmd: fc.constant("connect"), protocolId: fc.constant("MQTT"), protocolVersion: fc.constant(5), clientId: text, clean: fc.boolean(), keepalive: fc.integer({ min: 0, max: 65_535 }),
  username: text, password: text, will: fc.record({ topic: text, payload: text, qos: fc.constantFrom(0, 1), retain: fc.boolean() }),
});

test("the caches are off from the start", () => {
  expect(ours.writeToStream.cacheNumbers).toBe(false);
});

test("the same bytes for the same packet, and the same packet back", () => {
  fc.assert(fc.property(fc.oneof(publish, connect), (packet) => {
    const expected = bytes(theirs, packet, 5);
    expect(bytes(ours, packet, 5).toString("hex")).toBe(expected.toString("hex"));
    expect(packets(ours, new Uint8Array(expected), 5)).toEqual(packets(theirs, expected, 5));
  }));
});

test("a damaged packet is damaged to both", () => {
  fc.assert(fc.property(fc.oneof(publish, connect), fc.nat(), fc.integer({ min: 1, max: 255 }), (packet, at, flip) => {
    const damaged = bytes(theirs, packet, 5);
    damaged[at % damaged.length]! ^= flip;
    const [mine, npm] = [packets(ours, new Uint8Array(damaged), 5), packets(theirs, Buffer.from(damaged), 5)];
    expect(mine.length).toBe(npm.length);
    expect(mine.filter((one) => typeof one === "object")).toEqual(npm.filter((one) => typeof one === "object"));
  }));
});
