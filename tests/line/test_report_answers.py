"""Answers over HTTP: freshness, ETags, caching, formats, problems."""

from __future__ import annotations

import asyncio
import itertools
from base64 import b64encode
from pathlib import Path

import pytest

from pipeline.sketch import Sketch
from tests.line.report_stage import FakeSource, Stage, T, report, row_key

CLOSED = f"/v1/report?from={T}&to={T + 120}&by=time,entry&metrics=plays"


async def test_rows_of_all_partitions_are_added_up_and_say_how_fresh_they_are(tmp_path: Path) -> None:
    async with report(tmp_path) as stage:
        stage.play("7", "x", T, 2, part=0)
        await stage.checkpoint(0)
        stage.play("7", "x", T, 3, part=1)
        await stage.checkpoint(1)
        stage.counted(T * 1000 + 30_500)
        found = await stage.json(CLOSED)
        assert found == {
            "asOf": T + 120, "window": "1m", "from": T, "to": T + 120, "countedThrough": T + 30.5, "complete": False,
            "rows": [{"time": T, "partnerId": "7", "entryId": "x", "plays": 5}],
            "totals": {"plays": 5}, "totalRows": 1, "limit": 1000, "offset": 0,
        }  # fmt: skip


async def test_an_unchanged_answer_is_a_304_and_a_late_beacon_ends_that(tmp_path: Path) -> None:
    #  closed, complete: E1, E1 ...   late beacon into it: E2     another window: still E2
    async with report(tmp_path) as stage:
        stage.play("7", "x", T, 2)
        await stage.checkpoint()
        stage.counted((T + 200) * 1000)
        first = await stage.get(CLOSED)
        assert (first.status, first.headers["Cache-Control"]) == (200, "private, max-age=60")
        held = {"If-None-Match": first.headers["ETag"]}
        stage.counted((T + 300) * 1000)
        again = await stage.get(CLOSED, headers=held)
        assert (again.status, again.body, again.headers["ETag"]) == (304, b"", first.headers["ETag"])

        stage.play("7", "x", T, 3)
        await stage.checkpoint()
        late = await stage.get(CLOSED, headers=held)
        assert (late.status, late.json["rows"][0]["plays"]) == (200, 3)
        assert late.headers["ETag"] != first.headers["ETag"]

        stage.play("7", "x", T + 3600, 9)
        await stage.checkpoint()
        held = {"If-None-Match": late.headers["ETag"]}
        assert (await stage.get(CLOSED, headers=held)).status == 304


async def test_an_open_window_is_kept_for_a_second_and_its_etag_moves_with_it(tmp_path: Path) -> None:
    async with report(tmp_path) as stage:
        stage.play("7", "x", T, 2)
        await stage.checkpoint()
        stage.counted((T + 10) * 1000)
        first = await stage.get(CLOSED)
        assert first.headers["Cache-Control"] == "private, max-age=1"
        stage.counted((T + 11) * 1000)
        second = await stage.get(CLOSED, headers={"If-None-Match": first.headers["ETag"]})
        assert (second.status, second.json["countedThrough"]) == (200, T + 11)


async def test_a_range_that_ends_now_is_kept_for_a_second_though_now_ends_a_window_and_all_is_counted(
    tmp_path: Path,
) -> None:
    #  |--- complete ---|now = countedThrough          the same range by its instants: kept for a minute
    async with report(tmp_path) as stage:
        stage.play("7", "x", T, 2)
        await stage.checkpoint()
        stage.site.desk.clock = lambda: T + 120.5
        stage.counted((T + 120) * 1000)
        moving = "/v1/report?window=1m&from=now-2m&by=entry&metrics=plays"
        fixed = f"/v1/report?window=1m&from={T}&to={T + 120}&by=entry&metrics=plays"
        for query, kept in ((moving, 1), (fixed, 60), (moving, 1)):
            first = await stage.get(query)
            again = await stage.get(query, headers={"If-None-Match": first.headers["ETag"]})
            assert (first.status, again.status, first.json["complete"]) == (200, 304, True)
            cached = {answer.headers["Cache-Control"] for answer in (first, again)}
            assert cached == {f"private, max-age={kept}"}


async def test_an_answer_from_memory_asks_the_store_once(tmp_path: Path) -> None:
    async with report(tmp_path) as stage:
        stage.play("7", "x", T, 2)
        await stage.checkpoint()
        answers = await asyncio.gather(*(stage.json(CLOSED) for _ in range(20)))
        assert all(one["rows"] == answers[0]["rows"] for one in answers)
        assert stage.site.desk.counts.misses == 1


async def test_two_reports_give_byte_equal_answers_for_closed_windows(tmp_path: Path) -> None:
    source, other = FakeSource(), FakeSource()
    async with report(tmp_path / "a", source) as one, report(tmp_path / "b", other) as two:
        for stage, parts in ((one, (0, 1)), (two, (1, 0))):
            for part in parts:
                for entry in "zyx":
                    stage.play("7", entry, T, 4, part)
                await stage.checkpoint(part)
            stage.counted((T + 500 + parts[0]) * 1000)
        for path in (CLOSED, CLOSED + "&order=-plays&limit=2", CLOSED + "&format=csv"):
            left, right = await one.get(path), await two.get(path)
            assert left.body == right.body
            assert left.headers["ETag"] == right.headers["ETag"]


def sketch_of(*sessions: int) -> str:
    sketch = Sketch()
    sketch.add(sessions)
    return b64encode(sketch.packed()).decode()


async def test_peaks_and_distinct_sessions_are_read_out_of_hours_with_their_error(tmp_path: Path) -> None:
    #             hour T: slot 0, slot 1        | hour T + 3600: slot 0
    # partition 0          3       1   sees 1,2 |               2    sees 2
    # partition 1                  4   sees 5   |
    async with report(tmp_path) as stage:
        first = {"sessions": 2, "audience": 3, "audience.0": 3, "audience.1": 1, "sketch.sessions": sketch_of(1, 2)}
        stage.row("7", None, T, "1h", 0, **first)  # type: ignore[arg-type]
        second = {"sessions": 1, "audience": 1, "audience.0": 2, "sketch.sessions": sketch_of(2)}
        stage.row("7", None, T + 3600, "1h", 0, **second)  # type: ignore[arg-type]
        await stage.checkpoint(0)
        other = {"sessions": 1, "audience": 4, "audience.1": 4, "sketch.sessions": sketch_of(5)}
        stage.row("7", None, T, "1h", 1, **other)  # type: ignore[arg-type]
        await stage.checkpoint(1)
        asked = f"/v1/report?window=1h&from={T}&to={T + 7200}&metrics=peak,sessions&partnerId=7&by="
        hours = await stage.json(asked + "time")
        assert hours["rows"] == [
            {"time": T, "peak": 5, "sessions": 3},
            {"time": T + 3600, "peak": 2, "sessions": 1},
        ]
        assert hours["totals"] == {"peak": 5, "sessions": 3}
        assert hours["estimates"] == {"sessions": {"error": 0.03, "confidence": 0.99, "in": ["totals"]}}
        assert "Estimates" not in (await stage.get(asked + "time&format=csv")).headers
        whole = await stage.get(asked + "partner&format=csv")
        assert whole.text.splitlines()[1] == '"7",5,3'
        assert whole.headers["Estimates"] == "sessions;error=0.03;confidence=0.99"


async def test_a_peak_of_minutes_is_asked_again_when_its_hour_changes(tmp_path: Path) -> None:
    async with report(tmp_path) as stage:
        stage.row("7", None, T + 60, "1m", audience=1)
        for peak in (1, 5):
            stage.row("7", None, T, "1h", **{"audience": 1, "audience.6": peak})
            await stage.checkpoint()
            found = await stage.json(f"/v1/report?window=1m&from={T}&to={T + 120}&by=time&metrics=peak&partnerId=7")
            assert found["rows"] == [{"time": T + 60, "peak": peak}]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/report?metrics=plais", 400), ("GET", "/v1/report?from=2&to=1", 400),
        ("GET", "/v1/report?window=10s&from=0", 422),
        ("GET", "/v1/live?limit=50000", 400), ("GET", "/v1/live?format=csv", 400), ("GET", "/v1/live?x=1", 400),
        ("POST", "/v1/report", 405), ("DELETE", "/", 405), ("OPTIONS", "/v1/report", 405), ("PUT", "/session", 405),
        ("GET", "/v1/reports", 404), ("GET", "/page/../server.py", 404), ("GET", "/vendor/x.js", 404),
        ("GET", "/%00", 404),
        ("GET", "/page/%2e%2e/config.py", 404), ("POST", "/session", 415),
    ],
)  # fmt: skip
async def test_every_refusal_is_a_problem(tmp_path: Path, method: str, path: str, status: int) -> None:
    async with report(tmp_path) as stage:
        answer = await stage.send(method, path)
        body, media = answer.json, answer.headers["Content-Type"]
        assert (answer.status, media, body["status"]) == (status, "application/problem+json", status)
        assert (await stage.get("/docs")).text.count(f'id="{body["type"].partition("#")[2]}"') == 1
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert (status == 405) == ("Allow" in answer.headers)


@pytest.mark.parametrize(
    "sent", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nbad header<script>\r\n\r\n", b"\x16\x03\x01\r\n\r\n"]
)
async def test_what_is_no_http_is_a_problem_that_echoes_nothing(tmp_path: Path, sent: bytes) -> None:
    async with report(tmp_path) as stage:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(stage.url.rpartition(":")[2]))
        writer.write(sent)
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        assert answer.startswith(b"HTTP/1.")
        assert b" 400 Bad Request\r\n" in answer
        assert answer.endswith(b'{"type":"/docs#bad-request","title":"The request cannot be read.","status":400}')


async def test_a_question_that_takes_too_long_is_refused(tmp_path: Path) -> None:
    async with report(tmp_path, deadline_ms=100) as stage:
        for number in range(40_000):
            stage.source.put(0, row_key("7", f"e{number}", T), b'{"plays":1}')
        await stage.checkpoint()
        stage.site.desk.readers._deadline = 0.0  # type: ignore[attr-defined]
        found = await stage.json(f"/v1/report?from={T}&to={T + 60}&by=entry")
        assert (found["status"], found["type"]) == (422, "/docs#too-large")


async def test_one_key_can_fill_its_own_places_only(tmp_path: Path) -> None:
    class Slow:
        def __init__(self) -> None:
            self.go, self.running, self.most = asyncio.Event(), 0, 0

        async def ask(self, statement: object, generation: int) -> object:
            self.running += 1
            self.most = max(self.most, self.running)
            await self.go.wait()
            self.running -= 1
            return await readers.ask(statement, generation)  # type: ignore[arg-type]

    async with report(tmp_path, concurrent_per_key=2, waiting_per_key=3) as stage:
        slow, readers = Slow(), stage.site.desk.readers
        stage.site.desk.readers = slow  # type: ignore[assignment]
        asked = [asyncio.create_task(stage.get(f"{CLOSED}&limit={n}")) for n in range(1, 9)]
        refused = [await task for task in itertools.islice(asyncio.as_completed(asked), 3)]
        assert [answer.status for answer in refused] == [429] * 3
        slow.go.set()
        answers = await asyncio.gather(*asked)
        assert sorted(answer.status for answer in answers) == [200] * 5 + [429] * 3
        assert slow.most == 2


async def test_the_catalog_openapi_and_documentation_are_served(tmp_path: Path) -> None:
    async with report(tmp_path) as stage:
        assert (await stage.json("/openapi.json"))["openapi"] == "3.1.0"
        assert [one["name"] for one in (await stage.json("/v1/catalog"))["windows"]] == ["10s", "1m", "1h"]
        docs = await stage.get("/docs")
        assert docs.headers["Content-Security-Policy"].startswith(
            "default-src 'none'; script-src 'self'; style-src 'self'"
        )
        assert (await stage.get("/docs", headers={"If-None-Match": docs.headers["ETag"]})).status == 304
        head = await stage.send("HEAD", "/v1/report")
        assert (head.status, head.body) == (200, b"")


async def test_metrics_status_and_health_tell_how_it_is(tmp_path: Path) -> None:
    async with report(tmp_path) as stage:
        stage.play("7", "x", T, 2)
        await stage.checkpoint(time=T * 1000 + 5)
        stage.counted((T + 9) * 1000, held={"a": (T + 1) * 1000}, ends={0: 1})
        found = await stage.json("/v1/status")
        assert found == {
            "asOf": T + 5000, "countedThrough": T + 1, "ready": True, "recordsBehind": 0, "heldBy": "a",
            "ingests": {"a": T + 1}, "newestBeacon": T + 0.005, "ledger": {"beacons": 1}, "revision": 1,
        }  # fmt: skip
        assert (await stage.json("/health"), await stage.json("/ready")) == ({"status": "ok"}, {"status": "ready"})
        metrics = (await stage.get("/metrics")).text
        assert "report_rows_applied_total 6.0" in metrics
        assert 'report_answers_total{route="/v1/status",status="200"} 1.0' in metrics


async def test_nothing_is_answered_before_the_topic_was_read_once(tmp_path: Path) -> None:
    source = FakeSource(away=True)
    async with report(tmp_path, source) as stage:
        for path in ("/v1/report", "/ready"):
            answer = await stage.get(path)
            assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
        assert (await stage.get("/health")).status == 200


def test_a_stage_names_rows_as_the_worker_does() -> None:
    expected = b'{"window":"1m","start":60,"set":"entry","partnerId":"7","entryId":"x","partition":0}'
    assert row_key("7", "x", 60) == expected
    assert Stage.__doc__
