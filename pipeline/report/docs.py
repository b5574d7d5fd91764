"""The API described for people: one page without script, made from the OpenAPI document."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from pipeline.report.offer import catalog
from pipeline.report.openapi import SAYS

Json = dict[str, Any]

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; display: block; overflow-x: auto; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid #8886; }
code, pre { font-family: ui-monospace, monospace; font-size: .9em; }
pre { padding: .8rem; border: 1px solid #8886; overflow-x: auto; }
h2 { margin-top: 2.5rem; }
"""

# name, status, what it means
PROBLEMS: tuple[tuple[str, int, str], ...] = (
    ("unknown-word", 400, "The problem's members parameter, word and allowed say what to write instead."),
    ("bad-value", 400, SAYS[400]),
    ("no-key", 401, "Send Authorization: Bearer id.secret, or sign in on the page."),
    ("forged", 403, SAYS[403]),
    ("nothing-here", 404, SAYS[404]),
    ("method", 405, SAYS[405]),
    ("not-acceptable", 406, SAYS[406]),
    ("body", 413, SAYS[413]),
    ("not-json", 415, SAYS[415]),
    ("elsewhere", 421, SAYS[421]),
    ("too-large", 422, SAYS[422]),
    ("too-often", 429, "The key's bucket is empty; Retry-After says when it is not."),
    ("busy", 429, "Too many questions of one key under way."),
    ("too-many-streams", 429, "Too many open streams."),
    ("bad-request", 400, "The request is not HTTP as it should be."),
    ("fault", 500, "Our fault; the log has a line about it."),
    ("not-yet", 503, "The counts are still being read from Kafka."),
    ("kafka-away", 503, "Kafka does not answer: no number can be explained now. Counts go on being shown."),
    ("kafka-slow", 504, SAYS[504]),
    ("stopped", 503, "A part of the report has stopped; it is started again."),
)

EXAMPLES = """curl -H "Authorization: Bearer $KEY" 'http://127.0.0.1:8081/v1/report?by=entry&order=-plays&limit=10'
curl -H "Authorization: Bearer $KEY" 'http://127.0.0.1:8081/v1/report?window=1h&from=now-7d/d&bucket=day&format=csv'
curl -H "Authorization: Bearer $KEY" 'http://127.0.0.1:8081/v1/events?partnerId=4242&window=1m&start=1795424400&metric=plays'
curl -N -H "Authorization: Bearer $KEY" 'http://127.0.0.1:8081/v1/live?window=10s&from=now-5m'
"""


def table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Return a table; cells are HTML already."""
    head = "".join(f'<th scope="col">{escape(one)}</th>' for one in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _allowed(schema: Json) -> str:
    inner = schema.get("items", schema)
    words = inner.get("enum")
    said = ", ".join(f"<code>{escape(str(word))}</code>" for word in words) if words else escape(str(inner["type"]))
    default = schema.get("default")
    text = ",".join(default) if isinstance(default, list) else default
    return said + ("" if default is None else f"; default <code>{escape(str(text))}</code>")


def _operation(path: str, method: str, operation: Json) -> str:
    rows = [
        (f"<code>{escape(one['name'])}</code>", escape(one.get("description", "")), _allowed(one["schema"]))
        for one in operation.get("parameters", [])
    ]
    answers = [(escape(status), escape(one["description"])) for status, one in operation["responses"].items()]
    title = f'<h3 id="{escape(operation["operationId"])}"><code>{method.upper()} {escape(path)}</code></h3>'
    parameters = table(("Parameter", "Meaning", "Values"), rows) if rows else ""
    return f"{title}<p>{escape(operation['summary'])}</p>{parameters}{table(('Status', 'Meaning'), answers)}"


def page(document: Json) -> str:
    """Return the page."""
    operations = "".join(
        _operation(path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    )
    metrics = [
        (f"<code>{one['name']}</code>", one["unit"], escape(one["says"]), escape(one["formula"]))
        for one in catalog()["metrics"]
    ]
    problems = [
        (f'<span id="{name}"><code>{name}</code></span>', str(status), escape(says)) for name, status, says in PROBLEMS
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Report API</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="stylesheet" href="/docs.css"></head><body><main>'
        f"<h1>Report API</h1><p>{escape(document['info']['description'])} "
        'The same for machines: <a href="/openapi.json">/openapi.json</a>, <a href="/v1/catalog">/v1/catalog</a>.</p>'
        f"<pre>{escape(EXAMPLES)}</pre><h2>Paths</h2>{operations}"
        f"<h2>Metrics</h2>{table(('Metric', 'Unit', 'Meaning', 'Formula'), metrics)}"
        f"<h2>Problems</h2>{table(('Type', 'Status', 'Meaning'), problems)}</main></body></html>"
    )
