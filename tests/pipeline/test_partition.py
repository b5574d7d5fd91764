"""One owner's state of one partition: what is accepted, what is a duplicate, what a checkpoint holds."""

from __future__ import annotations

import random

import pytest

from pipeline.partition import Gap
from tests.pipeline.life import RULES, Sent, ledger_of, living, plays_of, records, ruled, truth
from tests.pipeline.lines import NOON, play

PLAYS = [[Sent(index=n)] for n in range(1, 8)]


# -- accept


def test_records_in_order_are_folded() -> None:
    with living(PLAYS) as life:
        assert life.finish() == truth(PLAYS)
        assert life.partition.position == 6


def test_a_record_that_is_in_already_is_passed_over() -> None:
    with living(PLAYS) as life:
        life.take(5)
        life.partition.take([(offset, life.log[offset]) for offset in (0, 3, 4, 5, 2, 6)])
        assert life.finish() == truth(PLAYS)


def test_a_gap_is_named_and_what_lay_before_it_is_folded() -> None:
    with living(PLAYS) as life:
        with pytest.raises(Gap) as gap:
            life.partition.take([(offset, life.log[offset]) for offset in (0, 1, 3, 4)])
        assert (gap.value.offset, life.partition.position) == (2, 1)
        with pytest.raises(Gap) as again:
            life.partition.take([(4, life.log[4])])
        assert again.value.offset == 2
        assert life.finish() == truth(PLAYS)


def test_a_hole_is_skipped_only_when_told_and_stands_in_the_ledger() -> None:
    with living(PLAYS) as life:
        life.take(2)
        life.partition.skip_to(5)
        life.take()
        life.checkpoint()
        assert life.table() == truth(PLAYS[:2] + PLAYS[5:])
        assert ledger_of(life) == {"beacons": 4, "unique": 4, "lostOffsets": 3}


def test_a_record_without_a_value_is_one_unreadable_beacon() -> None:
    with living() as life:
        life.partition.take([(0, None), (1, b"")])
        life.checkpoint()
        assert ledger_of(life) == {"beacons": 2, "rejected": 2, "rejected.unreadable_line": 2}


def test_a_record_of_more_lines_than_a_place_can_number_is_rejected_whole() -> None:
    with living() as life:
        life.log = [b"\n" * 65_536, play(1), b"\n" * 65_535]
        life.take()
        life.checkpoint()
        assert life.kafka.position().ledger["rejected"] == 65_537 + 65_536
        assert plays_of(life) == {NOON: 1}
        assert len(life.kafka.letters()) == 1 + 65_536


# -- judge


def test_a_repeat_in_the_same_record_is_a_duplicate() -> None:
    with living([[Sent(), Sent(), Sent()]]) as life:
        life.finish()
        assert (plays_of(life), ledger_of(life)) == ({NOON: 1}, {"beacons": 3, "unique": 1, "duplicates": 2})


def test_a_repeat_in_the_next_record_is_a_duplicate() -> None:
    with living([[Sent()], [Sent()]]) as life:
        life.finish()
        assert plays_of(life) == {NOON: 1}


def test_a_repeat_after_a_checkpoint_is_a_duplicate() -> None:
    with living([[Sent()], [Sent()]]) as life:
        life.take(1)
        life.checkpoint()
        life.finish()
        assert (plays_of(life), ledger_of(life)) == ({NOON: 1}, {"beacons": 2, "unique": 1, "duplicates": 1})


def test_a_repeat_while_the_first_is_on_its_way_to_kafka_is_a_duplicate() -> None:
    with living([[Sent()], [Sent()], [Sent(index=2)]]) as life:
        life.take(1)
        batch, places = life.partition.prepare("topic-1", life.now_s)
        life.take()
        assert not life.partition.is_dirty
        life.write(batch, places)
        life.finish()
        assert (plays_of(life), ledger_of(life)) == ({NOON: 2}, {"beacons": 3, "unique": 2, "duplicates": 1})


@pytest.mark.parametrize("wiped", [False, True])
def test_a_repeat_after_a_crash_is_a_duplicate(wiped: bool) -> None:
    with living([[Sent()], [Sent()]]) as life:
        life.take(1)
        life.checkpoint()
        life.crash(wiped)
        life.finish()
        assert plays_of(life) == {NOON: 1}


def test_the_same_event_in_another_segment_is_counted() -> None:
    with living([[Sent()], [Sent(entry="1_y")], [Sent(kind=99)]]) as life:
        assert life.finish() == truth([[Sent()], [Sent(entry="1_y")], [Sent(kind=99)]])
        assert ledger_of(life) == {"beacons": 3, "unique": 3}


def test_by_the_bare_pair_the_other_segment_is_a_duplicate() -> None:
    with living([[Sent()], [Sent(entry="1_y")]], rules=ruled(by_pair=True)) as life:
        life.finish()
        assert ledger_of(life) == {"beacons": 2, "unique": 1, "duplicates": 1}


#  first           horizon                     2 x horizon
#  |---------------|---------------------------|
@pytest.mark.parametrize(
    ("after_s", "plays"), [(0, 1), (59, 1), (60, 2), (61, 2), (119, 2), (120, 2), (3600, 2), (-59, 1), (-60, 2)]
)
@pytest.mark.parametrize("checkpoint_between", [False, True])
def test_a_repeat_counts_again_once_the_horizon_is_over(after_s: int, plays: int, checkpoint_between: bool) -> None:
    with living([[Sent()], [Sent(at=NOON + after_s)]], rules=ruled(dedupe_horizon_s=60)) as life:
        life.take(1)
        if checkpoint_between:
            life.checkpoint()
        life.finish()
        assert sum(plays_of(life).values()) == plays


@pytest.mark.parametrize("other_s", [43_200, 172_800])
def test_a_repeat_stays_one_when_the_horizon_changes_with_the_store_kept(other_s: int) -> None:
    with living([[Sent()], [Sent(at=NOON + 5)]], rules=ruled(dedupe_horizon_s=86_400)) as life:
        life.take(1)
        life.checkpoint()
        life.close()
        life.rules = ruled(dedupe_horizon_s=other_s)
        life.finish()
        assert plays_of(life) == {NOON: 1}


def test_a_repeat_that_counts_again_begins_a_new_horizon() -> None:
    #  0 counted .. 59 repeat .. 60 counted .. 119 repeat .. 120 counted
    log = [[Sent(at=NOON + after)] for after in (0, 59, 60, 119, 120)]
    with living(log, rules=ruled(dedupe_horizon_s=60)) as life:
        for _ in log:
            life.take(1)
            life.checkpoint()
        assert ledger_of(life) == {"beacons": 5, "unique": 3, "duplicates": 2}


# -- checkpoint


def test_positions_of_checkpoints_make_a_chain_without_a_gap() -> None:
    with living(PLAYS) as life:
        chain = []
        for most in (2, 1, 3, 1):
            life.take(most)
            batch = life.checkpoint()
            assert batch is not None
            chain.append((batch.position.previous, batch.position.offset))
        assert chain == [(-1, 1), (1, 2), (2, 5), (5, 6)]


def test_every_row_of_a_checkpoint_says_which_beacons_it_includes() -> None:
    with living(PLAYS) as life:
        for most in (2, 3):
            life.take(most)
            life.checkpoint()
        assert {counts["offset"] for counts in life.kafka.rows().values()} == {4}


def test_nothing_folded_is_nothing_to_write() -> None:
    with living(PLAYS) as life:
        assert not life.partition.is_dirty
        life.finish()
        assert not life.partition.is_dirty
        assert life.checkpoint() is None


def test_marks_and_bytes_of_dead_letters_bring_the_next_checkpoint_nearer() -> None:
    #  40 sightings in one cell | repeats: nothing new | a letter of 10 kB | two of 0.1 kB | written: nothing is left
    seen = [[Sent(index=n) for n in range(40)]]
    letters = [b"x" * 10_000, b"x" * 100 + b"\n" + b"x" * 100]
    with living() as life:
        life.log = [*records(seen), *records(seen), *letters]
        changed = [life.partition.changed_cells]
        for _ in life.log:
            life.take(1)
            changed.append(life.partition.changed_cells)
        assert changed == [0, 3, 3, 14, 16]
        life.checkpoint()
        assert life.partition.changed_cells == 0


def test_the_line_is_as_late_as_its_latest_beacon() -> None:
    log = [[Sent(index=1, at=NOON + 7)], [Sent(index=2, at=NOON - 100)]]
    with living(log) as life:
        life.finish()
        assert life.kafka.position().time == (NOON + 7) * 1000


def test_rows_that_left_memory_come_back_from_the_store() -> None:
    log = [[Sent(index=n, entry=f"e{n % 4}", at=NOON + n % 3 * 10)] for n in range(24)]
    with living(log, rules=ruled(cache_rows=0)) as life:
        for _ in log:
            life.take(1)
            life.checkpoint()
        assert life.table() == life.stored_table() == truth(log)


def test_recorded_players_in_any_order_and_twice_give_what_a_reading_of_the_file_gives() -> None:
    import json
    from collections import Counter
    from urllib.parse import parse_qsl

    from tests.pipeline.lines import recorded, recorded_line

    requests = recorded("kava 0.15.1") + recorded("kava 1.15.2") + recorded("kAnalony 2.98")
    plays: Counter[tuple[str, str]] = Counter()
    for request in requests:
        values = dict(parse_qsl(request["url"].partition("?")[2], keep_blank_values=True))
        if request["body"].startswith("{"):
            values |= {name: str(value) for name, value in json.loads(request["body"]).items()}
        else:
            values |= dict(parse_qsl(request["body"], keep_blank_values=True))
        entry, kind = values["entryId"], values["eventType"]
        plays[entry, "plays"] += kind == "3"
        plays[entry, "views"] += kind == "99"
        if kind == "99":
            plays[entry, "bufferTime"] += round(float(values.get("bufferTime", "0")) * 1000)
    lines = [recorded_line(request, number) for number, request in enumerate(requests)]
    shuffled = random.Random(7).sample(lines, len(lines))
    for order in (lines, shuffled, [line for line in lines for _ in (1, 2)], lines + shuffled):
        with living() as life:
            life.log = [b"\n".join(order[at : at + 5]) for at in range(0, len(order), 5)]
            life.finish()
            found: Counter[tuple[str, str]] = Counter()
            for (window, _, _, entry), counts in life.table().items():
                if window == "1h" and entry is not None:
                    found.update({(entry, name): counts.get(name, 0) for name in ("plays", "views", "bufferTime")})
            assert +found == +plays


def test_the_rules_of_these_tests_are_the_lines_own() -> None:
    from pipeline.app import rules_of
    from pipeline.config import LineSettings, WorkerSettings

    lines_own = rules_of(LineSettings(), WorkerSettings(metrics="plays,views,bufferTime", sets="partner,entry"))
    assert (lines_own.shape, lines_own.by_pair, lines_own.dedupe_horizon_s, lines_own.max_entries) == (
        RULES.shape,
        RULES.by_pair,
        RULES.dedupe_horizon_s,
        RULES.max_entries,
    )
