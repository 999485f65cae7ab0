// Stands in for tsc in a firmware build: mcconfig asks for one file at a time, `-p TSCONFIG`. The
// types of the whole project are `npm run types`'s business.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { transformSync } from "esbuild";

const config = JSON.parse(readFileSync(process.argv[process.argv.indexOf("-p") + 1], "utf8"));
const [source] = config.files;
// mcconfig looks for the output under the source's whole path.
const out = join(config.compilerOptions.outDir, dirname(source).slice(1));
const { code, map } = transformSync(readFileSync(source, "utf8"), {
  loader: "ts", format: "esm", target: "es2022", sourcefile: relative(out, source), sourcemap: "external",
  tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: true } },
});
// Constants of a module are frozen with all that hangs on them before they are preloaded: what is not
// frozen costs RAM for each object, in case somebody writes to it. (The second argument is XS's own:
// deep.) test/xs runs the core frozen in the same way.
const names = (pattern) => [...code.matchAll(pattern)].map((match) => match[1]);
const frozen = [
  ...names(/^(?:export )?const ([\w$]+) = (?![-\d"'`(]|[\w$]+ =>|async )/gm),
  ...names(/^(?:export )?function\* ([\w$]+)/gm).map((name) => `${name}.prototype`),
].map((name) => `Object.freeze(${name}, true);\n`).join("");
const name = basename(source, ".ts");
mkdirSync(out, { recursive: true });
writeFileSync(join(out, `${name}.js`), `${code}${frozen}//# sourceMappingURL=${name}.js.map\n`);
writeFileSync(join(out, `${name}.js.map`), map);
