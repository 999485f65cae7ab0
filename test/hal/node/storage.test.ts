import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { nodePlatform, storeDirectory, type NodePlatform } from "../../../hal/node/platform.js";

describe("hal/node's storage", () => {
  let root = "";
  let platform: NodePlatform;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "vangnet-storage-"));
    platform = nodePlatform({ dataDirectory: join(root, "data") });
  });
  afterEach(() => {
    platform.close();
    rmSync(root, { recursive: true, force: true });
  });

  it("what a killed process left half written is not a key, and is cleared away", () => {
    const directory = storeDirectory(join(root, "data"), "state");
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, "~cap"), "half");
    writeFileSync(join(directory, "cap"), "whole");
    const store = platform.storage.open({ path: "state" });
    expect(store.keys()).toEqual(["cap"]);
    expect(readdirSync(directory)).toEqual(["cap"]);
    expect(Buffer.from(store.read("cap")!).toString()).toBe("whole");
  });

  it("no key and no file name leads out of its directory", () => {
    const store = platform.storage.open({ path: "../../out" });
    for (const key of ["..", ".", "../x", "/etc/x", "~x", "a/b"]) {
      store.write(key, Uint8Array.of(1));
      expect(new Uint8Array(store.read(key)!)).toEqual(Uint8Array.of(1));
    }
    expect(store.keys()).toHaveLength(6);
    expect(readdirSync(root)).toEqual(["data"]);
    for (const path of ["..", "../x", "/etc/x", "a/b", "", ".hidden"]) {
      expect(() => platform.files.openFile({ path, mode: "w+" }), path).toThrow("not a file name");
      expect(() => platform.files.delete(path), path).toThrow("not a file name");
      expect(() => platform.files.move("x", path), path).toThrow("not a file name");
    }
    expect(existsSync(join(root, "x"))).toBe(false);
  });

  it("nobody else on the machine reads it", () => {
    const store = platform.storage.open({ path: "state" });
    store.write("key", Uint8Array.of(1));
    platform.files.openFile({ path: "log", mode: "w+" }).close();
    expect(statSync(join(root, "data")).mode & 0o077).toBe(0);
    expect(statSync(join(storeDirectory(join(root, "data"), "state"), "key")).mode & 0o077).toBe(0);
    expect(statSync(join(root, "data", "files", "log")).mode & 0o077).toBe(0);
  });
});
