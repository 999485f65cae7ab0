import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Engine, engineMissing } from "../xs/engine.js";
import { vector } from "./read.js";
import { decode, prepare } from "./xs_entry.js";

const reason = engineMissing();
const entry = new URL("./xs_entry.ts", import.meta.url).pathname;

describe.skipIf(reason !== null)(`telegrams on XS${reason === null ? "" : ` [skipped: ${reason}]`}`, () => {
  let engine: Engine;
  beforeAll(async () => { engine = await Engine.start(entry); }, 120_000);
  afterAll(() => engine?.stop());

  const text = (name: string): string => String.fromCharCode(...vector(name));
  const cost = async (name: string): Promise<number> => {
    await engine.call("prepare", text(name));
    await engine.call("decode", 3);
    const few = await engine.call("decode", 2);
    const more = await engine.call("decode", 12);
    return (more.computrons - few.computrons) / 10;
  };

  it.each(["esmr5_text.txt", "emucs_3phase.txt", "dsmr42_3phase.txt", "hungary.txt", "austria_integer.txt", "heat_unpadded_crc.txt"])("%s reads as on Node", async (name) => {
    await engine.call("prepare", text(name));
    const onXs = (await engine.call("decode", 1)).value;
    prepare(text(name));
    expect(onXs).toEqual(JSON.parse(JSON.stringify(decode(1))));
  });

  it.each(["emucs_3phase.txt", "dsmr42_3phase.txt", "esmr5_text.txt"])("%s: at most 100,000 computrons for 900 bytes", async (name) => {
    expect(((await cost(name)) / vector(name).length) * 900).toBeLessThan(100_000);
  });

  it("a full text message that stays the same costs little more per byte", async () => {
    const length = vector("two_mbus_dead_first.txt").length;
    expect(await cost("two_mbus_dead_first.txt")).toBeLessThan(length * 80);
  });
});
