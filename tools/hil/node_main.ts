/** The firmware on Node for `npm run hil`: the same data directory as the Moddable build for Linux has. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { nodePlatform } from "../../hal/node/platform.js";
import { paced, type Pace } from "../../hal/paced.js";
import { Vangnet } from "../../src/main.js";
import { readSite } from "../../src/services/site_config.js";
import { version } from "../version.js";

const data = process.argv[2]!;
const read = readSite(readFileSync(join(data, "site.json"), "utf8"));
if (!read.ok) throw new Error(JSON.stringify(read.faults));
const node = nodePlatform({ dataDirectory: data });
const pace = join(data, "pace.json");
const platform = existsSync(pace) ? paced(node, JSON.parse(readFileSync(pace, "utf8")) as Pace, () => Date.now() / 1000) : node;
const controller = new Vangnet({ platform, ...read, version });
process.once("SIGTERM", () => {
  controller.close();
  setTimeout(() => process.exit(0), 50);
});
