import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { EVIDENCE_BURST_MAX, EVIDENCE_QUEUE_MAX, EVIDENCE_REFILL_MS, EVIDENCE_RESTARTS_MAX, EVIDENCE_RETRY_MS, EVIDENCE_SUMMARY_MS } from "../../src/constants.js";
import { Evidence } from "../../src/services/evidence.js";
import { chain, encodePayload, hex, readEvidence, verifyEvidence } from "../../src/services/evidence_log.js";
import { sha256, verifyP256Sync } from "../../hal/node/crypto.js";
import { nodePlatform } from "../../hal/node/platform.js";
import { Random } from "../../hal/sim/random.js";
import { SimWorld } from "../../hal/sim/world.js";
import { cell, run, toCsv, within } from "../../tools/commands/evidence.js";
import { absent, titled } from "../need.js";

const RUNS = Number(process.env["VANGNET_RUNS"] ?? 1);

function world(seed = 1, options: { segmentBytes?: number; segmentsMax?: number } = {}) {
  const sim = new SimWorld({ seed, crypto: { sha256, verifyP256: verifyP256Sync } });
  const platform = sim.platform("home");
  const start = () => new Evidence({ platform, utc: () => sim.epochSeconds(), ...options });
  return { sim, platform, start };
}
const types = (log: Evidence) => [...log.iterate()].map((record) => record.type);
const data = (log: Evidence) => [...log.iterate()].map((record) => JSON.parse(record.data) as unknown);

describe("Evidence", () => {
  it("writes on a later turn, in order, with time, uptime and hash", () => {
    const { sim, platform, start } = world();
    sim.run(5_000);
    const log = start();
    expect(log.append("received", { channel: "mqtt", token: "ab12" })).toBe(true);
    expect(log.append("in_force", { import_w: 0, phases: [1, null, 3] })).toBe(true);
    expect(platform.power.writes).toBe(0);
    expect(log.head()).toBeNull();
    sim.runFor(10);
    expect([...log.iterate()]).toMatchObject([
      { n: 1, type: "restarted", data: "{}" },
      { n: 2, t: 1_767_225_605, up: 5_000, type: "received", data: '{"channel":"mqtt","token":"ab12"}' },
      { n: 3, t: 1_767_225_605, up: 5_000, type: "in_force", data: '{"import_w":0,"phases":[1,null,3]}' },
    ]);
    const verified = log.verify();
    expect(verified).toMatchObject({ ok: true, records: 3, first: 1, last: 3 });
    expect(log.head()).toEqual({ n: 3, hash: verified.ok && hex(verified.head) });
    expect(log.tail(2).map((record) => record.n)).toEqual([2, 3]);
  });

  it("a hash can be computed from the documented bytes alone", () => {
    const { sim, start } = world();
    const log = start();
    log.append("received", { token: "ab" });
    sim.runFor(10);
    const [first, second] = [...log.iterate()];
    const payload = encodePayload(second!.t, second!.up, second!.type, second!.data);
    const byHand = Buffer.concat([first!.hash, Buffer.from([0, 0, 0, 2]), payload]);
    expect(hex(sha256(byHand))).toBe(hex(second!.hash));
    expect(hex(chain(sha256, first!.hash, 2, payload))).toBe(hex(second!.hash));
  });

  it("no time is null, and uptime goes beyond 32 bits", () => {
    const { sim, platform } = world();
    const log = new Evidence({ platform, utc: () => null });
    sim.run(2 ** 32 + 12_345);
    log.append("measured", {});
    sim.runFor(10);
    expect([...log.iterate()].at(-1)).toMatchObject({ t: null, up: 2 ** 32 + 12_345 });
  });

  it("drops the oldest segment and stays verifiable from its anchor", () => {
    const { sim, start } = world(1, { segmentBytes: 1_000, segmentsMax: 4 });
    const log = start();
    for (let i = 0; i < 400; i++) {
      log.append(`type${i % 20}`, { i });
      sim.runFor(EVIDENCE_REFILL_MS);
    }
    const verified = log.verify();
    expect(verified).toMatchObject({ ok: true, last: 401 });
    expect(log.counters.segmentsDropped).toBeGreaterThan(10);
    const first = verified.ok ? verified.first : 0;
    expect(first).toBeGreaterThan(300);
    expect([...log.iterate()].map((record) => record.n)).toEqual(Array.from({ length: 401 - first + 1 }, (_, i) => first + i));
    expect([...log.iterate(395)].map((record) => record.n)).toEqual([395, 396, 397, 398, 399, 400, 401]);
    log.close();
    const again = start();
    again.append("received", {});
    sim.runFor(1_000);
    expect(again.verify()).toMatchObject({ ok: true, first, last: 403 });
  });

  it("a flood of one type leaves room for the others, and its number is recorded", () => {
    const { sim, start } = world();
    const log = start();
    sim.runFor(10);
    for (let i = 0; i < 1_000; i++) {
      log.append("refused", { rule: "signature" });
      if (i % 10 === 0) sim.runFor(1);
    }
    expect(log.append("in_force", { import_w: 4200 })).toBe(true);
    sim.runFor(EVIDENCE_SUMMARY_MS + 10);
    expect(types(log).filter((type) => type === "refused")).toHaveLength(EVIDENCE_BURST_MAX);
    expect(types(log)).toContain("in_force");
    expect(data(log).at(-1)).toEqual({ records: [["refused", 1_000 - EVIDENCE_BURST_MAX]] });
    sim.runFor(EVIDENCE_REFILL_MS);
    expect(log.append("refused", {})).toBe(true);
  });

  it("the queue is bounded, what it cannot take is counted", () => {
    const { sim, start } = world();
    const log = start();
    let taken = 0;
    for (let i = 0; i < 60; i++) if (log.append(`type${i % 10}`, {})) taken++;
    expect(taken).toBe(EVIDENCE_QUEUE_MAX);
    expect(log.counters.dropped).toBe(60 - EVIDENCE_QUEUE_MAX);
    sim.runFor(10);
    expect(log.verify()).toMatchObject({ ok: true, last: EVIDENCE_QUEUE_MAX + 1 });
  });

  it("refuses names that are no types, and says where data was too long", () => {
    const { sim, start } = world();
    const log = start();
    for (const name of ["", "In Force", "x".repeat(25), "a,b"]) expect(log.append(name, {})).toBe(false);
    expect(log.append("received", { token: "x".repeat(5_000) })).toBe(true);
    sim.runFor(10);
    expect(data(log)[1]).toEqual({ too_long: 5_000 + 12 + 8 + '{"token":""}'.length });
  });

  it("waits out a medium that fails, and loses nothing that it took", () => {
    const { sim, platform, start } = world();
    const log = start();
    sim.runFor(10);
    platform.files.broken = true;
    log.append("received", { i: 1 });
    sim.runFor(3 * EVIDENCE_RETRY_MS);
    expect(log.fault).toBe("evidence_write_failed");
    log.append("received", { i: 2 });
    platform.files.broken = false;
    sim.runFor(EVIDENCE_RETRY_MS + 10);
    expect(log.fault).toBeNull();
    expect(data(log)).toEqual([{}, { i: 1 }, { i: 2 }]);
    expect(log.verify()).toMatchObject({ ok: true });
  });

  it("gives up its oldest segment where the medium is smaller than the ring", () => {
    const { sim, platform, start } = world(1, { segmentBytes: 1_000, segmentsMax: 100 });
    platform.files.capacityBytes = 5_500;
    const log = start();
    for (let i = 0; i < 200; i++) {
      log.append(`type${i % 20}`, { i });
      sim.runFor(EVIDENCE_REFILL_MS);
    }
    expect(log.verify()).toMatchObject({ ok: true, last: 201 });
    expect(log.counters.dropped).toBe(0);
  });

  it("a boot loop does not push out the past", () => {
    const { sim, platform, start } = world();
    for (let i = 0; i < 50; i++) {
      start();
      sim.runFor(1_000);
      platform.reboot();
    }
    const log = start();
    sim.runFor(10);
    expect(types(log)).toEqual(Array(EVIDENCE_RESTARTS_MAX).fill("restarted"));
    log.append("received", {});
    sim.runFor(10);
    platform.reboot();
    const after = start();
    sim.runFor(10);
    expect(types(after).slice(-2)).toEqual(["received", "restarted"]);
  });

  it("close writes what waits", () => {
    const { sim, start } = world();
    const log = start();
    sim.runFor(10);
    log.append("released", {});
    log.close();
    expect(types(log)).toEqual(["restarted", "released"]);
    expect(log.append("released", {})).toBe(false);
  });

  it("forgets everything, and begins a chain of its own", () => {
    const { sim, start } = world(1, { segmentBytes: 500 });
    const log = start();
    for (let i = 0; i < 20; i++) { log.append("received", { i }); sim.runFor(10); }
    expect(log.clear()).toBe(true);
    expect([...log.iterate()]).toEqual([]);
    log.append("cleared", {});
    sim.runFor(10);
    expect([...log.iterate()]).toMatchObject([{ n: 1, type: "cleared" }]);
    expect(log.verify()).toMatchObject({ ok: true, first: 1, last: 1 });
  });
});

/** Random appends until the power goes in write `cutAt`; true where it went before they ended. */
function lifeUntilCut(seed: number, cutAt: number, torn: boolean): boolean {
  const { sim, platform, start } = world(seed, { segmentBytes: 700, segmentsMax: 3 });
  const random = new Random(seed);
  platform.power.cutAtWrite = cutAt;
  let log = start();
  let known: { n: number; hash: string } | null = null;
  let i = 0;
  for (; i < 60 && !platform.off; i++) {
    log.append(`type${random.below(5)}`, { i, text: "x".repeat(random.below(80)) });
    sim.runFor(random.below(3));
    known = log.head() ?? known;
  }
  if (!platform.off) return false;
  platform.power.cutAtWrite = torn ? platform.power.writes + 1 + random.below(4) : null;
  platform.reboot();
  log = start();
  sim.runFor(100);
  if (platform.off) {
    // And once more while it was mending itself.
    platform.power.cutAtWrite = null;
    platform.reboot();
    log = start();
    sim.runFor(100);
  }
  platform.power.cutAtWrite = null;
  const where = `seed ${seed}, cut at write ${cutAt}`;
  const verified = log.verify(known && { n: known.n, hash: new Uint8Array(Buffer.from(known.hash, "hex")) });
  expect(verified, where).toMatchObject({ ok: true });
  // Whatever was reported as written is there, and the restart behind it.
  expect(verified.ok && verified.last, where).toBeGreaterThan(known?.n ?? 0);
  expect(log.tail(1)[0]?.type, where).toBe("restarted");
  log.append("received", {});
  sim.runFor(100);
  expect(log.tail(1)[0]?.type, where).toBe("received");
  expect(log.verify(), where).toMatchObject({ ok: true });
  return true;
}

describe("Evidence, power cut at every write", () => {
  it.each(Array.from({ length: 5 * RUNS }, (_, i) => i + 1))("seed %i: the chain holds, nothing written is lost", (seed) => {
    let cutAt = 1;
    while (lifeUntilCut(seed, cutAt, seed % 2 === 0)) cutAt++;
    expect(cutAt).toBeGreaterThan(60);
  });

  it("names the torn bytes", () => {
    const { sim, platform, start } = world();
    const log = start();
    log.append("received", {});
    sim.runFor(10);
    const name = platform.files.scan()[0]!;
    const whole = platform.files.get(name)!;
    platform.files.put(name, whole.subarray(0, whole.length - 5));
    platform.reboot();
    const after = start();
    sim.runFor(10);
    const torn = data(after).at(-1) as { torn: number; sha256: string };
    const tail = whole.subarray(whole.length - torn.torn - 5, whole.length - 5);
    expect(torn.sha256).toBe(hex(sha256(tail)));
    expect(after.counters.tornBytes).toBe(torn.torn);
  });

  it("more than one write's worth of damage is kept for verify to find, and the chain goes on", () => {
    const { sim, platform, start } = world();
    const log = start();
    for (let i = 0; i < 100; i++) { log.append(`type${i % 5}`, { i, text: "x".repeat(100) }); sim.runFor(10); }
    log.close();
    const name = platform.files.scan()[0]!;
    const spoilt = platform.files.get(name)!;
    spoilt[300]! ^= 1;
    platform.files.put(name, spoilt);
    const after = start();
    after.append("received", {});
    sim.runFor(100);
    expect(platform.files.get(name)).toEqual(spoilt);
    expect(after.verify()).toMatchObject({ ok: false, segment: name, n: 3 });
    expect(after.tail(2).map((record) => record.type)).toEqual(["restarted", "received"]);
  });
});

describe("Evidence, tampering", () => {
  function written() {
    const { sim, platform, start } = world(1, { segmentBytes: 400 });
    const log = start();
    for (let i = 0; i < 12; i++) { log.append(`type${i % 3}`, { i, w: -i * 100 }); sim.runFor(10); }
    log.close();
    return platform.files;
  }

  it("any byte of any segment, changed in any way", () => {
    const files = written();
    const names = files.scan();
    expect(names.length).toBeGreaterThan(2);
    let tried = 0;
    for (const name of names) {
      const whole = files.get(name)!;
      for (let at = 0; at < whole.length; at++) {
        for (const flip of [1, 0x20, 0xff]) {
          const changed = whole.slice();
          changed[at]! ^= flip;
          files.put(name, changed);
          expect(verifyEvidence(files, sha256).ok, `${name}, byte ${at}`).toBe(false);
          tried++;
        }
      }
      files.put(name, whole);
    }
    expect(tried).toBeGreaterThan(2_500);
    expect(verifyEvidence(files, sha256).ok).toBe(true);
  });

  it("bytes cut out, put in, or a segment taken away", () => {
    const files = written();
    const names = files.scan();
    fc.assert(fc.property(fc.nat(names.length - 1), fc.nat(), fc.nat(40), fc.uint8Array({ maxLength: 40 }), (which, at, cut, put) => {
      const name = names[which]!;
      const whole = files.get(name)!;
      const from = at % (whole.length + 1);
      const changed = Uint8Array.from([...whole.subarray(0, from), ...put, ...whole.subarray(from + cut)]);
      fc.pre(Buffer.compare(changed, whole) !== 0);
      files.put(name, changed);
      const verified = verifyEvidence(files, sha256);
      files.put(name, whole);
      // Whole records cut off the very end leave a shorter, good chain: only a published head shows that.
      const endCut = verified.ok && which === names.length - 1 && verified.last < 13;
      expect(verified.ok).toBe(endCut);
    }), { numRuns: 300 * RUNS });
    const middle = files.get(names[1]!)!;
    files.delete(names[1]!);
    expect(verifyEvidence(files, sha256)).toMatchObject({ ok: false, reason: "gap" });
    files.put(names[1]!, middle);
  });

  it("names the record, and a published head shows a log cut short or written anew", () => {
    const files = written();
    const verified = verifyEvidence(files, sha256);
    const head = verified.ok ? verified.head : new Uint8Array();
    const records = [...readEvidence(files)];
    const last = files.scan().at(-1)!;
    const whole = files.get(last)!;
    expect(verifyEvidence(files, sha256, { n: 13, hash: head })).toMatchObject({ ok: true });
    expect(verifyEvidence(files, sha256, { n: 13, hash: records[4]!.hash })).toMatchObject({ ok: false, reason: "head", n: 13 });
    const size = 2 + 32 + encodePayload(0, 0, records[12]!.type, records[12]!.data).length;
    files.put(last, whole.subarray(0, whole.length - size));
    expect(verifyEvidence(files, sha256)).toMatchObject({ ok: true, last: 12 });
    expect(verifyEvidence(files, sha256, { n: 13, hash: head })).toMatchObject({ ok: false, reason: "head", n: 13 });
    const first = files.scan()[0]!;
    const spoilt = files.get(first)!;
    spoilt[spoilt.length - 33]! ^= 1;
    files.put(first, spoilt);
    const broken = verifyEvidence(files, sha256);
    expect(broken).toMatchObject({ ok: false, reason: "hash", segment: first });
    expect(broken.ok ? 0 : broken.n).toBe([...readEvidence(files)].findIndex((r) => hex(r.hash) === hex(spoilt.subarray(-32))) + 1);
  });
});

describe("vangnet evidence", () => {
  let directory = "";
  let out = "";
  let err = "";
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "vangnet-evidence-"));
    out = err = "";
    vi.spyOn(process.stdout, "write").mockImplementation((chunk) => { out += String(chunk); return true; });
    vi.spyOn(process.stderr, "write").mockImplementation((chunk) => { err += String(chunk); return true; });
  });
  afterEach(() => {
    vi.restoreAllMocks();
    rmSync(directory, { recursive: true, force: true });
  });

  async function fill(): Promise<void> {
    const platform = nodePlatform({ dataDirectory: directory });
    let now: number | null = null;
    const log = new Evidence({ platform, utc: () => now });
    await vi.waitUntil(() => log.head() !== null);
    const times = ["2026-01-01T16:00:00Z", "2026-01-02T16:00:00Z", "2026-01-03T16:00:00Z"];
    for (const time of times) {
      now = Date.parse(time) / 1000;
      log.append("received", { channel: "mqtt", reason: '=HYPERLINK("http://x";"y")', import_w: -4200 });
      now = null;
      log.append("measured", { mean_w: [1, 2], note: 'a "b", c' });
    }
    log.close();
    platform.close();
  }

  it("verify: 0 and the head, 1 and the first broken record, 2 for wrong usage", async () => {
    await fill();
    expect(await run(["verify", "--data", directory])).toBe(0);
    const head = /^ok: records 1 to 7, head (7:[0-9a-f]{64})\n$/.exec(out)?.[1];
    expect(head).toBeDefined();
    expect(await run(["verify", "--data", directory, "--head", head!])).toBe(0);
    expect(await run(["verify", "--data", directory, "--head", head!.replace("7:", "6:")])).toBe(1);
    const file = join(directory, "files", readdirSync(join(directory, "files"))[0]!);
    const text = readFileSync(file);
    text[text.indexOf("mqtt")] = "M".charCodeAt(0);
    writeFileSync(file, text);
    out = "";
    expect(await run(["verify", "--data", directory])).toBe(1);
    expect(out).toContain("broken at record 2 (ev00000001");
    for (const args of [[], ["verify"], ["verify", "--data", join(directory, "none")], ["export", "--data", directory], ["verify", "--data", directory, "--head", "7"], ["verify", "--nonsense"]]) {
      expect(await run(args), args.join(" ")).toBe(2);
    }
    expect(readdirSync(directory)).toEqual(expect.not.arrayContaining(["none"]));
  });

  it("export as JSON holds what was written; --from and --to choose by time", async () => {
    await fill();
    expect(await run(["export", "--data", directory, "--format", "json"])).toBe(0);
    const all = JSON.parse(out) as { verified: boolean; records: { n: number; utc: string | null; type: string; data: Record<string, unknown>; hash: string }[] };
    expect(all.verified).toBe(true);
    expect(all.records.map(({ n, utc, type }) => [n, utc, type]).slice(0, 3)).toEqual([
      [1, null, "restarted"], [2, "2026-01-01T16:00:00Z", "received"], [3, null, "measured"],
    ]);
    expect(all.records[1]!.data["import_w"]).toBe(-4200);
    const file = join(directory, "part.json");
    expect(await run(["export", "--data", directory, "--format", "json", "--from", "2026-01-02", "--to", "2026-01-03T00:00:00Z", "--out", file])).toBe(0);
    expect((JSON.parse(readFileSync(file, "utf8")) as typeof all).records.map(({ n }) => n)).toEqual([4, 5]);
    expect(await run(["export", "--data", directory, "--format", "json", "--from", "yesterday"])).toBe(2);
    expect(err).toContain("--from: yesterday");
  });

  describe.skipIf(absent("python3"))(titled("read by another CSV reader", "python3"), () => {
    it("gives the same cells, and no formula", async () => {
      await fill();
      const file = join(directory, "log.csv");
      expect(await run(["export", "--data", directory, "--format", "csv", "--out", file])).toBe(0);
      const script = "import csv,json,sys;print(json.dumps(list(csv.DictReader(open(sys.argv[1],newline='',encoding='utf-8')))))";
      const rows = JSON.parse(execFileSync("python3", ["-c", script, file], { encoding: "utf8" })) as Record<string, string>[];
      expect(rows).toHaveLength(7);
      expect(rows[1]).toMatchObject({ n: "2", type: "received", "data.reason": '\'=HYPERLINK("http://x";"y")', "data.import_w": "-4200", "data.note": "" });
      expect(rows[2]).toMatchObject({ "data.mean_w": "[1,2]", "data.note": 'a "b", c', utc: "" });
    });
  });

  it("a cell is never a formula, whatever the text", () => {
    fc.assert(fc.property(fc.string({ unit: "binary" }), fc.constantFrom("", "=", "+", "-", "@", "\t=", "\r", "\n=", " =", "|", "%"), (rest, start) => {
      const text = cell(start + rest);
      const value = text.startsWith('"') ? text.slice(1, -1).replaceAll('""', '"') : text;
      expect(value).not.toMatch(/^\s*[=+\-@|%\t\r\n]/);
      expect(value.replace(/^'/, "")).toBe((start + rest).replace(/^'/, ""));
      if (!text.startsWith('"')) expect(text).not.toMatch(/[",\r\n]/);
    }));
    expect(cell(-5)).toBe("-5");
    expect(cell(null)).toBe("");
  });

  it("records without a time belong with the last one before them", () => {
    const record = (n: number, t: number | null) => ({ n, t, up: 0, type: "x", data: "{}", hash: new Uint8Array(32) });
    const records = [record(1, null), record(2, 100), record(3, null), record(4, 200), record(5, null)];
    const chosen = (from: number | null, to: number | null) => within(records, from, to).map(({ n }) => n);
    expect(chosen(null, null)).toEqual([1, 2, 3, 4, 5]);
    expect(chosen(100, 200)).toEqual([2, 3]);
    expect(chosen(null, 200)).toEqual([1, 2, 3]);
    expect(chosen(150, null)).toEqual([4, 5]);
    expect(toCsv([])).toBe("n,utc,up_ms,type,hash\r\n");
  });
});
