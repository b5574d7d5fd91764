"""The files of an operator as a worker takes them: refused at the start, followed later, and never shown."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.config import RefusedSetting, WorkerSettings
from pipeline.dimensions import Dated
from pipeline.enrich.enrichers import Enrichers
from tests.pipeline.enrich.databases import place, write
from tests.pipeline.enrich.ks_maker import EXPIRY, SECRET, ks_v1, ks_v2

WHILE_VALID = EXPIRY * 1000


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "user.key"
    path.write_bytes(b"k" * 32)
    return path


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    path = tmp_path / "secrets.json"
    path.write_text(f'{{"4242": "{SECRET}"}}')
    return path


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_without_settings_every_viewer_is_anonymous(caplog: pytest.LogCaptureFixture) -> None:
    enrichers = Enrichers(WorkerSettings())
    found = enrichers.user("4242", "ann", ks_v2("ann"))
    assert found.before == found.after == ""
    assert errors(caplog) == []


def test_a_set_of_users_without_a_key_is_an_oversight_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    Enrichers(WorkerSettings(), asks_for_users=True)
    (said,) = errors(caplog)
    assert "WORKER_USER_KEY_FILE" in said


def test_a_key_alone_makes_claims_count(key: Path) -> None:
    enrichers = Enrichers(WorkerSettings(user_key_file=key))
    assert enrichers.user("4242", "ann", ks_v2("bob")) == enrichers.user("4242", "ann", "")
    assert enrichers.user("4242", "ann", "").before


def test_a_ks_counts_with_its_partners_secret(key: Path, secrets: Path) -> None:
    enrichers = Enrichers(WorkerSettings(user_key_file=key, ks_secrets_file=secrets, users="verified"))
    ann = enrichers.user("4242", "bob", ks_v1("ann"))
    assert ann == Dated(ann.before, WHILE_VALID, "") and ann.before
    assert enrichers.user("4242", "", ks_v2("ann")) == ann
    for partner, ks in (("7", ks_v2("ann")), ("7", ks_v2("ann", partner="7")), ("4242", ks_v2("ann", secret="x"))):
        assert enrichers.user(partner, "", ks).before == ""


def test_new_secrets_count_without_a_restart(key: Path, secrets: Path) -> None:
    enrichers = Enrichers(WorkerSettings(user_key_file=key, ks_secrets_file=secrets))
    assert enrichers.user("7", "", ks_v2("ann", partner="7", secret="new")).before == ""
    secrets.write_text(f'{{"4242": ["{SECRET}"], "7": ["old", "new"]}}')
    enrichers.refresh()
    assert enrichers.version == 1
    assert enrichers.user("7", "", ks_v2("ann", partner="7", secret="new")).before
    enrichers.refresh()
    assert enrichers.version == 1


@pytest.mark.parametrize("content", [b"", b'{"4242": "hush-hush', b'{"hush": "4242"}', b"\xff\xfe"])
def test_broken_secrets_keep_the_last_good_ones_and_say_so_in_one_line(
    key: Path, secrets: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    enrichers = Enrichers(WorkerSettings(user_key_file=key, ks_secrets_file=secrets))
    secrets.write_bytes(content)
    for _ in range(3):
        enrichers.refresh()
    assert enrichers.version == 0
    assert enrichers.user("4242", "", ks_v2("ann")).before
    (said,) = errors(caplog)
    assert said.startswith(f"WORKER_KS_SECRETS_FILE={secrets} cannot be read, the last good one stays in use: ")
    assert "\n" not in said and "hush" not in said


def test_a_secret_is_taken_away_without_a_restart(key: Path, secrets: Path) -> None:
    enrichers = Enrichers(WorkerSettings(user_key_file=key, ks_secrets_file=secrets))
    secrets.write_text("{}")
    enrichers.refresh()
    assert enrichers.user("4242", "", ks_v2("ann")).before == ""


def test_replaced_databases_make_old_answers_stale(tmp_path: Path) -> None:
    path = write(tmp_path / "places.mmdb", {"192.0.2.0/24": place("DE")})
    enrichers = Enrichers(WorkerSettings(places_file=path))
    enrichers.refresh()
    assert (enrichers.version, enrichers.address("192.0.2.1")["country"]) == (0, "DE")
    write(path, {"192.0.2.0/24": place("NL")})
    enrichers.refresh()
    assert (enrichers.version, enrichers.address("192.0.2.1")["country"]) == (1, "NL")


# -- refused at the start


def refused(**settings: object) -> str:
    with pytest.raises(RefusedSetting) as refusal:
        Enrichers(WorkerSettings(**settings))
    assert "\n" not in refusal.value.line
    return refusal.value.line


def test_verified_users_need_secrets(key: Path) -> None:
    assert "needs WORKER_KS_SECRETS_FILE" in refused(user_key_file=key, users="verified")


def test_secrets_need_a_key(secrets: Path) -> None:
    assert "needs WORKER_USER_KEY_FILE" in refused(ks_secrets_file=secrets)


def test_a_key_that_is_none_is_refused(tmp_path: Path, key: Path) -> None:
    key.write_bytes(b"short")
    assert refused(user_key_file=key).startswith(f"setting WORKER_USER_KEY_FILE={key}: a key has at least 16 bytes")
    assert "No such file" in refused(user_key_file=tmp_path / "none")


def test_secrets_that_are_none_are_refused(tmp_path: Path, key: Path, secrets: Path) -> None:
    secrets.write_text("hush")
    line = refused(user_key_file=key, ks_secrets_file=secrets)
    assert line == f"setting WORKER_KS_SECRETS_FILE={secrets}: no JSON: line 1 column 1"
    assert "No such file" in refused(user_key_file=key, ks_secrets_file=tmp_path / "none")


def test_aes_is_loaded_where_a_ks_is_to_be_read_and_nowhere_else(key: Path, secrets: Path) -> None:
    asks = "import sys, pipeline.app; {}; print('cryptography' in sys.modules)"
    taken = f"pipeline.app.Enrichers(pipeline.app.WorkerSettings(user_key_file={str(key)!r}{{}}))"
    with_secrets = f", ks_secrets_file={str(secrets)!r}"

    def loads(settings: str) -> str:
        code = asks.format(taken.format(settings))
        return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()

    assert (loads(""), loads(with_secrets)) == ("False", "True")
