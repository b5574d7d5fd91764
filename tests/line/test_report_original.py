"""POST /query over HTTP: the original's answers, from the same rows as /v1/report."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from tests.line.report_stage import FakeSource, Stage, T, report, write_keys
from tests.report.test_report_original import ASKED

HOUR = {"from": "11/23/2026 09:00", "to": "11/23/2026 10:00"}


async def post(stage: Stage, **said: Any) -> Any:
    return await stage.send("POST", "/query", json=ASKED | HOUR | said)


async def fill(stage: Stage) -> None:
    for entry, plays in (("a", 3), ("b", 5), ("c;d", 1)):
        stage.play("7", entry, T, plays, part=0)
        stage.play("7", entry, T, 10 * plays, part=1)
    await stage.checkpoint(0)
    await stage.checkpoint(1)


async def test_rows_come_as_text_in_the_order_and_page_asked_for(tmp_path: Path) -> None:
    async with report(tmp_path) as stage:
        await fill(stage)
        answer = await post(stage, metrics=["play", "playRatio"], orderBy="-play", pager={"size": 2, "index": 1})
        assert answer.json == {
            "headers": ["entry", "play", "playRatio"],
            "data": [["b", "55.0", ""], ["a", "33.0", ""]],
        }
        assert answer.headers["Cache-Control"] == "no-store"
        second = await post(stage, metrics=["play"], orderBy="-play", pager={"size": 2, "index": 2})
        assert second.json["data"] == [["c;d", "11.0"]]
        totals = await post(
            stage, dimensions=[], metrics=["view"], filters=[{"dimension": "entry", "values": ["a", "b"]}]
        )
        assert totals.json["data"] == [["176.0"]]
        none = await post(stage, filters=[{"dimension": "entry", "values": ["nope"]}])
        assert none.json["data"] == []


async def test_its_numbers_are_those_of_the_report(tmp_path: Path) -> None:
    async with report(tmp_path) as stage:
        await fill(stage)
        theirs = (await post(stage, dimensions=["entry", "minute"], metrics=["play", "view"])).json["data"]
        path = f"/v1/report?window=1m&from={T}&to={T + 3600}&by=time,entry&metrics=plays,views"
        ours = (await stage.json(path))["rows"]
        assert theirs == [
            [row["entryId"], "11/23/2026 09:00", f"{row['plays']}.0", f"{row['views']}.0"] for row in ours
        ]


async def test_csv_is_quoted_and_given_only_to_who_wants_it(tmp_path: Path) -> None:
    async with report(tmp_path) as stage:
        await fill(stage)
        answer = await stage.send("POST", "/query", json=ASKED | HOUR, headers={"Accept": "text/csv"})
        assert answer.headers["Content-Type"].startswith("text/csv")
        assert next(iter(csv.reader(io.StringIO(answer.text, newline="")))) == ["entry", "play"]
        assert (await stage.send("POST", "/query", json=ASKED | HOUR, headers={"Accept": "*/*"})).json["headers"]


@pytest.mark.parametrize(
    ("body", "media", "kind"),
    [
        (b"{}", "text/plain", "incorrectContentType"), (b"{", "application/json", "invalidInput"),
        (b"{}", "application/json", "invalidInput"),
    ],
)  # fmt: skip
async def test_a_wrong_question_is_answered_with_kind_and_data(
    tmp_path: Path, body: bytes, media: str, kind: str
) -> None:
    async with report(tmp_path) as stage:
        answer = await stage.send("POST", "/query", data=body, headers={"Content-Type": media})
        assert (answer.status, answer.json["kind"], answer.json.keys()) == (400, kind, {"kind", "data"})


async def test_a_fault_is_answered_in_their_words_and_goes_to_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with report(tmp_path) as stage:
        await fill(stage)

        async def fault(*_: object) -> None:
            raise RuntimeError("broken")

        monkeypatch.setattr(type(stage.site.desk), "answer", fault)
        answer = await post(stage)
        assert (answer.status, answer.json["kind"]) == (500, "generalError")
        assert "broken" not in answer.text


async def test_keys_count_here_too(tmp_path: Path) -> None:
    headers = write_keys(tmp_path / "keys", {"a": "7", "b": "8", "ops": None})
    async with report(tmp_path, keys=tmp_path / "keys") as stage:
        await fill(stage)
        asked = ASKED | HOUR
        foreign = asked | {"filters": [{"dimension": "partner", "values": ["7"]}]}
        assert (await stage.send("POST", "/query", json=asked)).status == 401
        assert (await stage.send("POST", "/query", json=asked, headers=headers["b"])).json["data"] == []
        refused = await stage.send("POST", "/query", json=foreign, headers=headers["b"])
        nothing = await stage.get("/v1/nothing", headers=headers["b"])
        assert (refused.status, refused.body) == (404, nothing.body)
        for name in ("a", "ops"):
            assert len((await stage.send("POST", "/query", json=foreign, headers=headers[name])).json["data"]) == 3
        assert (await stage.send("GET", "/query", headers=headers["a"])).status == 405


async def test_before_the_counts_are_read_it_is_not_ready(tmp_path: Path) -> None:
    async with report(tmp_path, FakeSource(away=True)) as stage:
        assert (await post(stage)).status == 503
