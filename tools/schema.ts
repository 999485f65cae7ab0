/** The JSON Schema of site.json, generated from the schema that checks it. `npm run schema` writes it. */
import { toJsonSchema } from "@valibot/to-json-schema";
import { siteSchema } from "../src/services/site_config.js";

export function siteJsonSchema(): string {
  // `check` actions are rules in code: the JSON Schema says the shape, `vangnet config check` the rest.
  const schema = toJsonSchema(siteSchema, { typeMode: "input", errorMode: "ignore" });
  return JSON.stringify({ title: "Vangnet site", description: "One house: its connection, meter, limits, devices. Units end the names.", ...schema }, null, 2) + "\n";
}
