"""A newcomer's diff is one line of the catalog: a metric, a dimension, a set, a window; all that is shown follows."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPO = Path(__file__).parents[2]


@dataclass(frozen=True)
class Diff:
    """One line, and behind which line of pipeline/catalog.py it goes."""

    behind: str
    line: str


METRIC = Diff(
    "METRICS: tuple[Metric, ...] = (",
    '    count("stalls", EventType.BUFFER_START, EventType.BUFFER_END, says="Stalled (events 45, 46)."),',
)
DIMENSION = Diff(
    "DIMENSIONS: tuple[Dimension, ...] = (", '    Dimension("soundMode", "parameter", "Sound on or off."),'
)
SET = Diff("SETS: tuple[DimensionSet, ...] = (", '    by("context", "playbackContext", windows="1h", most=5_000),')
WINDOW = Diff("WINDOWS: tuple[Window, ...] = (", '    Window("1d", 86_400, 800 * 86_400),')
# The set that makes the new dimension a word of the report.
SOUND = Diff(SET.behind, '    by("sound", "soundMode", windows="1h", most=10),')

# Counts some beacons with the changed catalog, puts the rows into a read model, and asks the report.
SCRIPT = """
import json, sqlite3, sys
from pathlib import Path
import orjson
from pipeline.catalog import DIMENSIONS, METRICS, SETS, WINDOWS
from pipeline.report import answer, docs, offer, openapi, query, readers, readmodel, record, sql
from pipeline.report.original_words import MEASURE
from pipeline.rows import Rules
from pipeline.windows import Shape
from tests.pipeline.life import living
from tests.pipeline.lines import NOON, get_line

read = {one.name for one in DIMENSIONS if one.source == "parameter"}
sets = tuple(one for one in SETS if read.issuperset(one.dimensions))
with living(rules=Rules(Shape.of(WINDOWS, sets), METRICS)) as life:
    said = "service=analytics&partnerId=7&entryId=x&sessionId=s&soundMode=on"
    for number, kind in enumerate((45, 46, 46, 3)):
        more = f"&playbackContext=c{number % 2}&eventType={kind}&eventIndex={number}"
        life.log.append(get_line(said + more, f"i{number}", NOON * 1000))
    life.finish()
    rows = life.kafka.rows()
model = readmodel.ReadModel(Path(sys.argv[1]) / "r.sqlite")
model.open(readmodel.Identity("t", {}))
model.apply(record.fold(record.Record(0, n, key, orjson.dumps(row)) for n, (key, row) in enumerate(rows.items())))
memory = sqlite3.connect(model.path)
readers.teach(memory)
answers = []
for text in sys.argv[2:]:
    asked = query.parse(text + f"&from={NOON // 86400 * 86400}&to={NOON // 86400 * 86400 + 86400}", None).at(NOON)
    statement = sql.statement(asked)
    table = readers.table_of(statement, memory.execute(statement.text, statement.values).fetchall())
    answers.append(answer.content(asked, table)["rows"])
document = openapi.document()
parameters = {one["name"]: one for one in document["paths"]["/v1/report"]["get"]["parameters"]}
print(json.dumps({
    "rows": answers, "catalog": offer.catalog(), "docs": docs.page(document), "original": sorted(MEASURE),
    "parameters": {name: one["schema"] for name, one in parameters.items()},
    "row": sorted(document["components"]["schemas"]["Row"]["properties"]),
}))
"""


def with_lines(folder: Path, *diffs: Diff) -> None:
    """Copy ingest and pipeline into a folder, with these lines in the catalog."""
    for room in ("ingest", "pipeline"):
        shutil.copytree(REPO / room, folder / room, ignore=shutil.ignore_patterns("__pycache__", "page"))
    catalog = folder / "pipeline" / "catalog.py"
    lines = catalog.read_text().split("\n")
    before = len(lines)
    for diff in diffs:
        lines.insert(lines.index(diff.behind) + 1, diff.line)
    assert len(lines) == before + len(diffs)
    catalog.write_text("\n".join(lines))


def report_of(folder: Path, diffs: tuple[Diff, ...], *asked: str) -> dict[str, Any]:
    """Return what worker and report say once these lines are in the catalog."""
    with_lines(folder, *diffs)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{folder}:{REPO}", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", SCRIPT, str(folder), *asked]
    done = subprocess.run(
        command, check=False, env=environment, cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def named(found: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    [one] = [one for one in found["catalog"][kind] if one["name"] == name]
    assert isinstance(one, dict)
    return one


def test_a_metric(tmp_path: Path) -> None:
    found = report_of(
        tmp_path, (METRIC,), "by=entry&window=1h&metrics=stalls,plays", "by=entry&window=10s&order=-stalls"
    )
    assert found["rows"][0] == [{"partnerId": "7", "entryId": "x", "stalls": 3, "plays": 1}]
    assert found["rows"][1][0]["stalls"] == 3
    said = named(found, "metrics", "stalls")
    assert (said["says"], said["formula"]) == ("Stalled (events 45, 46).", "count of events 45, 46")
    assert "stalls" in found["parameters"]["metrics"]["items"]["enum"]
    assert "stalls" in found["row"]
    assert "stalls" in found["original"]
    assert "<code>stalls</code>" in found["docs"]


def test_a_dimension_and_the_set_that_keeps_it(tmp_path: Path) -> None:
    alone = report_of(tmp_path / "alone", (DIMENSION,))
    assert named(alone, "dimensions", "soundMode") | {"kept": False} == named(alone, "dimensions", "soundMode")
    assert "soundMode" not in alone["parameters"]
    found = report_of(tmp_path / "kept", (DIMENSION, SOUND), "by=soundMode&window=1h&metrics=plays")
    assert found["rows"] == [[{"soundMode": "on", "plays": 1}]]
    assert named(found, "dimensions", "soundMode")["kept"]
    assert "soundMode" in found["parameters"]["by"]["items"]["enum"]
    assert "soundMode" in found["parameters"]
    assert "soundMode" in found["row"]


def test_a_set(tmp_path: Path) -> None:
    found = report_of(tmp_path, (SET,), "by=playbackContext&window=1h&metrics=bufferStarts,bufferEnds")
    assert found["rows"] == [
        [
            {"playbackContext": "c0", "bufferStarts": 1, "bufferEnds": 1},
            {"playbackContext": "c1", "bufferStarts": 0, "bufferEnds": 1},
        ]
    ]
    assert named(found, "sets", "context")["windows"] == ["1h"]
    assert named(found, "sets", "context")["most"] == 5000
    assert "playbackContext" in found["parameters"]["by"]["items"]["enum"]


def test_a_window(tmp_path: Path) -> None:
    found = report_of(tmp_path, (WINDOW,), "by=entry&window=1d&metrics=plays")
    assert found["rows"] == [[{"partnerId": "7", "entryId": "x", "plays": 1}]]
    assert named(found, "windows", "1d") == {"name": "1d", "seconds": 86_400, "keepSeconds": 800 * 86_400}
    assert "1d" in found["parameters"]["window"]["enum"]
    assert "1d" in named(found, "sets", "partner")["windows"]
