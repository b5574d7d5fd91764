"""A rebuild that was cut short is gone on with from its file only once it has deleted what the file is made from."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from pipeline.batch import Position
from pipeline.commands import rebuild
from pipeline.commands.carrying import Carried, Origin, load, made_from, save
from pipeline.config import RefusedSetting
from tests.pipeline.commands.kafka_of_rebuild import MemoryKafka, in_memory

OLD, NEWER = (Carried("windows", 0, b"{}", b'{"plays":%d,"offset":1}' % plays) for plays in (400, 800))
COUNTED = {0: Position(offset=9)}


@pytest.fixture
def kafka(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MemoryKafka:
    return in_memory(tmp_path, monkeypatch)


def whole(kafka: Any) -> None:
    rebuild._whole(kafka, no_wait=True, yes=True)


def file_of(kafka: MemoryKafka) -> Path:
    return kafka.line.data_dir / "rebuild" / "carried.ndjson.gz"


def in_the_earlier_form(file: Path) -> None:
    lines = gzip.decompress(file.read_bytes()).splitlines(keepends=True)
    file.write_bytes(gzip.compress(b"".join(lines[1:])))


def test_what_was_counted_after_a_rebuild_that_deleted_nothing_is_carried_over_too(kafka: MemoryKafka) -> None:
    kafka.rows, kafka.counted, kafka.refuses = [OLD], COUNTED, True
    with pytest.raises(RefusedSetting):
        whole(kafka)
    kafka.rows, kafka.refuses = [NEWER], False
    whole(kafka)
    assert (kafka.rows, file_of(kafka).exists()) == ([NEWER], False)


@pytest.mark.parametrize("earlier_form", [False, True])
@pytest.mark.parametrize("created", [[], ["seen"], ["windows"], ["windows", "seen"]])
def test_what_only_the_file_holds_after_the_deletion_is_carried_over(
    kafka: MemoryKafka, created: list[str], earlier_form: bool
) -> None:
    save(file_of(kafka), [OLD], Origin(kafka.ids["windows"], {0: 5}))
    assert made_from(file_of(kafka)) == Origin(kafka.ids["windows"], {0: 5})
    if earlier_form:
        in_the_earlier_form(file_of(kafka))
    kafka.ids = {name: f"new-{name}" for name in created}
    whole(kafka)
    assert (kafka.rows, file_of(kafka).exists()) == ([OLD], False)


def test_a_file_of_an_earlier_release_is_kept_but_not_used_where_workers_have_counted_since(
    kafka: MemoryKafka, capsys: pytest.CaptureFixture[str]
) -> None:
    save(file_of(kafka), [OLD], Origin("", {}))
    in_the_earlier_form(file_of(kafka))
    assert (made_from(file_of(kafka)), load(file_of(kafka))) == (None, [OLD])
    kafka.rows, kafka.counted = [NEWER], COUNTED
    whole(kafka)
    assert kafka.rows == [NEWER]
    (kept,) = file_of(kafka).parent.iterdir()
    assert load(kept) == [OLD]
    assert f"{kept} was made by an earlier release" in capsys.readouterr().err


@pytest.mark.parametrize("step", ["_delete_topics", "ensure_topics", "carry"])
def test_who_cuts_a_rebuild_short_is_told_to_run_it_again_here_and_why(
    kafka: MemoryKafka, step: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    kafka.rows = [OLD]
    monkeypatch.setattr(rebuild, step, interrupted)
    with pytest.raises(KeyboardInterrupt):
        whole(kafka)
    said = f"cut short: run this again HERE; {file_of(kafka)} holds rows that nothing else does\n"
    assert (capsys.readouterr().err, load(file_of(kafka))) == (said, [OLD])
