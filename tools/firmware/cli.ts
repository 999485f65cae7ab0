/** The firmware's tools behind npm scripts: `node dist/firmware.mjs build|manifest …`. */
import { build } from "./build.js";
import { run as manifest } from "./manifest.js";

const [verb, ...args] = process.argv.slice(2);
process.exitCode = verb === "build" ? await build(args) : verb === "manifest" ? await manifest() : 2;
