import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // Two cores: more workers only make the pty and broker tests late.
    maxWorkers: 2,
    reporters: process.env["VANGNET_REQUIRE"] === "1" ? ["default", "json"] : ["default"],
    outputFile: { json: "build/tests.json" },
  },
});
