/** The page: its bounds, and in Chromium what a resident reads, on a phone and on a desktop, in Dutch and English. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium, type BrowserContext, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { NO_LIMIT } from "../../src/limits/limit.js";
import { PAGE_SCRIPT, pageSource } from "../../src/services/page.js";
import { makeStatus, type Status } from "../../src/services/status.js";
import { absent, titled } from "../need.js";
import { realServer } from "./http_world.js";
import { cap, input, limits, NOON, reading, reports } from "./status_world.js";

function whole(): string {
  const source = pageSource();
  let text = "";
  for (let piece = source.next(); piece !== null; piece = source.next()) text += new TextDecoder().decode(piece);
  return text;
}

describe("the document", () => {
  test("is at most 16 KB of ASCII, as long as it says", () => {
    const text = whole();
    expect(text.length).toBe(pageSource().length);
    expect(text.length).toBeLessThanOrEqual(16_384);
    expect([...text].every((c) => c === "\n" || (c >= " " && c <= "~"))).toBe(true);
  });

  test("asks no other host, and never makes HTML of a value", () => {
    expect(whole()).not.toMatch(/https?:/);
    expect(PAGE_SCRIPT).not.toMatch(/innerHTML|insertAdjacentHTML|document\.write|eval\(/);
  });

  test("has the same words in both languages, and words for every limit source, reason and state", () => {
    const tables = new Function(`${PAGE_SCRIPT.slice(0, PAGE_SCRIPT.indexOf("var DASH"))};return T`)() as Record<"en" | "nl", Record<string, unknown>>;
    const shape = (value: unknown): unknown => (typeof value === "object" && value !== null ? Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, shape(inner)]).sort()) : typeof value);
    expect(shape(tables.nl)).toEqual(shape(tables.en));
    const known: Record<string, string[]> = {
      y: ["cap", "release", "contact", "failsafe", "start", "voltage", "tariff", "owner", "static", "connection", "fuse"],
      r: ["asked_in_full", "limited", "below_minimum", "waits_start", "waits_off_time", "on_time", "rising", "overload", "unused", "meter_stale", "meter_never", "meter_ageing",
        "offline", "not_wanted", "surplus", "blocked", "block_spent", "block_minimum", "block_apart", "covers_shortage"],
      s: ["start", "controlled", "limited", "failsafe", "autonomous"], k: ["ev", "battery", "inverter", "heat_pump"], f: ["fresh", "ageing", "stale", "never"],
    };
    for (const [table, keys] of Object.entries(known)) expect(Object.keys(tables.en[table] as object).sort(), table).toEqual(keys.sort());
  });
});

describe.skipIf(absent("chromium"))(titled("in Chromium", "chromium"), () => {
  const screenshots = join(dirname(fileURLToPath(import.meta.url)), "../../build/screenshots");
  let profile = "";
  let context: BrowserContext;
  let house: Awaited<ReturnType<typeof realServer>>;
  let status: () => Status = () => makeStatus(input());
  let answering = true;

  beforeAll(async () => {
    mkdirSync(screenshots, { recursive: true });
    profile = mkdtempSync(join(tmpdir(), "vangnet-page-"));
    const executablePath = execFileSync("sh", ["-c", "command -v chromium || command -v chromium-browser || command -v google-chrome"], { encoding: "utf8" }).trim();
    context = await chromium.launchPersistentContext(profile, {
      executablePath, locale: "nl-NL", timezoneId: "Europe/Amsterdam",
      args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
    });
    house = await realServer({ status: () => { if (!answering) throw new Error("gone"); return JSON.stringify(status()); } });
  }, 60_000);
  afterAll(async () => {
    await context?.close();
    house?.close();
    rmSync(profile, { recursive: true, force: true });
  });

  const problems: string[] = [];
  let page: Page;
  afterEach(async () => { await page?.close(); answering = true; status = () => makeStatus(input()); });

  async function open(size: { width: number; height: number }, lang: "nl" | "en", colorScheme: "light" | "dark" = "light"): Promise<void> {
    problems.length = 0;
    page = await context.newPage();
    page.on("console", (message) => { if (message.type() === "error" || message.type() === "warning") problems.push(message.text()); });
    page.on("pageerror", (error) => problems.push(error.message));
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize(size);
    await page.goto(`${house.base}/`);
    await page.click(`#${lang}`);
    // A number, or the dash of a meter that is silent; not yet the question that is under way.
    await page.waitForFunction(() => (document.getElementById("serial")?.textContent ?? "") !== "");
  }
  const text = async (selector: string): Promise<string> => (await page.locator(selector).innerText()).replace(/\s+/g, " ").trim();
  const shot = (name: string) => page.screenshot({ path: join(screenshots, `${name}.png`), fullPage: true });
  const PHONE = { width: 360, height: 740 };
  const DESKTOP = { width: 1200, height: 800 };

  const limited = (): Status => makeStatus(input({
    limits: limits({ import: cap, state: "limited", next: { id: "n", start: NOON + 86_400, end: NOON + 90_000, importLimit: 2_000, exportLimit: null } }),
  }));

  test.each([
    ["phone", PHONE, "nl", "light"], ["phone", PHONE, "en", "dark"], ["desktop", DESKTOP, "nl", "dark"], ["desktop", DESKTOP, "en", "light"],
  ] as const)("a cap in force, %s, %o, %s, %s", async (name, size, lang, scheme) => {
    status = limited;
    await open(size, lang, scheme);
    expect(await page.getAttribute("html", "lang")).toBe(lang);
    const say = await text("#say");
    expect(say).toMatch(lang === "nl"
      ? /^Hoogstens 4,2 kW van het net tot .*20:00, omdat uw netbeheerder daarom vraagt\. Straks: hoogstens 2 kW van het net van .*18:00 tot .*19:00\./
      : /^At most 4\.2 kW from the grid until .*(20:00|8:00 PM|08:00 PM), because your grid operator asks for it\. Next: at most 2 kW from the grid from /i);
    expect(await text("#net")).toBe(lang === "nl" ? "3,87 kW" : "3.87 kW");
    expect(await text("#direction")).toBe(lang === "nl" ? "van het net" : "from the grid");
    expect(await text("#phases tr:nth-child(2)")).toBe(lang === "nl" ? "L2 1,32 kW 230,4 V 6 A" : "L2 1.32 kW 230.4 V 6 A");
    const devices = await text("#devices");
    expect(devices).toContain(lang === "nl" ? "Laadpaal charger uit Te weinig ruimte voor het minimum: uit, omdat uw netbeheerder daarom vraagt" : "Car charger charger off Too little room for its minimum: off, because your grid operator asks for it");
    expect(devices).toContain(lang === "nl" ? "Thuisbatterij battery levert 1,2 kW Ontlaadt" : "Battery battery delivers 1.2 kW Discharges");
    expect(devices).toContain(lang === "nl" ? "levert 1,18 kW" : "delivers 1.18 kW");
    expect(devices).toContain(lang === "nl" ? "gepauzeerd" : "paused");
    expect(devices).toContain(lang === "nl" ? "Storing: contact_stuck" : "Fault: contact_stuck");
    expect(await text("#link")).toContain(lang === "nl" ? "verbonden, beperking van kracht" : "connected, limit in force");
    expect(await text("#events li:first-child")).toContain("cap a1b2c3d4 in force");
    // Nothing runs out of the screen sideways, and what is pressed is large enough for a finger.
    expect(await page.evaluate(() => document.documentElement.scrollWidth <= document.documentElement.clientWidth)).toBe(true);
    const box = await page.locator("#nl").boundingBox();
    expect(Math.min(box!.width, box!.height)).toBeGreaterThanOrEqual(44);
    await shot(`cap-${name}-${lang}-${scheme}`);
    expect(problems).toEqual([]);
  });

  test("no limit: said so; export is named", async () => {
    status = () => makeStatus(input({ limits: limits({ import: NO_LIMIT }), reading: { ...reading, net: -2_450, power: [-800, -800, -850] } }));
    await open(PHONE, "en");
    expect(await text("#say")).toBe("No limit is in force. Only your main fuse counts.");
    expect(await text("#net")).toBe("2.45 kW");
    expect(await text("#direction")).toBe("to the grid");
    await shot("none-phone-en-light");
    expect(problems).toEqual([]);
  });

  test("a cap of 0 W is shown as the strictest limit", async () => {
    status = () => makeStatus(input({ limits: limits({ import: { ...cap, watts: 0, until: null } }) }));
    await open(PHONE, "en");
    expect(await text("#say")).toBe("At most 0 W from the grid, because your grid operator asks for it.");
    expect(await text("#room")).toBe("3.87 kW of 0 W in use");
  });

  test("a silent meter: dashes and a warning, no old numbers", async () => {
    status = () => makeStatus(input({ freshness: "stale", limits: limits({ import: { ...cap, source: "failsafe" }, state: "failsafe" }), reports: reports.map((one) => ({ ...one, online: false })) }));
    await open(DESKTOP, "nl");
    expect(await text("#say")).toMatch(/^De slimme meter zwijgt\. De apparaten staan op hun veilige stand\. Hoogstens 4,2 kW van het net tot .*omdat er niets geldigs van uw netbeheerder is gehoord\.$/);
    expect(await text("#net")).toBe("\u2013");
    expect(await text("#phases tr:first-child")).toBe("L1 \u2013 \u2013 \u2013");
    await shot("stale-desktop-nl-light");
    expect(problems).toEqual([]);
  });

  test("the controller stops answering: said within seconds, every number gone; it comes back by itself", async () => {
    await open(PHONE, "en");
    expect(await text("#net")).toBe("3.87 kW");
    answering = false;
    await page.waitForFunction(() => document.getElementById("say")?.innerText.includes("has not answered since"), undefined, { timeout: 10_000 });
    expect(await text("main")).not.toMatch(/kW|\d V|\d A\b/);
    await shot("gone-phone-en-light");
    answering = true;
    await page.waitForFunction(() => document.getElementById("net")?.textContent === "3.87 kW", undefined, { timeout: 10_000 });
  });

  test("values are text, whatever they contain; the language is remembered", async () => {
    const nasty = "<img src=x onerror=alert(1)>";
    status = () => makeStatus(input({ reports: reports.map((one) => ({ ...one, fault: nasty })), events: [{ time: null, type: "x", words: nasty }] }));
    await open(PHONE, "nl");
    expect(await text("#events")).toBe(nasty);
    expect(await page.locator("main img").count()).toBe(0);
    await page.reload();
    await page.waitForFunction(() => (document.getElementById("serial")?.textContent ?? "") !== "");
    expect(await page.getAttribute("#nl", "aria-pressed")).toBe("true");
    expect(problems).toEqual([]);
  });

  test("the first language is the browser's own", async () => {
    await open(PHONE, "en");
    await page.evaluate(() => localStorage.clear());
    await page.reload();
    await page.waitForFunction(() => (document.getElementById("serial")?.textContent ?? "") !== "");
    expect(await page.getAttribute("html", "lang")).toBe("nl");
  });

  test("text stands out from its ground, light and dark (WCAG 2: 4.5 to 1)", async () => {
    status = limited;
    for (const scheme of ["light", "dark"] as const) {
      await open(DESKTOP, "en", scheme);
      const poor = await page.evaluate(() => {
        const rgb = (color: string): number[] => (color.match(/[\d.]+/g) ?? []).map(Number);
        const light = ([r = 0, g = 0, b = 0]: number[]): number => [r, g, b].map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i]!, 0);
        const ground = (node: Element | null): number[] => { for (; node; node = node.parentElement) { const c = rgb(getComputedStyle(node).backgroundColor); if (c.length === 3 || c[3] === 1) return c; } return [255, 255, 255]; };
        const found: string[] = [];
        for (const node of document.querySelectorAll("body *")) {
          const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent!.trim() !== "");
          if (!own || !(node as HTMLElement).offsetParent) continue;
          const [a, b] = [light(rgb(getComputedStyle(node).color)), light(ground(node))];
          const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
          if (ratio < 4.5) found.push(`${node.tagName} ${node.textContent?.slice(0, 30)}: ${ratio.toFixed(2)}`);
        }
        return found;
      });
      expect(poor, scheme).toEqual([]);
      await page.close();
    }
  });
});
