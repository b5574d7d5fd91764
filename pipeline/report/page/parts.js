// The parts of the page below the chart: tiles, top entries, funnel, quality, splits, health.

import { by, make, put, spark } from "./dom.js";
import { age, shown, trend, trendText } from "./words.js";

export function tiles(list) {
  put(by("tiles"), ...list.map(({ name, value, unit, before, says }) => {
    const change = trend(value, before);
    const mood = change === null || change === 0 ? "" : change > 0 ? "up" : "down";
    return make("div", { class: "tile", title: says, "data-tile": name },
      make("div", { class: "name" }, name),
      make("div", { class: "number" }, shown(value, unit)),
      make("div", { class: `trend ${mood}` }, before === undefined ? says : trendText(change)));
  }));
}

export const COLUMNS = [
  ["plays", "plays"], ["views", "views"], ["minutesWatched", "minutes"], ["playRate", "play rate"], ["bufferingRatio", "buffering"],
];

// A number that single beacons make can be opened; whose it is, its row says at the time of the click.
function number(name, row, units, explain) {
  const text = shown(row[name], units[name]);
  if (!explain || !row[name]) return make("td", {}, text);
  const onclick = (event) => explain(name, event.currentTarget.closest("tr").querySelector("[data-entry]").dataset);
  return make("td", {}, make("button", { type: "button", "data-number": name, title: "Show the beacons behind this number", onclick }, text));
}

// Whose sparkline: two partners may have an entry of one name.
export const lineOf = (row) => `${row.partnerId}\u0000${row.entryId}`;

export function top(answer, series, units, order, sort, pick, explained, says) {
  const sorted = (name) => (order === `-${name}` ? "descending" : order === name ? "ascending" : "none");
  const head = make("tr", {}, make("th", { scope: "col" }, "entry"), make("th", { scope: "col" }, "over time"),
    ...COLUMNS.map(([name, text]) => make("th", { scope: "col", "aria-sort": sorted(name) },
      make("button", { type: "button", title: says(name), "data-sort": name, onclick: () => sort(name) },
        text + { descending: " ▼", ascending: " ▲", none: "" }[sorted(name)]))));
  const rows = answer.rows.map((row) => make("tr", {},
    make("td", {}, make("button", { type: "button", "data-entry": row.entryId, "data-partner": row.partnerId, onclick: () => pick(row) }, row.entryId || "(none)")),
    make("td", {}, spark(series.get(lineOf(row)) ?? [])),
    ...COLUMNS.map(([name]) => number(name, row, units, explained(name)))));
  put(by("top"), make("thead", {}, head), make("tbody", {}, ...rows));
}

const STEPS = [["plays", "played"], ["quartile25", "25 %"], ["quartile50", "50 %"], ["quartile75", "75 %"], ["quartile100", "to the end"]];

export function funnel(totals) {
  const most = Math.max(1, totals.plays ?? 0);
  put(by("funnel"), ...STEPS.map(([name, text]) => make("li", {},
    make("span", {}, text),
    make("progress", { max: String(most), value: String(Math.min(most, totals[name] ?? 0)), "aria-label": text }),
    make("span", {}, `${shown(totals[name], "events")} · ${shown(totals.plays ? totals[name] / totals.plays : null, "ratio")}`))));
}

export function quality(totals, metrics) {
  put(by("quality"), ...metrics.flatMap(({ name, unit, says }) => [
    make("div", { title: says }, make("dt", {}, name), make("dd", {}, shown(totals[name], unit)))]));
}

function splitNumber(dimension, row, explained) {
  const text = shown(row.views, "events");
  if (!explained || !row.views) return make("span", {}, text);
  const words = { type: "button", "data-split": dimension, "data-value": row[dimension], title: "Show the beacons behind this number" };
  return make("button", { ...words, onclick: () => explained(row[dimension]) }, text);
}

export function splits(found) {
  put(by("splits"), ...found.map(({ title, dimension, answer, explained }) => {
    const most = Math.max(1, ...answer.rows.map((row) => row.views));
    return make("div", {}, make("h3", {}, title), ...answer.rows.map((row) => make("div", { class: "bar" },
      make("span", { title: String(row[dimension]) }, row[dimension] || "(none)"),
      make("progress", { max: String(most), value: String(row.views), "aria-label": row[dimension] || "none" }),
      splitNumber(dimension, row, explained))));
  }));
}

// Freshness for everybody; for operators also what is behind it.
export function health(status) {
  const late = status.countedThrough === null ? Infinity : Date.now() / 1000 - status.countedThrough;
  const said = late === Infinity ? "not counted through yet" : `counted through ${age(late)} ago`;
  const parts = [make("span", { class: late > 10 ? "late" : "" }, said)];
  if (status.recordsBehind !== undefined && status.recordsBehind !== null) parts.push(` · ${status.recordsBehind} records behind`);
  if (status.ledger) {
    const { beacons = 0, unique = 0, duplicates = 0, unknownTypes = 0, rejected = 0 } = status.ledger;
    const adds = beacons === unique + duplicates + unknownTypes + rejected;
    parts.push(make("span", { class: adds ? "" : "late" },
      ` · ${shown(beacons, "events")} beacons = ${shown(unique, "events")} counted + ${shown(duplicates, "events")} repeats + ${shown(unknownTypes, "events")} unknown + ${shown(rejected, "events")} rejected${adds ? "" : ": DOES NOT ADD UP"}`));
  }
  if (status.heldBy) parts.push(make("span", { class: "late" }, ` · held by ${status.heldBy}`));
  put(by("health"), ...parts);
}
