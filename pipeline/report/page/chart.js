// One chart of two metrics over time, drawn by uPlot; its table says the same to those who cannot see it.

import { by, make, put } from "./dom.js";
import { clock, shown } from "./words.js";

const WHOLE = Array.from({ length: 16 }, (_, power) => [1, 2, 5].map((one) => one * 10 ** power)).flat();

let plot = null;
let drawn = "";

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function options(names, units, before) {
  const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line") }, ticks: { stroke: colour("--line") } };
  const line = (name, unit, scale, stroke, dash) => ({
    label: name, scale, stroke, dash, width: 2, spanGaps: false, points: { show: false },
    value: (_, value) => shown(value, unit),
  });
  const series = [{ value: (_, value) => (value === null ? "" : clock(value)) }];
  names.forEach((name, index) => series.push(line(name, units[index], `y${index}`, colour(index ? "--two" : "--one"))));
  if (before) series.push(line(`${names[0]} before`, units[0], "y0", colour("--one"), [4, 4]));
  // Of what is counted there are no halves: marks between two whole numbers would say one of them twice.
  const marks = (unit) => (unit === "events" || unit === "sessions" ? { incrs: WHOLE } : {});
  const axes = [{ ...axis }, { ...axis, ...marks(units[0]), scale: "y0", size: 64, values: (_, ticks) => ticks.map((tick) => shown(tick, units[0])) }];
  if (names.length > 1) {
    axes.push({ ...axis, ...marks(units[1]), scale: "y1", side: 1, size: 64, grid: { show: false }, values: (_, ticks) => ticks.map((tick) => shown(tick, units[1])) });
  }
  const range = (_, low, high) => [0, Math.max(1e-9, high ?? 1) * 1.05];
  return { width: by("chart").clientWidth, height: 280, series, axes, scales: { y0: { range }, y1: { range } }, cursor: { drag: { x: true } } };
}

// Every window of the range that is counted to its end, those without a row too: nothing came in them. A window that
// is still open, or not counted yet, is shown as far as it has a row, and never as a zero.
export function filled(answer, window, metrics, units) {
  const rows = new Map(answer.rows.map((row) => [row.time, row]));
  const nothing = Object.fromEntries(metrics.map((name) => [name, units[name] === "events" || units[name] === "sessions" ? 0 : null]));
  const all = [];
  const first = Math.ceil(answer.from / window.seconds) * window.seconds;
  for (let time = first; time + window.seconds <= answer.to; time += window.seconds) {
    const counted = answer.countedThrough !== null && time + window.seconds <= answer.countedThrough;
    if (rows.has(time) || counted) all.push(rows.get(time) ?? { time, ...nothing });
  }
  return all;
}

// rows: every window of the range in order, with its metrics, and `previous` when a period before is shown.
export function draw(rows, names, units, before) {
  const data = [rows.map((row) => row.time), ...names.map((name) => rows.map((row) => row[name]))];
  if (before) data.push(rows.map((row) => row.previous?.[names[0]] ?? null));
  const wanted = JSON.stringify([names, before, matchMedia("(prefers-color-scheme: dark)").matches]);
  if (plot === null || wanted !== drawn) {
    plot?.destroy();
    by("chart").replaceChildren();
    plot = new uPlot(options(names, units, before), data, by("chart"));
    drawn = wanted;
  } else {
    plot.setData(data);
  }
  const last = rows.at(-1);
  by("chart-text").textContent = last
    ? `${rows.length} windows up to ${clock(last.time)}: ${names.map((name, index) => `${name} ${shown(last[name], units[index])}`).join(", ")} in the last.`
    : "Nothing was counted in this range.";
  table(rows, names, units);
}

// Shows nothing: whose it was may have gone.
export function erase() {
  plot?.destroy();
  plot = null;
  for (const id of ["chart", "chart-text", "chart-table"]) by(id).replaceChildren();
}

function table(rows, names, units) {
  if (!by("chart-table").closest("details").open) return;
  const head = make("thead", {}, make("tr", {}, ...["time", ...names].map((name) => make("th", { scope: "col" }, name))));
  const body = make("tbody", {}, ...rows.toReversed().map((row) => make("tr", {},
    make("td", {}, clock(row.time)), ...names.map((name, index) => make("td", {}, shown(row[name], units[index]))))));
  put(by("chart-table"), head, body);
}

addEventListener("resize", () => plot?.setSize({ width: by("chart").clientWidth, height: 280 }));
