"""Every house rule turns red when it is broken: the broken line is planted into a house that keeps it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.house import rules
from tests.house.test_house import sources

WIRE = "ingest/wire.py"
EVENT = "pipeline/event.py"
LONG = "def long() -> None:\n" + "    x = 1\n" * (rules.FUNCTION_LINES + 1)
SWALLOWS = "try:\n    x = 1\nexcept Exception:\n    pass\n"

PLANTED = [
    (rules.upstream_only, WIRE, "from pipeline.catalog import METRICS"),
    (rules.upstream_only, WIRE, "def late() -> None:\n    import pipeline.event"),
    (rules.upstream_only, EVENT, "from ingest.config import Config"),
    (rules.upstream_only, EVENT, "from ingest import spool"),
    (rules.upstream_only, EVENT, "from . import catalog"),
    (rules.upstream_only, EVENT, "from tests.house import rules"),
    (rules.pure_files_do_not_act, WIRE, "import socket"),
    (rules.pure_files_do_not_act, WIRE, "from os import environ"),
    (rules.pure_files_do_not_act, EVENT, "from pipeline import config"),
    (rules.pure_files_do_not_act, EVENT, "def late() -> float:\n    import time\n    return time.time()"),
    (rules.pure_files_do_not_act, EVENT, "when = datetime.now()"),
    (rules.short_files, EVENT, "x = 1\n" * rules.FILE_LINES),
    (rules.short_functions, EVENT, LONG),
    (rules.telling_names, "pipeline/event_helpers.py", ""),
    (rules.telling_names, "ingest/utils.py", ""),
    (rules.first_sentence, "ingest/silent.py", "x = 1"),
    (rules.first_sentence, "ingest/breathless.py", '"""A file without an end"""'),
    (rules.nothing_left_open, EVENT, "# TODO: later"),
    (rules.nothing_left_open, "tests/line/test_x.py", "@pytest.mark.skip"),
    (rules.nothing_left_open, "tests/line/test_x.py", "time.sleep(3)"),
    (rules.nothing_left_open, EVENT, 'x = "/home/me/kafka"'),
    (rules.nothing_swallowed, EVENT, SWALLOWS),
    (rules.nothing_left_open, EVENT, "late = asyncio.wait_for(x, 1)"),
    (rules.nothing_left_open, EVENT, "from asyncio import sleep, wait_for"),
]


@pytest.mark.parametrize(("rule", "at", "planted"), PLANTED)
def test_a_broken_rule_is_seen(rule: Callable[[rules.Sources], list[str]], at: str, planted: str) -> None:
    whole = {path: source for path, source in sources().items() if path == at}
    before = rule(whole)

    broken = {at: whole.get(at, "") + "\n" + planted + "\n"}

    assert [complaint for complaint in rule(broken) if complaint not in before and at in complaint] != []


README = """# Name
## What is guaranteed
| promise | test |
| --- | --- |
| {promise} | {test} |
"""
PROOF = "tests/line/test_x.py::test_it"


@pytest.mark.parametrize(
    ("test", "complaints"),
    [
        (f"`{PROOF}`", []),
        ("", ["no test proves: | counted once |  |"]),
        ("`tests/line/test_y.py`", ["README names tests/line/test_y.py, which does not exist"]),
        (f"`{PROOF}_not`", [f"README names {PROOF}_not, which does not exist"]),
    ],
)
def test_a_guarantee_without_its_test_is_seen(test: str, complaints: list[str]) -> None:
    readme = README.format(promise="counted once", test=test).replace("| promise | test |\n", "")
    house = {"tests/line/test_x.py": "def test_it() -> None:\n    assert True\n"}

    assert rules.guarantees_are_proven(readme, house) == complaints


def test_a_readme_without_guarantees_is_seen() -> None:
    assert rules.guarantees_are_proven("# Name\n", {}) == ["README guarantees nothing"]
