// What is shown by a dimension beside the chart, and the partners that there are to pick from.

import { get } from "./api.js";
import { by, option, put } from "./dom.js";
import { explain } from "./explain.js";
import { splits } from "./parts.js";
import { fittingWindow, listed, query, wholeWindows } from "./state.js";
import { clock } from "./words.js";

const SPLITS = [
  ["playbackType", "Live or not"], ["country", "Country"], ["device", "Device"], ["operatingSystem", "System"],
  ["browser", "Browser"], ["domain", "Site"],
];
const MOST_PARTNERS = 200;

// The finest window, not finer than the chart's, in which a breakdown is kept for what is shown.
function splitWindow({ catalog }, dimension, asked, window) {
  const wanted = asked.entryId ? [dimension, "entryId"] : [dimension];
  const sets = catalog.sets.filter((set) => wanted.every((name) => set.dimensions.includes(name)));
  return catalog.windows.find((one) => one.seconds >= window.seconds && sets.some((set) => set.windows.includes(one.name)));
}

// Of a breakdown kept in coarser windows than the chart's, the whole ones that touch the range are shown.
function splitRange(kept, window, { range }) {
  return kept.seconds > window.seconds ? wholeWindows(range, kept.seconds) : { from: `now-${range}` };
}

// A number of a breakdown is explained where it is one partner's, and beacons say the dimension by themselves. What is
// shown is asked at the time of the click: the number may have stayed while other things changed.
function splitExplained(view, dimension) {
  const { catalog, session, metric } = view;
  const partner = () => view.state().partnerId || session.partnerId;
  if (!partner() || !catalog.dimensions.some((one) => one.name === dimension && one.explained)) return null;
  return (value) => {
    const state = view.state();
    const window = fittingWindow(catalog.windows, state);
    const kept = splitWindow(view, dimension, state, window);
    return explain({
      metric: metric("views"), of: value,
      filters: { partnerId: partner(), ...(state.entryId ? { entryId: state.entryId } : {}), [dimension]: value },
      window: kept.name, ...splitRange(kept, window, state),
      opener: () => [...by("splits").querySelectorAll(`[data-split="${dimension}"]`)].find(({ dataset }) => dataset.value === value),
    });
  };
}

export async function showSplits(view, asked, window, isCurrent) {
  const found = [];
  for (const [dimension, title] of SPLITS) {
    const kept = splitWindow(view, dimension, asked, window);
    if (!kept) continue;
    const range = splitRange(kept, window, asked);
    const words = { by: dimension, metrics: "views", order: "-views", limit: "6", ...range };
    const answer = await get("/v1/report", query(asked, kept.name, words));
    if (!isCurrent()) return;
    const since = range.to ? ` since ${clock(answer.from)}` : "";
    found.push({ title: title + since, dimension, answer, explained: splitExplained(view, dimension) });
  }
  splits(found);
}

// Those with most plays, for who sees them all and has to pick one.
export async function showPartners(asked, window, isCurrent) {
  const all = { ...asked, partnerId: "", entryId: "" };
  const words = { by: "partner", metrics: "plays", order: "-plays", limit: String(MOST_PARTNERS) };
  const answer = await get("/v1/report", query(all, window.name, words));
  if (isCurrent()) put(by("partners"), ...answer.rows.map((row) => option(row.partnerId, "")));
}
