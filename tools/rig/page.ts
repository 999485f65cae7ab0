/** The scoreboard as one HTML page without a script: a table, the failures, and a chart per run drawn. */
import type { Chart } from "./job.js";
import type { Score } from "./score.js";

const escape = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
const COLOURS = ["#0b6", "#c60", "#60c", "#066", "#c06", "#660", "#339", "#933"];
const WIDTH = 900;

export function scorePage(score: Score, charts: readonly Chart[]): string {
  const rows = score.rows.map((row) => `<tr><td>${escape(row.name)}<td>${row.trials.toLocaleString("en")}<td>${row.goal === 0 ? "" : row.goal.toLocaleString("en")}`
    + `<td class="${row.failures > 0 ? "bad" : ""}">${row.failures}<td>${row.perSecond.toPrecision(3)}<td>${row.bound === null ? "–" : row.bound.toExponential(1)}<td>${escape(row.note)}`).join("\n");
  const failures = score.failures.map(({ what, seed, detail, replay, words }) =>
    `<details open><summary>${escape(what)}, seed ${seed}</summary><p>${escape(detail)}<p><code>${escape(replay)}</code><pre>${escape(words.join("\n"))}</pre></details>`).join("\n");
  const faults = Object.entries(score.faults).sort(([a], [b]) => (a < b ? -1 : 1)).map(([kind, count]) => `${escape(kind)} ${count}`).join(", ");
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Vangnet rig: ${score.level}, seed ${score.seed}</title>
<style>body{font:14px/1.4 system-ui,sans-serif;margin:2em;max-width:1000px}table{border-collapse:collapse}td,th{padding:2px 10px;text-align:right;border-bottom:1px solid #ddd}td:first-child,td:last-child,th:first-child{text-align:left}.bad{color:#b00;font-weight:bold}svg{display:block;margin:4px 0 14px;background:#fafafa}pre{background:#f4f4f4;padding:8px;overflow:auto}</style>
<h1>Vangnet rig</h1>
<p>Level ${score.level}, seed ${score.seed}, commit ${escape(score.commit)}, began ${escape(score.began)}, ${score.seconds} s: <b class="${score.passed ? "" : "bad"}">${score.passed ? "no breach" : `${score.failures.length} breaches`}</b>.
Zero failures in N trials bound the rate at 3/N (95 %).</p>
<table><tr><th>trial<th>N<th>goal<th>failures<th>per s and core<th>rate ≤<th>
${rows}</table>
<p>Faults put in: ${faults}.</p>
${failures === "" ? "" : `<h2>Breaches</h2>\n${failures}`}
<h2>Runs</h2>
${charts.map(chartOf).join("\n")}
</html>
`;
}

function chartOf(chart: Chart): string {
  const hours = (chart.net.length * chart.stepS) / 3_600;
  return `<h3>${escape(chart.title)}, ${hours.toFixed(1)} h</h3>
${panel("net power (highest of each step) and limit, W", 140, [{ values: chart.net, colour: "#06c" }, { values: chart.limit, colour: "#d00" }])}
${panel("setpoints: mA, W or SG Ready state, each on its own scale", 120, chart.setpoints.map((values, i) => ({ values: scaled(values), colour: COLOURS[i % COLOURS.length]!, name: chart.names[i]! })))}
${panel("lowest voltage on L1, V", 70, [{ values: chart.volts, colour: "#555" }])}`;
}

interface Line { readonly values: readonly (number | null)[]; readonly colour: string; readonly name?: string }

const scaled = (values: readonly number[]): number[] => {
  const most = Math.max(1, ...values.map(Math.abs));
  return values.map((value) => value / most);
};

function panel(title: string, height: number, lines: readonly Line[]): string {
  let low = Infinity, high = -Infinity;
  for (const { values } of lines) for (const value of values) if (value !== null) [low, high] = [Math.min(low, value), Math.max(high, value)];
  if (!(high > low)) [low, high] = [Number.isFinite(low) ? low - 1 : 0, Number.isFinite(low) ? low + 1 : 1];
  const y = (value: number): string => (height - 4 - ((value - low) / (high - low)) * (height - 22)).toFixed(1);
  const paths = lines.map(({ values, colour }) => {
    let path = "", pen = false;
    values.forEach((value, i) => {
      if (value === null) pen = false;
      else {
        path += `${pen ? "L" : "M"}${((i * WIDTH) / Math.max(1, values.length - 1)).toFixed(1)} ${y(value)}`;
        pen = true;
      }
    });
    return `<path d="${path}" fill="none" stroke="${colour}"/>`;
  }).join("");
  const names = lines.filter(({ name }) => name !== undefined).map(({ name, colour }) => `<tspan fill="${colour}"> ${escape(name!)}</tspan>`).join("");
  return `<svg width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}"><text x="4" y="12" font-size="11">${escape(title)} (${low.toPrecision(4)} … ${high.toPrecision(4)})${names}</text>${paths}</svg>`;
}
