import { readFileSync } from "node:fs";

/** From package.json, found from the bundle in dist as well as from the sources in tools. */
export const version: string = (JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as { version: string }).version;
