// The report's API as the page uses it: one answer, one file, one stream, the session.

export class Problem extends Error {
  constructor(status, said) {
    super(said.detail ?? said.title ?? `The report answered ${status}.`);
    this.status = status;
  }
}

// What passes by itself: no connection, a report that reads its counts yet, too many questions at a time.
export const passes = (problem) => !(problem instanceof Problem) || problem.status === 429 || problem.status >= 500;
const AGAIN_MS = 2000;

async function json(answer) {
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Problem(answer.status, said);
  return said;
}

export async function get(path, query = "", signal = null) {
  return json(await fetch(query ? `${path}?${query}` : path, { headers: { Accept: "application/json" }, signal }));
}

// A file of the report. Asked for here, not followed as a link: a browser does not say why a download was refused.
export async function file(address) {
  const answer = await fetch(address);
  if (!answer.ok) await json(answer);
  const [, name] = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition"));
  return { name, content: await answer.blob() };
}

export async function signIn(key) {
  return json(await fetch("/session", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ key }),
  }));
}

export async function signOut(csrfToken) {
  await json(await fetch("/session", { method: "DELETE", headers: { "X-CSRF-Token": csrfToken } }));
}

const nameOf = (row, by) => by.map((column) => row[column]).join("\u0000");

function listen(source, by, show, stopped) {
  let answer = null;
  let rows = new Map();
  const publish = (head) => {
    answer = { ...answer, ...head };
    show({ ...answer, rows: [...rows.values()] });
  };
  source.addEventListener("answer", (event) => {
    const { rows: all, ...head } = JSON.parse(event.data);
    rows = new Map(all.map((row) => [nameOf(row, by), row]));
    publish(head);
  });
  source.addEventListener("change", (event) => {
    const { rows: changed, gone, ...head } = JSON.parse(event.data);
    for (const row of gone) rows.delete(nameOf(row, by));
    for (const row of changed) rows.set(nameOf(row, by), row);
    publish(head);
  });
  source.addEventListener("fresh", (event) => answer && publish(JSON.parse(event.data)));
  source.addEventListener("problem", () => { source.close(); stopped(); });
  source.addEventListener("error", () => source.readyState === EventSource.CLOSED && stopped());
}

// Follows a query: `show` gets the whole answer each time something in it changed. Returns what ends it.
// A browser gives a stream up at the first answer that is none, as while the report starts, and does not say why: the
// same question asked once does. What passes is waited for; for the rest `fail` gets the problem, and it is over.
export function follow(query, by, show, fail) {
  let source = null;
  let timer = 0;
  let over = false;
  const open = () => {
    source = new EventSource(`/v1/live?${query}`);
    listen(source, by, show, again);
  };
  const again = async () => {
    try {
      await get("/v1/report", query);
    } catch (problem) {
      if (!over && !passes(problem)) return fail(problem);
    }
    if (!over) timer = setTimeout(open, AGAIN_MS);
  };
  open();
  return () => {
    over = true;
    clearTimeout(timer);
    source.close();
  };
}
