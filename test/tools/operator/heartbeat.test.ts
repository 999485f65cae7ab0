/** The loop of `cap refresh --every`, in virtual time. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { heartbeat, retryWait } from "../../../tools/operator/heartbeat.js";

beforeEach(() => { vi.useFakeTimers(); });
afterEach(() => { vi.useRealTimers(); });

/** Each beat takes 100 ms and gives what `answer` says; the times at which beats began, in seconds. */
function begin(everyMs: number, answer: (beat: number) => boolean) {
  const began: number[] = [], words: string[] = [];
  const from = performance.now();
  const code = heartbeat(everyMs, async () => {
    began.push((performance.now() - from) / 1_000);
    await new Promise((resolve) => setTimeout(resolve, 100));
    return answer(began.length);
  }, (said) => words.push(said));
  return { began, words, code };
}

test("beats keep their pace, whatever a beat takes; SIGINT lets the beat under way finish, and ends with 0", async () => {
  const { began, code, words } = begin(300_000, () => true);
  await vi.advanceTimersByTimeAsync(900_050);
  expect(began).toEqual([0, 300, 600, 900]);
  process.emit("SIGINT");
  await vi.advanceTimersByTimeAsync(200);
  expect(await code).toBe(0);
  expect(words).toEqual([]);
  expect(vi.getTimerCount()).toBe(0);
});

test("a failure is tried again after 2 s, 4 s, … and at least each minute; then the pace is the old one", async () => {
  const { began, code, words } = begin(300_000, (beat) => beat === 1 || beat > 8);
  await vi.advanceTimersByTimeAsync(1_000_000);
  expect(began.slice(0, 10).map((at) => at.toFixed(1))).toEqual(["0.0", "300.0", "302.1", "306.2", "314.3", "330.4", "362.5", "422.6", "482.7", "782.7"]);
  expect(words.slice(0, 3)).toEqual(["again in 2 s", "again in 4 s", "again in 8 s"]);
  process.emit("SIGTERM");
  await vi.advanceTimersByTimeAsync(1);
  expect(await code).toBe(0);
});

test("stopped while nothing gets through: 1, and the signals are everybody's again", async () => {
  const before = process.listenerCount("SIGINT");
  const { code } = begin(1_000, () => false);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(process.listenerCount("SIGINT")).toBe(before + 1);
  process.emit("SIGINT");
  await vi.advanceTimersByTimeAsync(200);
  expect(await code).toBe(1);
  expect(process.listenerCount("SIGINT")).toBe(before);
});

test("a refusal ends it, and a retry never comes later than the next beat would", async () => {
  const code = heartbeat(1_000, () => Promise.reject(new Error("refused")), () => {});
  await expect(code).rejects.toThrow("refused");
  for (let failures = 1; failures < 40; failures++) {
    for (const every of [1_000, 30_000, 600_000]) expect(retryWait(failures, every)).toBeLessThanOrEqual(Math.min(every, 60_000));
  }
});
