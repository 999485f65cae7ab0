import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // Two cores: more workers only make the pty and broker tests late.
    maxWorkers: 2,
    // Shared machines stall for seconds: in CI a test may be tried once more, and the report says which was.
    retry: process.env["VANGNET_REQUIRE"] === "1" ? 1 : 0,
    reporters: process.env["VANGNET_REQUIRE"] === "1" ? ["default", "json"] : ["default"],
    outputFile: { json: "build/tests.json" },
  },
});
