import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { expect } from "vitest";
import { nodePlatform } from "../../../hal/node/platform.js";
import { contract } from "../contract.js";

contract("hal/node", () => {
  const directory = mkdtempSync(join(tmpdir(), "vangnet-hal-"));
  const platform = nodePlatform({ dataDirectory: directory });
  return {
    platform,
    until: async (done) => {
      const end = Date.now() + 15_000;
      do {
        await delay(1);
      } while (!done() && Date.now() < end);
      expect(done()).toBe(true);
    },
    quiet: () => delay(40),
    pins: platform.pins,
    close: () => {
      platform.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
});
