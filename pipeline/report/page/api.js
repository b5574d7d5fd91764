// The report's API as the page uses it: one answer, one stream, the session.

export class Problem extends Error {
  constructor(status, said) {
    super(said.detail ?? said.title ?? `The report answered ${status}.`);
    this.status = status;
  }
}

async function json(answer) {
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Problem(answer.status, said);
  return said;
}

export async function get(path, query = "") {
  return json(await fetch(query ? `${path}?${query}` : path, { headers: { Accept: "application/json" } }));
}

export async function signIn(key) {
  return json(await fetch("/session", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ key }),
  }));
}

export async function signOut(csrfToken) {
  await fetch("/session", { method: "DELETE", headers: { "X-CSRF-Token": csrfToken } });
}

const nameOf = (row, by) => by.map((column) => row[column]).join("\u0000");

// Follows a query: `show` gets the whole answer each time something in it changed. Returns what ends it.
export function follow(query, by, show, fail) {
  const source = new EventSource(`/v1/live?${query}`);
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
  source.addEventListener("problem", (event) => { source.close(); fail(new Problem(0, JSON.parse(event.data))); });
  source.addEventListener("error", () => source.readyState === EventSource.CLOSED && fail(new Problem(0, {})));
  return () => source.close();
}
