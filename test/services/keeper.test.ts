import { expect, test } from "vitest";
import { TOKEN_STORE_RETRY_MS } from "../../src/constants.js";
import { Keeper } from "../../src/services/keeper.js";
import { Store } from "../../src/services/store.js";
import { SimWorld } from "../../hal/sim/world.js";

function kept() {
  const platform = new SimWorld({ seed: 1, crypto: { sha256: (data) => data, verifyP256: () => false } }).platform("controller");
  const store = new Store(platform.storage.open({ path: "vangnet" }));
  const faults: string[] = [];
  return { platform, store, faults, keeper: new Keeper(store, (detail) => faults.push(detail)) };
}
const stored = (limits: string | null, sgReady: string | null = null) => ({ limits, sgReady, clock: null });

test("what is kept is restored", () => {
  const { keeper, store } = kept();
  keeper.keep({ limits: "a", sgReady: "b", clock: "c" }, 0);
  keeper.keep(stored(null), 1);
  expect(new Keeper(store, () => {}).restore()).toEqual({ limits: "a", sgReady: "b", clock: "c" });
});

test("a refused write is told once, tried again, and the newest text wins", () => {
  const { keeper, store, platform, faults } = kept();
  platform.flash.broken = true;
  keeper.keep(stored("one", "block"), 0);
  keeper.keep(stored(null), TOKEN_STORE_RETRY_MS);
  keeper.keep(stored("two"), TOKEN_STORE_RETRY_MS + 1);
  expect(faults).toHaveLength(2);
  expect(keeper.pending).toBe(2);
  platform.flash.broken = false;
  keeper.keep(stored(null), 2 * TOKEN_STORE_RETRY_MS);
  expect(keeper.pending, "not before its time").toBe(2);
  keeper.keep(stored(null), 2 * TOKEN_STORE_RETRY_MS + 1);
  expect(keeper.pending).toBe(0);
  expect(new Keeper(store, () => {}).restore()).toEqual({ limits: "two", sgReady: "block", clock: null });
});

test("a newer text that is taken leaves no older one to come back", () => {
  const { keeper, store, platform } = kept();
  platform.flash.broken = true;
  keeper.keep(stored("old"), 0);
  platform.flash.broken = false;
  keeper.keep(stored("new"), TOKEN_STORE_RETRY_MS);
  keeper.keep(stored(null), 3 * TOKEN_STORE_RETRY_MS);
  expect(new Keeper(store, () => {}).restore().limits).toBe("new");
});
