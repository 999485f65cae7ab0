/**
 * The page at GET /: one HTML document with its own style and script, in Dutch and English, no
 * framework and no file from elsewhere. Pure ASCII, so that characters are bytes; no backquote and no
 * ${ in it. Values from the status are put in by textContent alone. The words of limits and reasons
 * are the page's own, for residents; those of the log stay English (limits/words.ts).
 */
import type { ByteSource } from "./http_connection.js";
import { PAGE_SCRIPT } from "./page_script.js";

export { PAGE_SCRIPT } from "./page_script.js";

const PIECE_CHARACTERS = 1_024;

export const PAGE_STYLE = `
:root{color-scheme:light dark;--bg:#f4f6f5;--card:#fff;--ink:#17211c;--soft:#52605a;--line:#d5ddd8;--ok:#0b6b43;--okbg:#dcf2e6;--warn:#7a4a00;--warnbg:#fdeccb;--bad:#9b1c1c;--badbg:#fbdedc;--bar:#3a7d5d}
@media(prefers-color-scheme:dark){:root{--bg:#101513;--card:#19211d;--ink:#e8eeea;--soft:#a3b1aa;--line:#2f3b35;--ok:#7fdcae;--okbg:#123726;--warn:#ffcf7d;--warnbg:#3d2c08;--bad:#ffb0a8;--badbg:#441816;--bar:#5fb58b}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.45 system-ui,sans-serif;font-variant-numeric:tabular-nums}
header,main{max-width:60rem;margin:0 auto;padding:.75rem 1rem}
header{display:flex;align-items:center;gap:.75rem;padding-bottom:0}
h1{font-size:1.15rem;margin:0;flex:1}
h1 small{display:block;font-weight:400;font-size:.8rem;color:var(--soft)}
h2{font-size:1rem;margin:0 0 .5rem}
main{display:grid;gap:.75rem;grid-template-columns:1fr}
@media(min-width:46rem){main{grid-template-columns:1fr 1fr}.wide{grid-column:1/-1}}
section{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:.9rem 1rem;min-width:0;overflow-wrap:anywhere}
.say{border-width:0 0 0 .4rem;font-size:1.1rem;background:var(--okbg);border-color:var(--ok);color:var(--ok)}
.say p{margin:0}
.say p+p{margin-top:.35rem;font-size:1rem}
.say.warn{background:var(--warnbg);border-color:var(--warn);color:var(--warn)}
.say.bad{background:var(--badbg);border-color:var(--bad);color:var(--bad)}
.big{font-size:2.3rem;font-weight:650;line-height:1.1}
.soft{color:var(--soft);font-size:.9rem}
.bar{height:.6rem;border-radius:.3rem;background:var(--line);overflow:hidden;margin:.6rem 0 .25rem}
.bar i{display:block;height:100%;background:var(--bar)}
.bar.over i{background:var(--bad)}
table{width:100%;border-collapse:collapse;margin-top:.6rem}
th,td{text-align:right;padding:.3rem 0;border-top:1px solid var(--line);font-weight:400}
th:first-child{text-align:left}
thead th{border:0;color:var(--soft);font-size:.85rem}
ul{list-style:none;margin:0;padding:0}
li{padding:.55rem 0;border-top:1px solid var(--line)}
li:first-child{border:0;padding-top:0}
.row{display:flex;flex-wrap:wrap;justify-content:space-between;gap:0 .75rem}
.tag{font-size:.85rem;margin-right:.3rem;border-radius:.3rem;padding:0 .4rem;background:var(--badbg);color:var(--bad)}
dl{display:grid;grid-template-columns:auto 1fr;gap:.35rem 1rem;margin:0}
dt{color:var(--soft)}
dd{margin:0;text-align:right}
button{font:inherit;min-width:2.9rem;min-height:2.75rem;border:1px solid var(--line);border-radius:.4rem;background:var(--card);color:var(--ink)}
button[aria-pressed=true]{background:var(--ink);color:var(--bg)}
:focus-visible{outline:3px solid var(--bar)}
.silent .live{opacity:.35}
`;

const HEAD = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>Vangnet</title>
<link rel="icon" href="data:,">
<style>`;

const BODY = `</style>
</head>
<body>
<header>
<h1>Vangnet <small id="serial"></small></h1>
<div role="group" aria-label="Taal / Language">
<button id="nl" lang="nl" type="button" aria-label="Nederlands">NL</button>
<button id="en" lang="en" type="button" aria-label="English">EN</button>
</div>
</header>
<main id="main">
<section id="say" class="say wide" role="status" aria-live="polite"><p id="say1"></p><p id="say2"></p><p id="say3"></p></section>
<section class="live" aria-labelledby="t_power"><h2 id="t_power"></h2>
<div class="big" id="net"></div><div class="soft" id="direction"></div>
<div class="bar" id="bar" aria-hidden="true"><i></i></div><div class="soft" id="room"></div>
<table><thead><tr><th scope="col" id="t_phase"></th><th scope="col" id="t_watts"></th><th scope="col" id="t_volts"></th><th scope="col" id="t_amps"></th></tr></thead><tbody id="phases"></tbody></table>
</section>
<section class="live" aria-labelledby="t_devices"><h2 id="t_devices"></h2><ul id="devices"></ul></section>
<section class="live" aria-labelledby="t_link"><h2 id="t_link"></h2><dl id="link"></dl></section>
<section class="live" aria-labelledby="t_events"><h2 id="t_events"></h2><ul id="events"></ul></section>
</main>
<script>`;

const END = `</script>
</body>
</html>
`;

const PARTS: readonly string[] = [HEAD, PAGE_STYLE, BODY, PAGE_SCRIPT, END];

/** The document in pieces of a kilobyte, so that the chip never holds it whole. */
export function pageSource(): ByteSource {
  let part = 0;
  let at = 0;
  let length = 0;
  for (const text of PARTS) length += text.length;
  return {
    length,
    next() {
      const text = PARTS[part];
      if (text === undefined) return null;
      const piece = text.slice(at, at + PIECE_CHARACTERS);
      at += PIECE_CHARACTERS;
      if (at >= text.length) {
        part++;
        at = 0;
      }
      return new TextEncoder().encode(piece);
    },
    close() {},
  };
}
