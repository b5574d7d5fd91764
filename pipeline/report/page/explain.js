// From a number of the table to the beacons behind it: a dialog over /v1/events, one window at a time.

import { get } from "./api.js";
import { by, make, option, put } from "./dom.js";
import { listed } from "./state.js";
import { clock, shown } from "./words.js";

const FURTHER = { before: "86400", after: "86400" };
const CUT = {
  retention: "a part of it is no longer in Kafka",
  beacons: "it holds more beacons than are read for one answer",
  deadline: "there was no time for all of it",
};
const AGAIN_MS = 1000;
let asked = 0;
let open = null;
// Of the question under way: who chooses another window waits for no earlier one.
let under = new AbortController();

// cell: its filters by dimension, of what it is for people, the metric as the catalog describes it, the window of the page
// and its range, from where to where, and where the focus goes afterwards.
export async function explain(cell) {
  open = cell;
  const mine = ++asked;
  by("explain-title").textContent = `${cell.metric.name} of ${cell.of || "(none)"}`;
  by("explain-formula").textContent = `${cell.metric.says} Counted as: ${cell.metric.formula}.`;
  say("…");
  put(by("explain-window"));
  if (!by("explain").open) by("explain").showModal();
  const words = { window: cell.window, from: cell.from, ...(cell.to ? { to: cell.to } : {}), by: "time", metrics: cell.metric.name, order: "-time", limit: "500" };
  await telling(mine, async () => {
    const filters = Object.fromEntries(Object.entries(cell.filters).map(([name, value]) => [name, listed([value])]));
    const answer = await get("/v1/report", new URLSearchParams({ ...words, ...filters }));
    if (mine !== asked) return;
    const rows = answer.rows.filter((row) => row[cell.metric.name]);
    put(by("explain-window"), ...rows.map((row) => option(String(row.time), `${clock(row.time)}: ${shown(row[cell.metric.name], cell.metric.unit)}`)));
    if (rows.length === 0) return say("Nothing was counted for it in this range.");
    by("explain-window").value = String(rows[0].time);
    return look();
  });
}

async function look(more = {}) {
  const mine = ++asked;
  say("…");
  under.abort();
  under = new AbortController();
  const { signal } = under;
  await telling(mine, async () => {
    const words = { ...open.filters, window: open.window, metric: open.metric.name };
    const answer = await get("/v1/events", new URLSearchParams({ ...words, start: by("explain-window").value, ...more }), signal);
    if (mine === asked) tell(answer);
  }, () => look(more));
}

// Says what went wrong, unless something else is asked for by now; another's turn is waited for.
async function telling(mine, ask, again) {
  try {
    await ask();
  } catch (problem) {
    if (mine !== asked) return;
    say(problem.message);
    if (again && problem.status === 429) setTimeout(() => mine === asked && by("explain").open && again(), AGAIN_MS);
  }
}

function say(text) {
  by("explain-sum").textContent = text;
  by("explain-further").hidden = true;
  put(by("explain-beacons"));
}

const numbers = (values) => Object.entries(values).map(([name, value]) => `${name} ${value ?? "–"}`).join(", ");

function tell(answer) {
  const parts = [`${answer.totalBeacons} beacons give ${numbers(answer.found)}.`];
  parts.push(answer.equal ? "The report says the same." : `The report says ${numbers(answer.inReport)}.`);
  if (answer.repeats) parts.push(`${answer.repeats} repeats of them were passed over.`);
  if (answer.totalBeacons > answer.beacons.length) parts.push(`The first ${answer.beacons.length} are shown.`);
  parts.push(`Looked at what Kafka took in from ${clock(answer.lookedAt.from)} to ${clock(answer.lookedAt.to)}`);
  const cut = answer.lookedAt.cut.map((why) => CUT[why] ?? why);
  say(parts.join(" ") + (cut.length ? `: ${cut.join("; ")}.` : "."));
  by("explain-further").hidden = answer.equal;
  const head = ["received (UTC)", "event", "adds", "repeats", "waited", "session", "says"];
  const rows = answer.beacons.map((one) => make("tr", {},
    make("td", {}, new Date(one.time * 1000).toISOString().slice(11, 23)),
    make("td", {}, one.event ?? String(one.eventType)),
    make("td", {}, numbers(one.adds)),
    make("td", {}, String(one.repeats)),
    make("td", {}, `${one.waited.toFixed(1)} s`),
    make("td", {}, one.session.slice(0, 6) || "–"),
    make("td", { class: "says" }, Object.entries(one.parameters).map(([name, value]) => `${name}=${value}`).join(" "))));
  put(by("explain-beacons"), make("thead", {}, make("tr", {}, ...head.map((name) => make("th", { scope: "col" }, name)))),
    make("tbody", {}, ...rows));
}

by("explain-window").addEventListener("change", () => look());
by("explain-further").addEventListener("click", () => look(FURTHER));
by("explain-close").addEventListener("click", () => by("explain").close());
// What was opened may have been drawn anew meanwhile: the focus goes back to where it is now.
by("explain").addEventListener("close", () => { under.abort(); open.opener()?.focus(); });
