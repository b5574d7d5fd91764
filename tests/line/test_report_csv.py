"""CSV answers: a download with the same numbers, whole or refused."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from tests.line.report_stage import T, report


async def test_csv_is_a_download_with_the_same_numbers(tmp_path: Path) -> None:
    async with report(tmp_path) as stage:
        stage.play("7", '=HYPERLINK("x")', T, 2)
        stage.play("7", "a,b", T, 1)
        await stage.checkpoint()
        stage.counted((T + 500) * 1000)
        path = f"/v1/report?from={T}&to={T + 120}&by=entry&metrics=plays&order=-plays"
        answer = await stage.get(path, headers={"Accept": "text/csv"})
        assert answer.headers["Content-Type"] == "text/csv; charset=utf-8; header=present"
        assert answer.headers["Content-Disposition"] == f'attachment; filename="report-1m-{T}-{T + 120}.csv"'
        assert answer.headers["Counted-Through"] == f"{T + 120}.000"
        rows = list(csv.reader(io.StringIO(answer.text, newline="")))
        assert rows == [["partnerId", "entryId", "plays"], ["7", '\'=HYPERLINK("x")', "2"], ["7", "a,b", "1"]]
        assert (await stage.get(path, headers={"Accept": "text/html"})).status == 406
        assert (await stage.get(path + "&format=csv")).body == answer.body


async def test_a_download_that_cannot_be_whole_is_refused_and_comes_part_by_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.report.query.MOST_ROWS", 3)
    async with report(tmp_path) as stage:
        for entry in "abcd":
            stage.play("7", entry, T, 1)
        await stage.checkpoint()
        path = f"/v1/report?from={T}&to={T + 60}&by=entry&metrics=plays&format=csv"
        refused = await stage.get(path)
        assert (refused.status, refused.json["type"]) == (422, "/docs#too-large")
        assert refused.json["detail"].startswith("There are 4 rows, 3 at most")
        first, second = [await stage.get(path + part) for part in ("&limit=3", "&offset=3")]
        assert [first.text.count("\r\n"), second.text.count("\r\n")] == [1 + 3, 1 + 1]
        assert (await stage.get(path + "&entryId=a,b,c")).text.count("\r\n") == 1 + 3
