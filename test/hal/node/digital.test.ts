/** The kernel's sysfs GPIO as a folder: what is written where, and in what order it matters. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { nodePlatform, type NodePlatform } from "../../../hal/node/platform.js";

describe("hal/node's Digital over sysfs", () => {
  let root = "";
  let gpio = "";
  let platform: NodePlatform;
  const line = (n: number, value = "0") => {
    mkdirSync(join(gpio, `gpio${n}`), { recursive: true });
    writeFileSync(join(gpio, `gpio${n}`, "value"), `${value}\n`);
    writeFileSync(join(gpio, `gpio${n}`, "active_low"), "1\n");
    writeFileSync(join(gpio, `gpio${n}`, "direction"), "in\n");
  };
  const file = (...path: string[]) => readFileSync(join(gpio, ...path), "latin1").trim();
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "vangnet-gpio-"));
    gpio = join(root, "gpio");
    mkdirSync(join(gpio, "gpiochip512"), { recursive: true });
    for (const [name, text] of [["base", "512"], ["label", "pinctrl-bcm2711"], ["ngpio", "58"]]) writeFileSync(join(gpio, "gpiochip512", name!), `${text}\n`);
    writeFileSync(join(gpio, "export"), "");
    writeFileSync(join(gpio, "unexport"), "");
    platform = nodePlatform({ dataDirectory: join(root, "data"), gpioDirectory: gpio });
  });
  afterEach(() => {
    platform.close();
    rmSync(root, { recursive: true, force: true });
  });

  it("sets direction and level of an output in one step, and ignores an active_low left behind", () => {
    line(17);
    const pin = new platform.Digital({ pin: 17, mode: "output", initialValue: 1 });
    expect([file("gpio17", "direction"), file("gpio17", "active_low"), file("export")]).toEqual(["high", "0", ""]);
    pin.write(0);
    expect(file("gpio17", "value")).toBe("0");
    pin.write(1);
    expect([file("gpio17", "value"), pin.read()]).toEqual(["1", 1]);
    pin.close();
    expect(file("unexport")).toBe("");
  });

  it("active low is ours: a contact that is off at the start is never on for a moment", () => {
    line(17);
    const pin = new platform.Digital({ pin: 17, mode: "output", activeLow: true });
    expect(file("gpio17", "direction")).toBe("high");
    pin.write(1);
    expect([file("gpio17", "value"), pin.read()]).toEqual(["0", 1]);
  });

  it("finds a line by its chip's label or directory, and names what it does not find", () => {
    line(529);
    for (const name of ["pinctrl-bcm2711/17", "gpiochip512/17"]) {
      new platform.Digital({ pin: name, mode: "output" }).close();
      expect(file("gpio529", "direction")).toBe("low");
    }
    expect(() => new platform.Digital({ pin: "nochip/3", mode: "input" })).toThrow("gpio nochip/3: no such chip");
    expect(() => new platform.Digital({ pin: "gpiochip512/58", mode: "input" })).toThrow("the chip has 58 lines");
    expect(() => new platform.Digital({ pin: "../17", mode: "input" })).toThrow("no such chip");
    expect(() => new platform.Digital({ pin: "relay", mode: "output" })).toThrow("not a line");
    expect(() => new platform.Digital({ pin: 17, mode: "inputPullUp" })).toThrow("pull-up");
  });

  it("exports a line that is not yet, and throws where the kernel gives none", () => {
    expect(() => new platform.Digital({ pin: 4, mode: "output" })).toThrow();
    expect(file("export")).toBe("4");
  });

  it("reads an input, tells of its changes, and throws where it cannot be read", async () => {
    line(5);
    let changes = 0;
    const pin = new platform.Digital({ pin: 5, mode: "input", onReadable: () => { changes++; } });
    expect([pin.read(), file("gpio5", "direction")]).toEqual([0, "in"]);
    writeFileSync(join(gpio, "gpio5", "value"), "1\n");
    await vi.waitUntil(() => changes === 1);
    expect(pin.read()).toBe(1);
    writeFileSync(join(gpio, "gpio5", "value"), "\n");
    expect(() => pin.read()).toThrow("value reads");
    unlinkSync(join(gpio, "gpio5", "value"));
    expect(() => pin.read()).toThrow();
    expect(() => pin.write(1)).toThrow("input");
    pin.close();
    expect(existsSync(join(gpio, "gpio5"))).toBe(true);
  });
});
