import { expect } from "vitest";
import { sha256, verifyP256Sync } from "../../../hal/node/crypto.js";
import { SimWorld } from "../../../hal/sim/world.js";
import { contract, serialContract } from "../contract.js";

function make() {
  const world = new SimWorld({ seed: 1, crypto: { sha256, verifyP256: verifyP256Sync } });
  const platform = world.platform("home");
  world.serialPair("/dev/ttyA", "/dev/ttyB");
  return {
    platform,
    until: (done: () => boolean) => {
      expect(world.runUntil(done, world.now + 60_000)).toBe(true);
      return Promise.resolve();
    },
    quiet: () => {
      world.runFor(1_000);
      return Promise.resolve();
    },
    pins: { get: (name: string) => platform.pins.get(`virtual:${name}`) },
    line: ["/dev/ttyA", "/dev/ttyB"] as const,
    close: () => {},
  };
}

contract("hal/sim", make);
serialContract("hal/sim's serial lines keep the ECMA-419 contract", make);
