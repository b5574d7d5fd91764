"""How many connections fit below the limit of open files; a child does not outlive its parent."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

from ingest.machine import connections_allowed


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "allowed", "raised_to"),
    [
        (4096, 4096, 100, 100, None),
        (1024, 4096, 100, 100, 4096),
        (1024, 4096, 10000, 4016, 4096),
        (96, 96, 10000, 16, None),
        (64, 64, 10000, 1, None),
        (1024, resource.RLIM_INFINITY, 10000, 10000, 20080),
        (1 << 20, resource.RLIM_INFINITY, 10000, 10000, None),
    ],
)
def test_the_limit_is_raised_as_far_as_allowed_and_never_lowered(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, wanted: int, allowed: int, raised_to: int | None
) -> None:
    raised: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: raised.append(limits))
    assert connections_allowed(wanted) == allowed
    assert raised == ([] if raised_to is None else [(raised_to, hard)])


def test_a_child_whose_parent_has_ended_before_it_could_say_so_ends_too() -> None:
    #  parent  starts the child |x
    #  child                    | loads its code, asks to end with its parent: which is another one by now
    child = subprocess.run(
        (sys.executable, "-m", "ingest"),
        env={**os.environ, "INGEST_CHILD": "1 999999999", "INGEST_PROCESSES": "2"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert child.stderr == "ingest: the process that started this one has ended\n"
    assert child.returncode == 78
