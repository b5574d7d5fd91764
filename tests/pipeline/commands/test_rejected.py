"""`rejected` says of a line that was cut that it was, and does not put it back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from ingest.beacon import Beacon
from ingest.wire import encode
from pipeline.commands import rejected as module
from pipeline.commands.broker import Broker
from pipeline.commands.letters import Letter
from pipeline.commands.putting import Done, Ready

QUERY = b"service=analytics&eventType=3&partnerId=4242&sessionId=s&eventIndex=1"
LINE = encode(Beacon("b1", 1_795_000_000_000, path=b"/api_v3/index.php", query=QUERY))
LETTERS = [Letter("fault", 0, 1, 0, LINE), Letter("unreadable_line", 0, 2, 0, LINE, cut=3_000_000)]


@pytest.fixture
def put(monkeypatch: pytest.MonkeyPatch) -> list[Ready]:
    """What is put back; topic `rejected` holds a line that can be read now, and one that was cut."""
    put: list[Ready] = []
    broker = SimpleNamespace(topics=SimpleNamespace(beacons="beacons"), partitions=lambda topic: {0})

    def take(_: Any, ready: list[Ready]) -> Done:
        put.extend(ready)
        return Done(len(ready), 0)

    monkeypatch.setattr(Broker, "from_environment", lambda: broker)
    monkeypatch.setattr(module, "_letters", lambda *_: iter(LETTERS))
    monkeypatch.setattr(module, "_put", take)
    return put


def test_show_says_that_a_line_was_cut(put: list[Ready]) -> None:
    said = CliRunner().invoke(module.rejected, ["show", "0:2:0"])
    assert said.stdout_bytes == LINE + b"\n"
    assert f"cannot be put back: these are the first {len(LINE)} of its 3000000 bytes" in said.stderr
    assert "this version can read it" in CliRunner().invoke(module.rejected, ["show", "0:1:0"]).stderr


def test_replay_leaves_a_line_that_was_cut_and_says_so(put: list[Ready]) -> None:
    said = CliRunner().invoke(module.rejected, ["replay"])
    assert (said.exit_code, len(put)) == (0, 1)
    assert said.stdout == "put back 1, put back before 0; still unreadable: 1 cut\n"


def test_a_cut_line_in_an_edited_file_is_refused_with_its_place(put: list[Ready], tmp_path: Any) -> None:
    file = tmp_path / "letters"
    file.write_bytes(b"\n".join(orjson.dumps(letter.as_json()) for letter in LETTERS))
    said = CliRunner().invoke(module.rejected, ["replay", "--edited", str(file)])
    assert (said.exit_code, put) == (1, [])
    assert said.stderr.startswith("0:2:0: still cut\n")
