import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { nodePlatform } from "../../../hal/node/platform.js";
import { absent, titled } from "../../need.js";
import { serialContract, watched } from "../contract.js";

async function line() {
  const directory = mkdtempSync(join(tmpdir(), "vangnet-serial-"));
  const ends = [join(directory, "a"), join(directory, "b")] as const;
  const socat: ChildProcess = spawn("socat", [`PTY,link=${ends[0]},raw,echo=0`, `PTY,link=${ends[1]},raw,echo=0`], { stdio: "ignore" });
  const gone = new Promise<void>((resolve) => socat.once("exit", () => resolve()));
  const platform = nodePlatform({ dataDirectory: directory });
  const until = async (done: () => boolean) => {
    const end = Date.now() + 15_000;
    do {
      await delay(1);
    } while (!done() && Date.now() < end);
    expect(done()).toBe(true);
  };
  await until(() => ends.every((end) => existsSync(end)));
  return {
    platform, line: ends, until,
    quiet: () => delay(40),
    unplug: async () => {
      socat.kill("SIGKILL");
      await gone;
    },
    close: () => {
      platform.close();
      socat.kill("SIGKILL");
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

describe.skipIf(absent("socat"))(titled("hal/node's serial lines", "socat"), () => {
  serialContract("keep the ECMA-419 contract", line);

  it("carry ten telegrams' worth of any byte, in order and whole", async () => {
    const host = await line();
    try {
      const bytes = Uint8Array.from({ length: 40_000 }, (_, i) => (i * 31 + (i >> 8)) & 0xff);
      let sent = 0;
      const received: Buffer[] = [];
      let size = 0;
      const left = new host.platform.Serial({
        device: host.line[0], baud: 115_200, format: "buffer",
        onWritable: (count) => {
          const part = bytes.subarray(sent, sent + count);
          sent += part.length;
          left.write(part);
        },
      });
      const right = new host.platform.Serial({
        device: host.line[1], baud: 115_200, format: "buffer",
        onReadable: () => {
          const part = Buffer.from(right.read()!);
          received.push(part);
          size += part.length;
        },
      });
      await host.until(() => size >= bytes.length);
      expect(Buffer.concat(received).equals(bytes)).toBe(true);
      left.close();
      right.close();
    } finally {
      host.close();
    }
  });

  it.each([0, 1, 5, 20, 60])("a cable pulled out %i ms after the start is one onError, and the device opens again when it is back", async (ms) => {
    const host = await line();
    try {
      const watch = watched();
      watch.stream = new host.platform.Serial({ device: host.line[0], baud: 115_200, format: "buffer", ...watch.callbacks });
      await host.until(() => watch.free > 0);
      await delay(ms);
      await host.unplug();
      await host.until(() => watch.said.includes("error"));
      await host.quiet();
      expect(watch.said.filter((what) => what === "error")).toHaveLength(1);
      watch.stream.close();
    } finally {
      host.close();
    }
    const next = await line();
    const watch = watched();
    watch.stream = new next.platform.Serial({ device: next.line[0], baud: 115_200, format: "buffer", ...watch.callbacks });
    await next.until(() => watch.free > 0);
    next.close();
  });

  it("closed before it is open, says nothing and lets the device go", async () => {
    const host = await line();
    try {
      const first = watched();
      first.stream = new host.platform.Serial({ device: host.line[0], baud: 115_200, format: "buffer", ...first.callbacks });
      first.stream.close();
      const late = watched();
      late.stream = new host.platform.Serial({ device: host.line[0], baud: 115_200, format: "buffer", ...late.callbacks });
      await delay(1);
      late.stream.close();
      await host.quiet();
      expect([...first.said, ...late.said.filter((what) => what === "error")]).toEqual([]);
      const again = watched();
      again.stream = new host.platform.Serial({ device: host.line[0], baud: 115_200, format: "buffer", ...again.callbacks });
      await host.until(() => again.free > 0);
      expect(again.said).not.toContain("error");
    } finally {
      host.close();
    }
  });
});
