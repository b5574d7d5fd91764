// The key numbers: sums as the stream tells them; the rest is read out of every hour of the range, every few seconds.

import { get } from "./api.js";
import { tiles } from "./parts.js";
import { query, wholeWindows } from "./state.js";
import { clock, shown } from "./words.js";

const HOUR = 3600;
// What no sum says: asked for apart from the stream, as it is read out of every hour of the range.
const NOTHING = { totals: {}, previous: { totals: {} }, estimates: {} };
const UNKNOWN = { totals: {}, before: {}, peak: NOTHING, whole: NOTHING, now: null, nowBefore: null };
export const latest = { ...UNKNOWN };

export function forget() {
  Object.assign(latest, UNKNOWN);
}

export function showTiles(units, says) {
  const totals = { ...latest.totals, ...latest.peak.totals };
  const before = { ...latest.before, ...latest.peak.previous.totals };
  const tile = (name, title) => ({ name: title, value: totals[name] ?? null, unit: units[name], before: before[name] ?? null, says: says(name) });
  tiles([
    { name: "Audience now", value: latest.now, unit: "sessions", before: latest.nowBefore, says: "Sessions that watched in the last full 10 s." },
    tile("peak", "Peak"), sessionsTile(), tile("plays", "Plays"), tile("views", "Views"), tile("bufferingRatio", "Buffering ratio"),
  ]);
}

// Distinct sessions of a range are known by whole minutes; of one shown in hours, by those that it touches.
function sessionsTile() {
  const { totals, estimates = {}, from } = latest.whole;
  const about = estimates.sessions ? `, ${shown(estimates.sessions.error, "ratio")} off at most in ${shown(estimates.sessions.confidence, "ratio")} of cases` : "";
  const since = from === undefined ? "" : `since ${clock(from)}${about}`;
  return { name: "Sessions", value: totals.sessions ?? null, unit: "sessions", before: undefined, says: since };
}

// Asks for what the stream does not say.
export async function readWhole(asked, window) {
  const peak = await get("/v1/report", query(asked, window.name, { by: "", metrics: "peak", compare: "previous" }));
  const [name, range] = window.seconds < HOUR ? ["1m", {}] : ["1h", wholeWindows(asked.range, HOUR)];
  const whole = await get("/v1/report", query(asked, name, { by: "", metrics: "sessions", ...range }));
  const audience = await get("/v1/report", query({ ...asked, range: "2m" }, "10s", { by: "time", metrics: "audience", order: "time" }));
  return { peak, whole, ...audienceNow(audience) };
}

// The last 10 s that are counted to their end, and those a minute before; null where they are not known.
function audienceNow(answer) {
  const through = Math.floor((answer.countedThrough ?? 0) / 10) * 10 - 10;
  const at = (start) => answer.rows.find((row) => row.time === start);
  const audience = (start) => (start < answer.from ? null : at(start) ? at(start).audience : 0);
  return { now: audience(through), nowBefore: audience(through - 60) || null };
}
