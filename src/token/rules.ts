/** CAPS.md, Life 1: the rules in the order in which they are tried. A refusal names the first that failed. */
export type TokenRule =
  | "size" | "structure" | "kid" | "role" | "range" | "signature" | "audience" | "times" | "sequence";

export const TOKEN_RULES: readonly TokenRule[] =
  ["size", "structure", "kid", "role", "range", "signature", "audience", "times", "sequence"];

export interface Refusal {
  readonly ok: false;
  readonly rule: TokenRule;
  /** For people: what was found, and what would have been right. */
  readonly detail: string;
}

export const refuse = (rule: TokenRule, detail: string): Refusal => ({ ok: false, rule, detail });
