/** The firmware's tools behind npm scripts: `node dist/firmware.mjs build|flash|size|manifest …`. */
import { build } from "./build.js";
import { flash } from "./flash.js";
import { run as manifest } from "./manifest.js";
import { size } from "./size.js";

const verbs: Record<string, (args: string[]) => Promise<number>> = { build, flash, manifest, size };
const [verb = "", ...args] = process.argv.slice(2);
process.exitCode = verb in verbs ? await verbs[verb]!(args) : 2;
