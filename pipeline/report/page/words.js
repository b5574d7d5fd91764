// Numbers and times as people read them.

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const two = new Intl.NumberFormat(undefined, { maximumFractionDigits: 2 });
const percent = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 });

// No value is a dash: never a zero that nobody measured.
export function shown(value, unit) {
  if (value === null || value === undefined) return "–";
  if (unit === "ratio") return percent.format(value);
  if (unit === "s") return `${two.format(value)} s`;
  if (unit === "min") return `${two.format(value)} min`;
  if (unit === "kbps") return `${whole.format(value)} kbit/s`;
  return Math.abs(value) >= 100_000 ? short.format(value) : whole.format(value);
}

export function trend(now, before) {
  if (now === null || before === null || before === undefined || before === 0) return null;
  return now / before - 1;
}

export function trendText(change) {
  if (change === null) return "no period before";
  const sign = change > 0 ? "▲" : change < 0 ? "▼" : "=";
  return `${sign} ${percent.format(Math.abs(change))} to the period before`;
}

export function clock(seconds) {
  return new Date(seconds * 1000).toLocaleString(undefined, { dateStyle: "short", timeStyle: "medium" });
}

export function age(seconds) {
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}
