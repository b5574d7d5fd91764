// What the page shows, as the address bar holds it: a link is a view.

export const RANGES = [
  ["5m", "5 minutes"], ["15m", "15 minutes"], ["1h", "1 hour"], ["6h", "6 hours"],
  ["24h", "24 hours"], ["7d", "7 days"], ["30d", "30 days"],
];
const SECONDS = { m: 60, h: 3600, d: 86400 };
const DEFAULTS = { partnerId: "", entryId: "", range: "15m", window: "", metric: "views", second: "plays", compare: "", order: "-plays" };
// More points than this say nothing more on a screen, and no answer is longer.
const MOST_POINTS = 1000;

export function seconds(range) {
  const found = /^(\d{1,4})([mhd])$/.exec(range);
  return found ? Number(found[1]) * SECONDS[found[2]] : 900;
}

export function readState(search) {
  const given = new URLSearchParams(search);
  const state = {};
  for (const [name, fallback] of Object.entries(DEFAULTS)) state[name] = given.get(name) ?? fallback;
  if (!RANGES.some(([range]) => range === state.range)) state.range = DEFAULTS.range;
  return state;
}

export function writeState(state) {
  const kept = Object.entries(state).filter(([name, value]) => value !== DEFAULTS[name] && value !== "");
  return kept.length ? `?${new URLSearchParams(kept)}` : "";
}

// The finest window that answers a range with a bearable number of points.
export function fittingWindow(windows, state) {
  const length = seconds(state.range);
  const fits = (one) => length / one.seconds <= MOST_POINTS && length <= one.keepSeconds;
  const asked = windows.find((one) => one.name === state.window);
  return asked && fits(asked) ? asked : windows.find(fits) ?? windows[windows.length - 1];
}

// The range in whole windows that touch it: a window longer than the range would else be no part of it.
export function wholeWindows(range, size) {
  const now = Date.now() / 1000;
  return { from: String(Math.floor((now - seconds(range)) / size) * size), to: String(Math.ceil(now / size) * size) };
}

// A list is split at commas, so a comma inside of a value is escaped.
export const listed = (values) => values.map((value) => value.replace(/[\\,]/g, "\\$&")).join(",");

function filters(state) {
  const kept = {};
  if (state.partnerId) kept.partnerId = listed([state.partnerId]);
  if (state.entryId) kept.entryId = listed([state.entryId]);
  return kept;
}

// A query of /v1/report from words; lists are joined as the API wants them.
export function query(state, window, words) {
  return new URLSearchParams({ window, from: `now-${state.range}`, ...filters(state), ...words });
}
