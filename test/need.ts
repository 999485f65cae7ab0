/** What a test may find or miss on the machine. `.ci/run` sets VANGNET_REQUIRE=1 and allows no skip. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";

const probes = {
  socat: () => which("socat"),
  mosquitto: () => which("mosquitto") || existsSync("/usr/sbin/mosquitto"),
  chromium: () => which("chromium") || which("chromium-browser") || which("google-chrome"),
  cc: () => which("cc") && which("make"),
  python3: () => which("python3"),
  openssl: () => which("openssl"),
};
export type Need = keyof typeof probes;

function which(name: string): boolean {
  try {
    execFileSync("sh", ["-c", `command -v ${name}`], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

const found = new Map<Need, boolean>();

/** Null when all are there, else the reason for the skip; throws where skips are not allowed. */
export function missing(...needs: Need[]): string | null {
  for (const name of needs) {
    if (!found.has(name)) found.set(name, probes[name]());
    if (!found.get(name)) {
      if (process.env["VANGNET_REQUIRE"] === "1") throw new Error(`${name} is required here and was not found`);
      return `${name} not found`;
    }
  }
  return null;
}

/** For `describe.skipIf(absent("socat"))(titled("P1 over a pty", "socat"), …)`. */
export const absent = (...needs: Need[]): boolean => missing(...needs) !== null;
export const titled = (title: string, ...needs: Need[]): string => {
  const reason = missing(...needs);
  return reason === null ? title : `${title} [skipped: ${reason}]`;
};
