import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { decodeToken } from "../../../src/token/decode.js";
import { cbor, whole } from "../../../tools/operator/encode.js";
import { readKey, readState, withState, writeKey, type OperatorState } from "../../../tools/operator/files.js";
import { checkAudience, eanWarning, newEvent, Refused, reissue, remarks, type EventOptions } from "../../../tools/operator/issue.js";
import { formatDuration, formatTime, parseDuration, parseStart } from "../../../tools/operator/time.js";
import { TEST_NOW, testKey } from "../../helpers/token.js";

const ZONE = "Europe/Amsterdam";
let folder: string;
beforeAll(() => { folder = mkdtempSync(join(tmpdir(), "vangnet-operator-")); });
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const asked = (options: Partial<EventOptions>): EventOptions =>
  ({ import: "4200", export: undefined, for: "2h", start: undefined, release: undefined, emergency: false, controllable: false, ...options });

describe("times", () => {
  test.each([["90s", 90], ["15m", 900], ["2h", 7_200], ["1h30m", 5_400], ["35d", 3_024_000], ["", null], ["2", null], ["2 h", null], ["-2h", null], ["1.5h", null], ["2w", null]])("%s", (text, expected) => expect(parseDuration(text)).toBe(expected));
  test("durations read as they are written", () => { fc.assert(fc.property(fc.nat(4_000_000), (s) => { expect(parseDuration(formatDuration(s))).toBe(s); }), { numRuns: 200 }); });
  // TEST_NOW is 18:00 in Amsterdam.
  test.each<[string, string | null]>([
    ["now", "2026-01-15T17:00:00Z"], ["+10m", "2026-01-15T17:10:00Z"], ["18:00", "2026-01-15T17:00:00Z"], ["17:59", "2026-01-16T16:59:00Z"], ["7:30", "2026-01-16T06:30:00Z"],
    ["2026-07-01T18:00", "2026-07-01T16:00:00Z"], ["2026-07-01 18:00:30", "2026-07-01T16:00:30Z"], ["2026-07-01T18:00Z", "2026-07-01T18:00:00Z"], ["2026-07-01T18:00-05:30", "2026-07-01T23:30:00Z"],
    // The hour that comes twice: the first. The hour that never comes: the hour after.
    ["2026-10-25T02:30", "2026-10-25T00:30:00Z"], ["2026-03-29T02:30", "2026-03-29T01:30:00Z"], ["2026-03-29T03:00", "2026-03-29T01:00:00Z"],
    ["24:00", null], ["18:60", null], ["2026-02-30T10:00", null], ["2026-13-01T10:00", null], ["tomorrow", null], ["+", null], ["6pm", null],
  ])("--start %s", (text, expected) => {
    const at = parseStart(text, TEST_NOW, ZONE);
    expect(at === null ? null : new Date(at * 1000).toISOString().replace(".000", "")).toBe(expected);
  });
  test("local time of another zone, and back", () => {
    expect(parseStart("2026-01-15T12:00", TEST_NOW, "America/New_York")).toBe(TEST_NOW);
    expect(formatTime(TEST_NOW, ZONE)).toBe("2026-01-15 18:00");
  });
});

describe("what an operator asks for", () => {
  const refusal = (options: Partial<EventOptions>) => { try { newEvent(asked(options), TEST_NOW, ZONE); return "accepted"; } catch (error) { if (!(error instanceof Refused)) throw error; return error.message; } };
  test("watts, kilowatts, 0 and none", () => {
    const limits = (i?: string, e?: string) => { const { importLimit, exportLimit } = newEvent(asked({ import: i, export: e }), TEST_NOW, ZONE); return [importLimit, exportLimit]; };
    expect([limits("4200"), limits("4.2kW"), limits("0"), limits(undefined, "0"), limits("none", "2.75kW")]).toEqual([[4_200, null], [4_200, null], [0, null], [null, 0], [null, 2_750]]);
  });
  test.each<[string, Partial<EventOptions>, RegExp]>([
    ["PEERS: negative limit accepted (evcc#25545), the operator's side", { import: "-4200" }, /--import -4200: a limit is 0 W or more/],
    ["PEERS: open-ended cap rejected the first time (Tinkerforge p14a_enwg): one is told what to do instead", { for: undefined }, /--for is missing: an open-ended cap is not made. Give its length, at most 35d.*cap refresh/],
    ["half a watt", { import: "4200.5" }, /whole watts/], ["a word", { import: "lots" }, /whole watts/], ["2^31", { import: "2147483648" }, /at most 2147483647 W/],
    ["no limit", { import: undefined }, /a cap without a limit does nothing/],
    ["36 days", { for: "36d" }, /at most 35d/], ["0 s", { for: "0s" }, /give a duration/], ["a release of 2 days", { release: "2d" }, /--release 2d: at most 1d/],
    ["over before it is made", { start: "2026-01-15T12:00", for: "1h" }, /over already/], ["a start that is none", { start: "soon" }, /--start soon/],
  ])("%s", (_name, options, expected) => expect(refusal(options)).toMatch(expected));
  test("audiences", () => {
    for (const good of ["all", "ean:871685900000000006", "msr:T-12.a"]) expect(checkAudience(good)).toBe(good);
    for (const bad of [undefined, "ean:87168590000000000", "ean:8716859000000000061", "msr:", "msr:a/b", "msr:#", "ALL", "house"]) expect(() => checkAudience(bad)).toThrow(Refused);
    expect(eanWarning("ean:871685900000000004")).toBeNull();
    expect(eanWarning("ean:871685900000000006")).toMatch(/check digit/);
  });
});

describe("the state of an audience", () => {
  const key = testKey();
  const event = (start: number, duration = 600) => newEvent(asked({ start: `+${start}s`, for: `${duration}s` }), TEST_NOW, ZONE);
  test("the sequence rises, events that are over go, the token carries the whole state", () => {
    const state: OperatorState = { audiences: [] };
    const first = reissue(state, "all", key, TEST_NOW, 900, (events) => [...events, event(0)]);
    const second = reissue(state, "all", key, TEST_NOW, 900, (events) => [...events, event(300)]);
    const third = reissue(state, "all", key, TEST_NOW + 700, 900, (events) => events);
    expect([first.state.seq, second.state.seq, third.state.seq]).toEqual([TEST_NOW, TEST_NOW + 1, TEST_NOW + 700]);
    expect([first, second, third].map(({ state: { events } }) => events.length)).toEqual([1, 2, 1]);
    const decoded = decodeToken(third.token);
    expect(decoded.ok && { seq: decoded.token.seq, exp: decoded.token.exp, events: decoded.token.events }).toEqual({ seq: third.state.seq, exp: TEST_NOW + 1_600, events: third.state.events });
    expect(state.audiences.length).toBe(1);
  });
  test("a clock that goes back does not take the sequence with it", () => {
    const state: OperatorState = { audiences: [] };
    reissue(state, "all", key, TEST_NOW, 900, (events) => events);
    expect(reissue(state, "all", key, TEST_NOW - 5_000, 900, (events) => events).state.seq).toBe(TEST_NOW + 1);
  });
  test("16 events pass, the 17th is refused and changes nothing", () => {
    const state: OperatorState = { audiences: [] };
    for (let i = 0; i < 16; i++) reissue(state, "all", key, TEST_NOW, 900, (events) => [...events, event(i)]);
    const before = JSON.stringify(state);
    expect(() => reissue(state, "all", key, TEST_NOW, 900, (events) => [...events, event(99)])).toThrow(/all has 16 events already, and a token carries 16/);
    expect(JSON.stringify(state)).toBe(before);
  });
  test("a token of more than 720 bytes is refused and changes nothing", () => {
    const state: OperatorState = { audiences: [] };
    const long = Array.from({ length: 16 }, (_, i) => ({ ...event(i, 100_000), id: String(i).padStart(16, "0"), importLimit: 2_000_000_000, exportLimit: 2_000_000_000, release: 80_000 }));
    expect(() => reissue(state, `msr:${"x".repeat(60)}`, key, TEST_NOW, 900, () => long)).toThrow(/bytes, at most 720/);
    expect(state.audiences).toEqual([]);
  });
  test("one is told when the link ends before the cap, and of roles that houses refuse", () => {
    const issued = reissue({ audiences: [] }, "all", key, TEST_NOW, 900, () => [event(0, 7_200)]);
    expect(remarks(issued, key, TEST_NOW)).toEqual([expect.stringMatching(/link to the house ends 15m from now.*cap refresh/)]);
    expect(remarks(issued, testKey("maker"), TEST_NOW).join()).toMatch(/maker's key/);
    expect(remarks(reissue({ audiences: [] }, "all", key, TEST_NOW, 900, () => [event(0, 600)]), key, TEST_NOW)).toEqual([]);
  });
});

describe("files", () => {
  test("keys: readable by their owner alone, never overwritten, and the same when read again", () => {
    const file = join(folder, "a.key.json");
    writeKey(file, testKey("owner"));
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const { kid, role, x, y } = readKey(file);
    expect({ kid, role, x, y }).toEqual({ kid: testKey("owner").kid, role: "owner", x: testKey("owner").x, y: testKey("owner").y });
    expect(() => writeKey(file, testKey())).toThrow(/EEXIST/);
    expect(readKey(file).kid).toBe(testKey("owner").kid);
  });
  test("keys that are none say why", () => {
    const file = join(folder, "bad.json");
    for (const [text, expected] of [["{", /bad.json: .*JSON/], ["{}", /no private key/], ['{"d":"AA","role":"king"}', /role must be one of/], ['{"kty":"EC","crv":"P-256","x":"AA","y":"AA","d":"AA"}', /bad.json: /]] as const) {
      writeFileSync(file, text);
      expect(() => readKey(file)).toThrow(expected);
    }
    expect(() => readKey(join(folder, "none.json"))).toThrow(/no such file/);
  });
  test("many at once: each change finds the one before it, none is lost, no lock stays", async () => {
    const file = join(folder, "state.json");
    const seqs = await Promise.all(Array.from({ length: 12 }, () => withState(file, (state) => reissue(state, "all", testKey(), TEST_NOW, 900, (events) => events).state.seq)));
    expect([...seqs].sort()).toEqual(Array.from({ length: 12 }, (_, i) => TEST_NOW + i));
    expect(readState(file).audiences[0]!.seq).toBe(TEST_NOW + 11);
    expect(() => statSync(`${file}.lock`)).toThrow(/ENOENT/);
  });
  test("a change that fails leaves the file as it was and gives the lock back", async () => {
    const file = join(folder, "failing.json");
    await withState(file, (state) => reissue(state, "all", testKey(), TEST_NOW, 900, (events) => events));
    const before = readFileSync(file, "utf8");
    await expect(withState(file, (state) => { state.audiences = []; throw new Refused("no"); })).rejects.toThrow("no");
    expect(readFileSync(file, "utf8")).toBe(before);
    await withState(file, () => undefined);
  });
  test("a lock that is held is respected, one of a process that is gone is not", async () => {
    const file = join(folder, "locked.json");
    writeFileSync(`${file}.lock`, String(process.pid));
    await expect(withState(file, () => undefined, 100)).rejects.toThrow(/another process is at work/);
    writeFileSync(`${file}.lock`, "999999999");
    await withState(file, () => undefined, 100);
  });
  test("a state file that is something else is not taken for empty", async () => {
    const file = join(folder, "other.json");
    writeFileSync(file, '{"version":2}');
    await expect(withState(file, () => undefined)).rejects.toThrow(/not an operator's state file/);
    expect(readFileSync(file, "utf8")).toBe('{"version":2}');
  });
});

describe("cbor-x, kept to the shortest form", () => {
  test("no float, no long integer", () => {
    fc.assert(fc.property(fc.maxSafeInteger().map(Math.abs), (value) => {
      const bytes = cbor(whole(value, "x"));
      expect(bytes.length).toBe(value < 24 ? 1 : value < 256 ? 2 : value < 65_536 ? 3 : value < 2 ** 32 ? 5 : 9);
      expect(bytes[0]! >> 5).toBe(0);
    }), { numRuns: 200 });
    for (const wrong of [0.5, -1, NaN, Infinity, 2 ** 53]) expect(() => whole(wrong, "x")).toThrow(RangeError);
  });
});
