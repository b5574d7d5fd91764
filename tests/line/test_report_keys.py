"""Keys and browser sessions over HTTP."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from pipeline.config import RefusedSetting
from pipeline.report import access
from pipeline.report.config import ReportSettings
from pipeline.report.keys_cli import keys as command
from pipeline.report.server import open_keys
from tests.line.report_stage import Stage, report, write_keys

ASK = "/v1/report?metrics=plays"


def of(stage: Stage, path: Path) -> bool:
    assert stage.site.access.keys is not None
    return stage.site.access.keys.poll()


async def test_without_a_valid_key_there_is_no_answer(tmp_path: Path) -> None:
    headers = write_keys(tmp_path / "keys", {"a": "7"})
    async with report(tmp_path, keys=tmp_path / "keys") as stage:
        bodies = set()
        wrong = ("Bearer a.wrong", "Bearer b.secret-a", "Basic YTpi", "Bearer \xff\xfe.x", "")
        cookie = {"Cookie": "report_session=a.99999999999.x.y"}
        for sent in ({}, cookie, *({"Authorization": one} for one in wrong)):
            for path in (ASK, "/v1/live", "/v1/status", "/metrics"):
                answer = await stage.get(path, headers=sent)
                assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="report"')
                bodies.add(answer.body)
            stage.site.access.failures._left.clear()
        assert len(bodies) == 1
        assert (await stage.get(ASK, headers=headers["a"])).status == 200


async def test_wrong_keys_of_one_address_are_limited_and_right_ones_go_on(tmp_path: Path) -> None:
    headers = write_keys(tmp_path / "keys", {"a": "7", "b": "7"})
    async with report(tmp_path, keys=tmp_path / "keys", failures_per_minute=3) as stage:
        wrong = {"Authorization": "Bearer a.wrong"}
        statuses = [(await stage.get(ASK, headers=wrong)).status for _ in range(5)]
        assert statuses == [401, 401, 401, 429, 429]
        assert (await stage.get(ASK, headers=headers["a"])).status == 429
        assert (await stage.get(ASK, headers=headers["b"])).status == 200
        assert (await stage.get(ASK, headers={"Authorization": "Bearer c.x"})).status == 429


async def test_keys_change_without_a_restart_and_a_broken_file_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "keys"
    first = write_keys(path, {"a": "7"})
    async with report(tmp_path, keys=path) as stage:
        second = write_keys(path, {"a": "7", "b": "7"})
        assert of(stage, path) is True
        assert [(await stage.get(ASK, headers=one)).status for one in (first["a"], second["b"])] == [200, 200]
        for broken in (b"", b'{"version":1', b'{"version":1,"keys":[{"id":"z"}]}'):
            path.write_bytes(broken)
            assert (of(stage, path), of(stage, path)) == (False, False)
            assert (await stage.get(ASK, headers=second["b"])).status == 200
        path.unlink()
        of(stage, path)
        assert (await stage.get(ASK, headers=second["b"])).status == 200
        assert sum("last good one stays" in record.message for record in caplog.records) == 4
        write_keys(path, {"b": "7"})
        of(stage, path)
        assert [(await stage.get(ASK, headers=one)).status for one in (first["a"], second["b"])] == [401, 200]


async def test_a_key_may_ask_so_often_and_is_told_how_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "time", SimpleNamespace(monotonic=lambda: 100.0, time=time.time))  # Its clock stands.
    headers = write_keys(tmp_path / "keys", {"a": "7", "b": "7"})
    async with report(tmp_path, keys=tmp_path / "keys", rate_per_second=1, rate_burst=3) as stage:
        answers = [await stage.get(ASK, headers=headers["a"]) for _ in range(4)]
        assert [one.status for one in answers] == [200, 200, 200, 429]
        assert answers[0].headers["RateLimit-Policy"] == '"key";q=3;w=3'
        assert answers[0].headers["RateLimit"] == '"key";r=2;t=1'
        assert answers[3].headers["Retry-After"] == "1"
        assert (await stage.get(ASK, headers=headers["b"])).status == 200


async def test_a_session_is_a_cookie_that_scripts_and_other_sites_do_not_get(tmp_path: Path) -> None:
    headers = write_keys(tmp_path / "keys", {"a": "7"})
    key = headers["a"]["Authorization"].removeprefix("Bearer ")
    async with report(tmp_path, keys=tmp_path / "keys") as stage:
        assert await stage.json("/session") == {"signedIn": False, "open": False}
        assert (await stage.send("POST", "/session", json={"key": "a.wrong"})).status == 401
        signed = await stage.send("POST", "/session", json={"key": key})
        cookie = signed.headers["Set-Cookie"]
        assert all(word in cookie for word in ("HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"))
        assert "secret" not in cookie
        said = signed.json
        assert said.pop("csrfToken")
        assert said == {"signedIn": True, "open": False, "operator": False, "partnerId": "7"}
        assert (await stage.get(ASK)).status == 200
        assert (await stage.json("/session"))["partnerId"] == "7"


async def test_a_session_ends_only_by_its_own_page_and_stays_ended(tmp_path: Path) -> None:
    headers = write_keys(tmp_path / "keys", {"a": "7"})
    key = headers["a"]["Authorization"].removeprefix("Bearer ")
    async with report(tmp_path, keys=tmp_path / "keys") as stage:
        signed = await stage.send("POST", "/session", json={"key": key})
        kept = {"Cookie": signed.headers["Set-Cookie"].partition(";")[0]}
        token = {"X-CSRF-Token": signed.json["csrfToken"]}
        for sent in (
            {},
            {"X-CSRF-Token": "x"},
            token | {"Origin": "https://evil.example"},
            token | {"Sec-Fetch-Site": "cross-site"},
        ):
            assert (await stage.send("DELETE", "/session", headers=sent)).status == 403
        assert (await stage.get(ASK)).status == 200
        own = token | {"Origin": stage.url, "Sec-Fetch-Site": "same-origin"}
        assert (await stage.send("DELETE", "/session", headers=own)).status == 204
        assert (await stage.get(ASK)).status == 401
        assert (await stage.get(ASK, headers=kept)).status == 401


async def test_a_session_goes_with_its_key(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    headers = write_keys(path, {"a": "7"})
    async with report(tmp_path, keys=path) as stage:
        await stage.send("POST", "/session", json={"key": headers["a"]["Authorization"].removeprefix("Bearer ")})
        assert (await stage.get(ASK)).status == 200
        write_keys(path, {})
        of(stage, path)
        assert (await stage.get(ASK)).status == 401


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"data": b'{"key":"a.secret-a"}', "headers": {"Content-Type": "text/plain"}}, 415),
        ({"data": {"key": "a.secret-a"}}, 415),
        ({"data": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ({"json": {}}, 400),
        ({"data": b"rubbish", "headers": {"Content-Type": "application/json", "Content-Encoding": "gzip"}}, 400),
        ({"json": []}, 400),
        ({"json": {"key": 7}}, 401),
        ({"json": {"key": "a.secret-a"}, "headers": {"Origin": "https://evil.example"}}, 403),
        ({"json": {"key": "a.secret-a"}, "headers": {"Sec-Fetch-Site": "cross-site"}}, 403),
        ({"data": b"x" * 3_000_000, "headers": {"Content-Type": "application/json"}}, 413),
    ],
)  # fmt: skip
async def test_a_sign_in_that_is_none_of_ours_is_refused(tmp_path: Path, sent: dict[str, object], status: int) -> None:
    write_keys(tmp_path / "keys", {"a": "7"})
    async with report(tmp_path, keys=tmp_path / "keys") as stage:
        answer = await stage.send("POST", "/session", **sent)
        assert (answer.status, "Set-Cookie" in answer.headers) == (status, False)


async def test_without_keys_only_this_machine_is_answered_and_only_by_its_own_name(tmp_path: Path) -> None:
    async with report(tmp_path) as stage:
        assert await stage.json("/session") == {
            "signedIn": True, "open": True, "operator": True, "partnerId": None, "csrfToken": None,
        }  # fmt: skip
        assert (await stage.get(ASK, headers={"Host": "rebound.example"})).status == 421
        assert (await stage.get(ASK, headers={"Host": "localhost:8081"})).status == 200


def test_a_report_without_usable_keys_does_not_listen_elsewhere(tmp_path: Path) -> None:
    assert open_keys(ReportSettings(host="127.0.0.1")) is None
    for settings in (
        ReportSettings(host="0.0.0.0"),
        ReportSettings(host="::"),
        ReportSettings(host="127.0.0.1", keys=tmp_path / "none"),
    ):
        with pytest.raises(RefusedSetting):
            open_keys(settings)


def run(path: Path, *arguments: str, ok: bool = True) -> str:
    done = CliRunner().invoke(command, ["--file", str(path), *arguments])
    assert (done.exit_code == 0) is ok, done.output
    return done.output


async def test_keys_are_made_listed_and_revoked_by_command(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    made = run(path, "create", "--partner", "7", "--expires", "90d", "--note", "for the wall").strip()
    run(path, "create", "--operator")
    run(path, "create", ok=False)
    run(path, "create", "--partner", "7", "--operator", ok=False)
    name, _, secret = made.partition(".")
    listed = run(path, "list")
    assert (name in listed, "for the wall" in listed, "(operator)" in listed, secret in listed) == (
        True,
        True,
        True,
        False,
    )
    assert secret not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    async with report(tmp_path, keys=path) as stage:
        sent = {"Authorization": f"Bearer {made}"}
        assert (await stage.get(ASK, headers=sent)).status == 200
        run(path, "revoke", name)
        of(stage, path)
        assert (await stage.get(ASK, headers=sent)).status == 401
    run(path, "revoke", name, ok=False)
    path.write_text("{")
    run(path, "create", "--operator", ok=False)
    assert path.read_text() == "{"
