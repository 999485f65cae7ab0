import tseslint from "typescript-eslint";

/** Stages of the core in the order of the data's way out; each may import only those behind it. */
const stages = ["actuation", "allocation", "budget", "limits", "reading", "telegram", "token", "wire"];
const core = [...stages.map((stage) => `src/${stage}/**/*.ts`), "src/controller.ts", "src/compliance.ts", "src/units.ts", "src/constants.ts", "src/site.ts"];

export default tseslint.config(
  { ignores: ["dist/", "build/", "coverage/", "node_modules/"] },
  ...tseslint.configs.recommended,
  {
    rules: {
      "@typescript-eslint/no-non-null-assertion": "off",
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      eqeqeq: "error",
      "no-var": "error",
      "prefer-const": "error",
      "no-empty": ["error", { allowEmptyCatch: false }],
    },
  },
  {
    files: core,
    rules: {
      "no-restricted-globals": ["error", "Date", "setTimeout", "setInterval", "console", "process", "Buffer", "TextDecoder", "TextEncoder", "performance"],
      "no-restricted-properties": ["error",
        { object: "Math", property: "random", message: "the core is deterministic" },
        { object: "Math", property: "exp", message: "engines differ in the last bit: integers only" },
        { object: "Math", property: "pow", message: "engines differ in the last bit: integers only" }],
      "no-restricted-syntax": ["error",
        { selector: "Literal[regex]", message: "regular expressions are 240 times slower on XS: parse bytes" },
        { selector: "ThrowStatement", message: "expected failures are values" },
        { selector: "ClassDeclaration[superClass]", message: "no subclassing in the core" }],
    },
  },
  {
    files: ["src/**/*.ts"],
    rules: { "no-restricted-imports": ["error", { patterns: ["node:*", "**/hal/node/*", "**/hal/sim/*", "**/tools/*", "**/test/*"] }] },
  },
);
