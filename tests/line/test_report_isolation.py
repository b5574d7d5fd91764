"""I17: with B's key not a byte about A comes out, whatever is asked and however it is answered."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ingest.beacon import Beacon
from pipeline.report.openapi import document
from pipeline.report.words import PARAMETERS
from tests.line.report_stage import Answer, Stage, T, report, write_keys
from tests.report.test_report_original import ASKED

PARTNERS = ("100", "200", "300")
RANGE = f"from={T}&to={T + 7200}"
# What only A has; B and C have rows of their own, and one entry name is shared.
VOLATILE = {"Date", "RateLimit"}


def fill(stage: Stage, partners: tuple[str, ...]) -> None:
    for partner in partners:
        if partner == "100":
            stage.play("100", "alpha", T, 777)
            stage.play("100", "shared", T, 777)
        else:
            stage.play(partner, f"own{partner}", T, 5)
            stage.play(partner, "shared", T, 6)
        for entry in ("alpha" if partner == "100" else f"own{partner}", "shared"):
            # Each of its own partition, so that the others lie where they lie without it.
            stage.beacons.put(beacon(partner, entry), part=PARTNERS.index(partner))


def beacon(partner: str, entry: str) -> Beacon:
    query = f"service=analytics&eventType=3&partnerId={partner}&entryId={entry}&sessionId=s{partner}&eventIndex=1"
    return Beacon(f"id-{partner}-{entry}", T * 1000 + 5, "10.9.8.0", path=b"/api_v3/index.php", query=query.encode())


def seen(answer: Answer) -> tuple[int, dict[str, str], bytes]:
    return answer.status, {k: v for k, v in answer.headers.items() if k not in VOLATILE}, answer.body


def asked() -> list[str]:
    """Every route, every parameter with A's values, the caller's, foreign ones and nonsense."""
    values = {
        "partnerId": ["100", "200", "200,100", "999", "", "1%3F"],
        "entryId": ["alpha", "shared", "own200", "nope", "alpha,own200"],
    }
    paths = [path for path in document()["paths"] if path != "/v1/live"] + [
        "/",
        "/docs",
        "/nothing",
        "/page/x",
        "/vendor/x",
    ]
    questions = [
        f"/v1/report?{RANGE}&{parameter.name}={value}"
        for parameter in PARAMETERS
        if parameter.name not in ("from", "to")
        for value in values.get(parameter.name, [parameter.example, "nonsense", ""])
    ]
    more = ("", "&order=-plays&limit=1", "&compare=previous", "&format=csv", "&window=1h&bucket=day", "&entryId=alpha")
    for by in ("", "time", "entry", "time,entry", "partner"):
        questions += [f"/v1/report?{RANGE}&by={by}{one}" for one in more]
    questions.append(f"/v1/report?{RANGE}&fill=zero&by=time,entry&entryId=alpha,shared")
    cell = f"/v1/events?window=1m&start={T}&metric=plays"
    questions += [f"{cell}&partnerId={one}" for one in values["partnerId"]]
    questions += [f"{cell}&partnerId={p}&entryId={e}" for p in ("100", "200", "999") for e in values["entryId"]]
    questions += [cell, f"{cell}&entryId=alpha", f"{cell}&entryId=shared"]
    return paths + questions


async def answers(stage: Stage, headers: dict[str, str]) -> dict[str, tuple[int, dict[str, str], bytes]]:
    found = {}
    for method in ("GET", "HEAD", "POST", "DELETE", "PUT", "OPTIONS"):
        for path in asked() if method == "GET" else asked()[:14]:
            if path != "/metrics":
                found[f"{method} {path}"] = seen(await stage.send(method, path, headers=headers))
    for number, question in enumerate(originals()):
        found[f"POST /query {number}"] = seen(await stage.send("POST", "/query", json=question, headers=headers))
    return found


def originals() -> list[dict[str, object]]:
    """The original's questions, about everybody's entries, A's, the caller's and nobody's."""
    filters = [
        [{"dimension": name, "values": values}]
        for name, values in (("partner", ["100"]), ("partner", ["200"]), ("partner", ["999"]), ("entry", ["alpha"]))
    ]
    hour = {"from": "11/23/2026 09:00", "to": "11/23/2026 10:00"}
    return [
        ASKED | hour | {"dimensions": dimensions, "filters": one, "orderBy": "-play"}
        for dimensions in ([], ["entry"], ["partner", "minute"])
        for one in ([], *filters)
    ]


@pytest.mark.parametrize("key", ["b", "c"])
async def test_every_answer_is_the_same_whether_or_not_another_partner_exists(tmp_path: Path, key: str) -> None:
    """The matrix twice: in a report that knows A, its memory warmed by A and an operator, and in one without A."""
    got = []
    for folder, partners in (("with", PARTNERS), ("without", PARTNERS[1:])):
        headers = write_keys(tmp_path / folder / "keys", {"a": "100", "b": "200", "c": "300", "ops": None})
        async with report(tmp_path / folder, keys=tmp_path / folder / "keys", rate_burst=100_000) as stage:
            fill(stage, partners)
            for part in range(len(PARTNERS)):
                for _ in range(2):
                    await stage.checkpoint(part)
            stage.counted((T + 9999) * 1000)
            if folder == "with":
                for path in asked():
                    for other in ("a", "ops"):
                        await stage.get(path, headers=headers[other])
            got.append(await answers(stage, headers[key]))
    left, right = got
    assert left == right
    own = left[f"GET /v1/events?window=1m&start={T}&metric=plays&entryId=shared"][2]
    assert b'"totalBeacons":1' in own
    assert b"10.9.8" not in own
    assert left["POST /query 5"][0] == 200
    assert b'"shared","6.0"' in left["POST /query 5"][2]
    for _, said, body in left.values():
        assert b"777" not in body
        assert "Access-Control-Allow-Origin" not in said


async def test_another_partner_is_answered_like_one_that_does_not_exist(tmp_path: Path) -> None:
    headers = write_keys(tmp_path / "keys", {"a": "100", "b": "200"})
    async with report(tmp_path, keys=tmp_path / "keys") as stage:
        fill(stage, PARTNERS)
        await stage.checkpoint()
        theirs = await stage.get(f"/v1/report?{RANGE}&partnerId=100", headers=headers["b"])
        nobodys = await stage.get(f"/v1/report?{RANGE}&partnerId=98765", headers=headers["b"])
        nowhere = await stage.get("/v1/nowhere", headers=headers["b"])
        assert theirs.status == 404
        assert seen(theirs) == seen(nobodys) == seen(nowhere)
        theirs = await stage.get(f"/v1/live?{RANGE}&partnerId=100", headers=headers["b"])
        assert seen(theirs) == seen(nowhere)
        assert (await stage.get("/metrics", headers=headers["b"])).status == 404
        assert "ledger" not in await stage.json("/v1/status", headers=headers["b"])


async def test_an_etag_of_another_partner_says_nothing(tmp_path: Path) -> None:
    headers = write_keys(tmp_path / "keys", {"a": "100", "b": "200"})
    async with report(tmp_path, keys=tmp_path / "keys") as stage:
        fill(stage, PARTNERS)
        await stage.checkpoint()
        stage.counted((T + 9999) * 1000)
        path = f"/v1/report?{RANGE}&by=entry"
        theirs = await stage.get(path, headers=headers["a"])
        own = await stage.get(path, headers=headers["b"] | {"If-None-Match": theirs.headers["ETag"]})
        assert (own.status, [row["entryId"] for row in own.json["rows"]]) == (200, ["own200", "shared"])


async def test_a_stream_of_one_partner_is_silent_about_another(tmp_path: Path) -> None:
    #  b's stream: answer | a plays: nothing new | b plays: answer or change
    headers = write_keys(tmp_path / "keys", {"a": "100", "b": "200"})
    async with report(tmp_path, keys=tmp_path / "keys") as stage:
        fill(stage, PARTNERS)
        await stage.checkpoint()
        async with stage.http.get(
            f"{stage.url}/v1/live?{RANGE}&by=entry&metrics=plays", headers=headers["b"]
        ) as stream:
            first = await event_of(stream.content)
            for plays in (778, 779):
                stage.play("100", "alpha", T, plays)
                await stage.checkpoint()
            stage.play("200", "own200", T, 8)
            await stage.checkpoint()
            while True:
                following = await event_of(stream.content)
                assert not any(mark in following for mark in (b"alpha", b"77", b'"100"'))
                if b"event: fresh" not in following:
                    break
            assert b'"entryId":"own200","plays":8' in following
            assert b'"entryId":"own200","plays":5' in first


async def event_of(stream: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(10):
        while True:
            found = await stream.readuntil(b"\n\n")
            if found.startswith(b"event"):
                return found


async def test_an_operator_sees_all_partners(tmp_path: Path) -> None:
    headers = write_keys(tmp_path / "keys", {"ops": None})
    async with report(tmp_path, keys=tmp_path / "keys") as stage:
        fill(stage, PARTNERS)
        await stage.checkpoint()
        found = await stage.json(f"/v1/report?{RANGE}&by=partner&metrics=plays", headers=headers["ops"])
        assert [(row["partnerId"], row["plays"]) for row in found["rows"]] == [("100", 777), ("200", 6), ("300", 6)]
        some = await stage.json(f"/v1/report?{RANGE}&by=entry&partnerId=200,300&metrics=plays", headers=headers["ops"])
        assert [row["entryId"] for row in some["rows"]] == ["own200", "shared", "own300", "shared"]
