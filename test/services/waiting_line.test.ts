import { expect, test } from "vitest";
import { BUSY_RETRY_MS, BUSY_WAITING_MAX } from "../../src/constants.js";
import { WaitingLine } from "../../src/services/waiting_line.js";
import { SimWorld } from "../../hal/sim/world.js";

function line() {
  const world = new SimWorld({ seed: 1, crypto: { sha256: (data) => data, verifyP256: () => false } });
  const offered: string[] = [];
  const waiting = new WaitingLine(world.platform("controller").timer);
  const wait = (channel: "p1" | "mqtt", name: string, again = false) => waiting.wait(channel, () => offered.push(name), again);
  return { waiting, offered, wait, later: () => world.runFor(BUSY_RETRY_MS) };
}

test("the newest of a channel wait, and are offered newest first", () => {
  const { offered, wait, later } = line();
  for (let i = 1; i <= BUSY_WAITING_MAX + 2; i++) wait("mqtt", `m${i}`);
  wait("p1", "p");
  later();
  expect(offered).toEqual(["p", "m5", "m4", "m3"]);
});

test("one that waited before is older than all that came meanwhile, and gives way to them", () => {
  const { offered, wait, later } = line();
  wait("mqtt", "new");
  wait("mqtt", "waited", true);
  later();
  expect(offered).toEqual(["new", "waited"]);
  for (let i = 1; i <= BUSY_WAITING_MAX; i++) wait("mqtt", `m${i}`);
  wait("mqtt", "old", true);
  later();
  expect(offered.slice(2)).toEqual(["m3", "m2", "m1"]);
});

test("closed, nothing is offered any more", () => {
  const { waiting, offered, wait, later } = line();
  wait("p1", "p");
  waiting.close();
  wait("p1", "q");
  later();
  expect(offered).toEqual([]);
});
