"""How a line stands is worked out from offsets, positions, promises and owners alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.batch import Position
from pipeline.commands.standing import Ingest, Share, Standing, as_json, missing, standing

LEDGER = {"beacons": 10, "unique": 6, "duplicates": 2, "unknownTypes": 1, "rejected": 1, "rejected.bad_partner": 1}


def test_a_line_that_has_counted_everything_is_counted_through_the_moment_of_asking() -> None:
    positions = {0: Position(offset=9, time=990, ledger=LEDGER, topic="t"), 1: Position(offset=4, time=980, topic="t")}
    found = standing(1000, {0: 0, 1: 0}, {0: 10, 1: 5}, positions, {0: "w1"}, [Ingest("i", 999, None)], "t")
    assert found == Standing(
        1000,
        (Share(0, "w1", 9, 10, 0, 990, LEDGER), Share(1, "", 4, 5, 0, 980, {})),
        (Ingest("i", 999, None),),
        999,
    )


def test_a_spool_that_is_not_empty_holds_the_line_back() -> None:
    found = standing(1000, {0: 0}, {0: 1}, {0: Position(offset=0, topic="t")}, {}, [Ingest("i", 999, 400)], "t")
    assert found.counted_through == 400


def test_records_that_are_not_counted_are_the_lag_and_no_instant_is_promised() -> None:
    found = standing(1000, {0: 3, 1: 0}, {0: 10, 1: 5}, {0: Position(offset=5, topic="t")}, {}, [], "t")
    assert ([share.lag for share in found.shares], found.lag, found.counted_through) == ([4, 5], 9, None)


def test_a_partition_that_is_not_counted_at_all_lags_by_what_kafka_still_has() -> None:
    assert standing(1000, {0: 7}, {0: 10}, {}, {}, [], "t").lag == 3


def test_positions_of_a_topic_that_was_created_again_promise_nothing() -> None:
    found = standing(1000, {0: 0}, {0: 1}, {0: Position(offset=0, topic="old")}, {}, [], "new")
    assert found.counted_through is None


def test_one_partition_that_does_not_add_up_is_not_made_good_by_another() -> None:
    short, long = {"beacons": 2, "unique": 1}, {"beacons": 2, "unique": 3}
    positions = {0: Position(offset=0, ledger=short), 1: Position(offset=0, ledger=long)}
    found = standing(1000, {0: 0, 1: 0}, {0: 1, 1: 1}, positions, {}, [], "")
    assert (found.adds_up, found.ledger) == (False, {"beacons": 4, "unique": 4})


@given(st.lists(st.integers(0, 10**12), min_size=4, max_size=4))
def test_a_ledger_whose_outcomes_sum_to_its_beacons_misses_nothing(counts: list[int]) -> None:
    names = ("unique", "duplicates", "unknownTypes", "rejected")
    assert missing(dict(zip(names, counts, strict=True)) | {"beacons": sum(counts)}) == 0


def test_the_json_says_null_where_nothing_is_known() -> None:
    found = standing(1000, {0: 0}, {0: 1}, {}, {}, [], "t")
    assert as_json(found) == {
        "askedAt": 1000,
        "countedThrough": None,
        "lag": 1,
        "partitions": [
            {
                "partition": 0,
                "owner": None,
                "copies": None,
                "position": -1,
                "end": 1,
                "lag": 1,
                "newest": None,
                "ledger": {},
            }
        ],
        "ledger": {},
        "addsUp": True,
        "ingests": [],
    }


def test_copies_are_told_by_partition_and_none_is_another_answer_than_unknown() -> None:
    asked = (1000, {0: 0, 1: 0}, {0: 1, 1: 1}, {}, {}, [], "t")
    known = as_json(standing(*asked, {0: ("w1", "w2")}))
    assert [share["copies"] for share in known["partitions"]] == [["w1", "w2"], []]
    assert [share["copies"] for share in as_json(standing(*asked))["partitions"]] == [None, None]
