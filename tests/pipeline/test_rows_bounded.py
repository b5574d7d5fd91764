"""How many rows of a set a partner has in a window: bounded, over crashes and while healing, whatever is sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import orjson
import pytest

from pipeline.catalog import SETS, WINDOWS
from pipeline.rows import Rows
from pipeline.windows import Row, RowId, Shape
from tests.pipeline.life import RULES, TOPIC_ID, Life, Sent, living, ruled, truth
from tests.pipeline.lines import NOON, get_line
from tests.pipeline.meanings import changed
from tests.pipeline.state_topics import TOPICS

# Two sets of two dimensions and one of three.
WIDE = tuple(one for one in SETS if one.name in ("partner", "entry", "playbackType", "entryPlaybackType"))


def _entries(life: Life, window: str = "10s") -> dict[str | None, int]:
    return {entry: counts["plays"] for (name, _, _, entry), counts in life.table().items() if name == window}


def test_entries_over_the_bound_share_one_row_and_totals_stay_exact() -> None:
    log = [[Sent(index=n, entry=f"e{n % 5}")] for n in range(10)]
    with living(log, rules=ruled(max_entries=3)) as life:
        life.finish()
        for window in ("10s", "1m", "1h"):
            assert _entries(life, window) == {None: 10, "e0": 2, "e1": 2, "e2": 2, "(other)": 4}


def test_the_bound_holds_over_checkpoints_and_crashes() -> None:
    log = [[Sent(index=n, entry=f"e{n % 5}")] for n in range(10)]
    with living(log, rules=ruled(max_entries=3, cache_rows=0)) as life:
        for n in range(10):
            life.take(1)
            life.checkpoint()
            if n % 3 == 2:
                life.crash(wiped=n == 5)
        assert _entries(life) == {None: 10, "e0": 2, "e1": 2, "e2": 2, "(other)": 4}


def test_the_bound_is_each_partners_and_each_windows_own() -> None:
    log = [
        [Sent(index=n, entry=f"e{n}", partner=partner, at=at)]
        for n in range(3)
        for partner in ("1", "2")
        for at in (NOON, NOON + 10)
    ]
    with living(log, rules=ruled(max_entries=3)) as life:
        assert life.finish() == truth(log)


def test_an_entry_named_like_the_row_of_all_others_is_counted_there() -> None:
    log = [[Sent(index=n, entry=entry)] for n, entry in enumerate(("(other)", "a", "b", "(other)"))]
    with living(log, rules=ruled(max_entries=1)) as life:
        life.finish()
        assert _entries(life) == {None: 4, "a": 1, "(other)": 3}


@pytest.mark.parametrize("stops", [False, True])
@pytest.mark.parametrize(
    ("entry", "kind"), [("%28other%29", "k{n}"), ("e{n}", "(other)"), ("e{n}", "k{n}"), ("(other)", "(other)")]
)
def test_nobody_escapes_the_bound_by_naming_a_part_of_the_row_of_all_others(entry: str, kind: str, stops: bool) -> None:
    log = [
        get_line(changed(eventIndex=str(n), entryId=entry.format(n=n), playbackType=kind.format(n=n)))
        for n in range(20)
    ]
    with living(rules=ruled(shape=Shape.of(WINDOWS, WIDE), max_entries=3)) as life:
        life.log = log
        for n in range(len(log)):
            life.take(1)
            if stops:
                life.checkpoint()
                if n % 7 == 6:
                    life.crash(wiped=n % 2 == 0)
        life.finish()
        rows: Counter[str] = Counter()
        plays: Counter[str] = Counter()
        for key, counts in life.kafka.rows().items():
            words = orjson.loads(key)
            if words["window"] == "1h":
                rows[words["set"]] += 1
                plays[words["set"]] += counts["plays"]
        assert set(plays.values()) == {len(log)} and len(plays) == len(WIDE)
        assert max(rows.values()) <= 4
        assert rows["entryPlaybackType"] == (1 if entry == kind else 4)


class Looked(dict[RowId, Row]):
    """Rows in memory that count how often one of them is looked at."""

    looks = 0

    def __iter__(self) -> Iterator[RowId]:
        for row_id in super().__iter__():
            self.looks += 1
            yield row_id

    def __contains__(self, key: object) -> bool:
        self.looks += 1
        return super().__contains__(key)

    def get(self, *asked: RowId) -> Row | None:  # type: ignore[override]
        self.looks += 1
        return super().get(*asked)


def _looks_while_healing(partners: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return how often rows in memory are looked at while the torn checkpoint of so many partners is healed."""
    begin = Rows.__init__

    def counted(self: Rows, *given: object) -> None:
        begin(self, *given)  # type: ignore[arg-type]
        self._rows = Looked()

    monkeypatch.setattr(Rows, "__init__", counted)
    log = [[Sent(index=n, partner=str(1 + n % partners), entry=f"e{n}") for n in range(4 * partners)]]
    with living(log, rules=replace(RULES, shape=Shape.of(WINDOWS, WIDE))) as life:
        life.take()
        torn, places = life.partition.prepare(TOPIC_ID, life.now_s)
        life.kafka.torn = lambda written: [one for one in written if one[0] != TOPICS.windows or b"position" in one[1]]
        life.write(torn, places)
        assert life.partition.is_healing
        life.take()
        rows = life.partition._rows._rows
        assert isinstance(rows, Looked)
        return rows.looks


def test_healing_looks_at_each_row_some_times_however_many_partners_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = (_looks_while_healing(partners, monkeypatch) for partners in (15, 30))
    assert 0 < few < many <= 2.2 * few
