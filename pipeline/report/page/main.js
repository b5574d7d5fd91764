// The page: state from the address, answers from /v1/report and /v1/live, parts drawn from answers only.

import { file, follow, get, passes, Problem, signIn, signOut } from "./api.js";
import { showPartners, showSplits } from "./breakdowns.js";
import { draw, erase, filled } from "./chart.js";
import { by, option, put, save } from "./dom.js";
import { explain } from "./explain.js";
import { forget, latest, readWhole, showTiles } from "./numbers.js";
import { COLUMNS, funnel, health, lineOf, quality, top } from "./parts.js";
import { fittingWindow, listed, query, RANGES, readState, seconds, writeState } from "./state.js";

const TOP = 12;
const EVERY_MS = 5000;
const FUNNEL = ["plays", "quartile25", "quartile50", "quartile75", "quartile100"];
const QUALITY = ["bufferPerMinute", "bufferedViewRate", "averageBitrate", "averageJoinTime", "errors", "exitsBeforeStart"];

let state = readState(location.search);
let catalog = null;
let session = null;
let units = {};
let ends = [];
let timer = 0;
// Counts views: what was asked for an earlier one is not shown in the next.
let views = 0;
// By what met them, so that each goes away with its cause.
const problems = new Map();

const metric = (name) => catalog.metrics.find((one) => one.name === name);
// What a number means and how it is worked out, as the catalog says it.
const says = (name) => (metric(name) ? `${metric(name).says} (${metric(name).formula})` : "");
const known = (names) => names.filter((name) => name in units);

function complain(where, problem) {
  problems.set(where, problem.message);
  by("problem").textContent = [...new Set(problems.values())].join(" ");
  if (problem instanceof Problem && problem.status === 401) ask();
}

function calm(where) {
  problems.delete(where);
  by("problem").textContent = [...new Set(problems.values())].join(" ");
}

function change(changes) {
  state = { ...state, ...changes };
  history.pushState(null, "", location.pathname + writeState(state));
  fillControls();
  show();
}

function fillControls(all = false) {
  const form = by("controls");
  for (const name of ["partnerId", "entryId", "range", "window", "metric", "second"]) {
    if (all || form.elements[name] !== document.activeElement) form.elements[name].value = state[name];
  }
  form.elements.compare.checked = state.compare === "previous";
  form.elements.partnerId.disabled = session.partnerId !== null;
  if (session.partnerId !== null) form.elements.partnerId.value = session.partnerId;
}

function showSeries(window) {
  const metrics = known([...new Set([state.metric, state.second, "plays", "views", "bufferingRatio", ...FUNNEL, ...QUALITY])].filter(Boolean));
  const names = known([state.metric, state.second].filter((name, index, all) => name && all.indexOf(name) === index));
  const asked = query(state, window.name, { by: "time", metrics: metrics.join(","), order: "time", limit: "2000", compare: "previous" });
  ends.push(follow(asked, ["time"], (answer) => {
    const before = answer.previous?.totals ?? {};
    latest.totals = answer.totals;
    latest.before = before;
    showTiles(units, says);
    draw(filled(answer, window, names, units), names, names.map((name) => units[name]), state.compare === "previous");
    funnel(answer.totals);
    quality(answer.totals, known(QUALITY).map((name) => ({ name, unit: units[name], says: says(name) })));
  }, (problem) => complain("series", problem)));
  by("export").href = `/v1/report?${query(state, window.name, { by: "time,entry", metrics: metrics.join(","), format: "csv" })}`;
}

function showTop(window) {
  const metrics = COLUMNS.map(([name]) => name);
  const asked = query(state, window.name, { by: "partner,entry", metrics: metrics.join(","), order: state.order, limit: String(TOP) });
  const explained = (name) => metric(name)?.explained
    && ((of, { entry, partner }) => explain({
      metric: metric(of), of: entry, filters: { partnerId: partner, entryId: entry }, window: window.name, from: `now-${state.range}`,
      opener: () => [...by("top").querySelectorAll("[data-entry]")]
        .find(({ dataset }) => dataset.entry === entry && dataset.partner === partner)?.closest("tr").querySelector(`[data-number="${of}"]`),
    }));
  let lines = new Map();
  let over = false;
  ends.push(() => { over = true; });
  let drawn = "";
  ends.push(follow(asked, ["partnerId", "entryId"], async (answer) => {
    const order = state.order.replace("-", "");
    const sign = state.order.startsWith("-") ? -1 : 1;
    answer.rows.sort((a, b) => sign * ((a[order] ?? -Infinity) - (b[order] ?? -Infinity)));
    const paint = () => top(answer, lines, units, state.order, sort, (row) => change({ partnerId: row.partnerId, entryId: row.entryId }), explained, says);
    paint();
    put(by("entries"), ...answer.rows.map((row) => option(row.entryId, "")));
    const shownLines = answer.rows.filter((row) => row.entryId);
    const key = JSON.stringify([shownLines.map(lineOf), Math.floor(Date.now() / 10_000)]);
    if (shownLines.length && key !== drawn) {
      drawn = key;
      const found = await sparklines(window, shownLines).catch((problem) => over || complain("lines", problem));
      if (over || !(found instanceof Map)) return;
      calm("lines");
      lines = found;
      paint();
    }
  }, (problem) => complain("top", problem)));
}

async function sparklines(window, shownLines) {
  const entries = [...new Set(shownLines.map((row) => row.entryId))];
  const words = { by: "time,partner,entry", metrics: "views", order: "time", limit: "20000", entryId: listed(entries) };
  const answer = await get("/v1/report", query({ ...state, entryId: "" }, window.name, words));
  const steps = Math.max(2, Math.min(60, Math.floor(seconds(state.range) / window.seconds)));
  const lines = new Map(shownLines.map((row) => [lineOf(row), new Array(steps).fill(0)]));
  for (const row of answer.rows) {
    const at = Math.min(steps - 1, Math.floor(((row.time - answer.from) * steps) / (answer.to - answer.from)));
    const line = lines.get(lineOf(row));
    if (line !== undefined) line[at] += row.views;
  }
  return lines;
}

function sort(name) {
  change({ order: state.order === `-${name}` ? name : `-${name}` });
}

// Ends what the page follows and asks for.
function rest() {
  views += 1;
  ends.forEach((end) => end());
  ends = [];
  clearTimeout(timer);
}

function show() {
  rest();
  // Opened where nobody looks: shown when somebody does.
  if (document.hidden) return;
  for (const where of [...problems.keys()]) calm(where);
  forget();
  const [mine, asked] = [views, state];
  const isCurrent = () => mine === views;
  const window = fittingWindow(catalog.windows, asked);
  showSeries(window);
  showTop(window);
  const slow = async () => {
    try {
      const whole = await readWhole(asked, window);
      if (!isCurrent()) return;
      Object.assign(latest, whole);
      showTiles(units, says);
      await showSplits({ catalog, session, metric, state: () => state }, asked, window, isCurrent);
      if (isCurrent() && session.partnerId === null) await showPartners(asked, window, isCurrent);
      const status = isCurrent() ? await get("/v1/status") : null;
      if (!isCurrent()) return;
      health(status);
      calm("slow");
    } catch (problem) {
      if (!isCurrent()) return;
      complain("slow", problem);
    }
    // A 401 has ended the view.
    if (isCurrent()) timer = setTimeout(slow, EVERY_MS);
  };
  slow();
}

// Asks for a key. What was shown was another's, perhaps: nothing of it stays.
function ask() {
  rest();
  forget();
  erase();
  for (const id of ["tiles", "top", "funnel", "quality", "splits", "entries", "partners", "health"]) put(by(id));
  by("explain").close();
  by("export").removeAttribute("href");
  by("content").hidden = true;
  by("sign-out").hidden = true;
  by("sign-in").hidden = false;
  by("sign-in").elements.key.focus();
}

async function begin() {
  session = await get("/session");
  if (!session.signedIn) return ask();
  // A link of somebody else's, or the view of who was signed in before: a partner has one to look at.
  if (session.partnerId !== null) state = { ...state, partnerId: "" };
  catalog = await get("/v1/catalog");
  units = Object.fromEntries(catalog.metrics.map((one) => [one.name, one.unit]));
  by("sign-in").hidden = true;
  by("content").hidden = false;
  by("sign-out").hidden = session.csrfToken === null;
  const form = by("controls").elements;
  put(form.range, ...RANGES.map(([value, text]) => option(value, text)));
  put(form.window, option("", "fitting"), ...catalog.windows.map((one) => option(one.name, one.name)));
  put(form.metric, ...catalog.metrics.map((one) => option(one.name, one.name)));
  put(form.second, option("", "nothing"), ...catalog.metrics.map((one) => option(one.name, one.name)));
  fillControls(true);
  return show();
}

by("controls").addEventListener("change", (event) => {
  const field = event.target;
  change({ [field.name]: field.type === "checkbox" ? (field.checked ? "previous" : "") : field.value.trim() });
});
by("controls").addEventListener("submit", (event) => event.preventDefault());
by("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  by("sign-in-problem").textContent = "";
  try {
    await signIn(event.target.elements.key.value);
    event.target.reset();
    await begin();
  } catch (problem) {
    by("sign-in-problem").textContent = problem.message;
  }
});
by("sign-out").addEventListener("click", async () => {
  rest();
  try {
    await signOut(session.csrfToken);
  } catch (problem) {
    show();
    return complain("sign-out", problem);
  }
  state = readState("");
  history.pushState(null, "", location.pathname);
  await start();
});
by("export").addEventListener("click", async (event) => {
  event.preventDefault();
  try {
    save(await file(event.currentTarget.href));
    calm("export");
  } catch (problem) {
    complain("export", problem);
  }
});
const isShown = () => !by("content").hidden;
addEventListener("popstate", () => {
  state = readState(location.search);
  if (!isShown()) return;
  fillControls(true);
  show();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => isShown() && show());
// A browser has six connections to a report: who looks at another tab needs none.
document.addEventListener("visibilitychange", () => {
  if (!isShown()) return;
  if (document.hidden) rest();
  else show();
});

async function start() {
  try {
    await begin();
    calm("start");
  } catch (problem) {
    complain("start", problem);
    if (passes(problem)) setTimeout(start, EVERY_MS);
  }
}

start();
