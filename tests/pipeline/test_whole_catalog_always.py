"""Sessions and all metrics, in every set that needs no look-up: however a log is split, torn and healed, one table."""

from __future__ import annotations

import struct
from base64 import b64decode
from collections import defaultdict
from typing import Any
from urllib.parse import parse_qsl

import orjson
from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh3_128_digest

from pipeline.catalog import DIMENSIONS, METRICS, SETS, WINDOWS
from pipeline.rows import Rules
from pipeline.windows import Shape
from tests.pipeline.life import living
from tests.pipeline.lines import NOON, get_line
from tests.pipeline.state_topics import Fault, Record

_SENT = {dimension.name for dimension in DIMENSIONS if dimension.source == "parameter"}
WHOLE = Rules(Shape.of(WINDOWS, tuple(kept for kept in SETS if _SENT.issuperset(kept.dimensions))), METRICS)
Counts = dict[str, int]


def _line(number: int) -> bytes:
    """Return a beacon of one of three sessions, each with looks that change, segments and repeats."""
    session, at = number % 3, NOON + number * 4
    query = (
        f"service=analytics&action=trackEvent&eventType={(1, 2, 3, 99, 99, 98, 10_002)[number % 7]}&partnerId=1"
        f"&entryId=e{number % 4}&sessionId=s{session}&eventIndex={number // 3 % 9}"
        f"&playTimeSum={number % 5 * 10}&sessionStartTime={NOON + number // 9 * 40}&bufferTime=0.5"
        f"&playbackType={('vod', 'live')[number % 2]}&deliveryType=hls&joinTime=0.{number}&actualBitrate=9{number}"
        f"&clientVer={number % 2}&errorCode={number % 3}"
    )
    return get_line(query, f"i-{number}", at * 1000)


# Every third beacon comes again, one record later.
LOG = [b"\n".join([_line(n), *([_line(n - 2)] if n % 3 == 2 else [])]) for n in range(30)]


def _rows(rows: dict[bytes, Counts]) -> dict[bytes, Counts]:
    return {key: {name: n for name, n in counts.items() if name != "offset" and n} for key, counts in rows.items()}


def _plain(rules: Rules = WHOLE) -> dict[bytes, Counts]:
    with living(rules=rules) as life:
        life.log = LOG
        life.finish()
        return _rows(life.kafka.rows())


PLAIN = _plain()
# Two entries have rows of their own, the others share one.
BOUNDED = Rules(WHOLE.shape, METRICS, max_entries=2)
PLAIN_BOUNDED = _plain(BOUNDED)


def test_the_log_of_these_tests_counts_in_many_metrics_and_sets() -> None:
    names = {name for counts in PLAIN.values() for name in counts}
    assert {"plays", "views", "bufferTime", "sessions", "audience", "watchedTime"} <= names
    assert len(PLAIN) > 50


def test_rows_say_who_was_there_and_when_as_a_plain_reading_does() -> None:
    """Of partners and entries: the sketches of minutes and hours, and how many watched in each 10 s."""
    sessions: dict[tuple[str, int, str | None], set[int]] = defaultdict(set)
    watched: dict[tuple[int, str | None, int], set[str]] = defaultdict(set)
    for line in {line for record in LOG for line in record.split(b"\n")}:
        beacon = orjson.loads(line)
        said = dict(parse_qsl(beacon["query"]))
        hour, slot = beacon["time"] // 3_600_000 * 3600, beacon["time"] // 10_000 % 360
        for entry in (None, said["entryId"]):
            digest = xxh3_128_digest(f"1\0{said['sessionId']}".encode())
            for window, start in (("1m", beacon["time"] // 60_000 * 60), ("1h", hour)):
                sessions[window, start, entry].add(int.from_bytes(digest[:4], "little"))
            if said["eventType"] == "99":
                watched[hour, entry, slot].add(said["sessionId"])
    sketches, slots = {}, {}
    for key, counts in PLAIN.items():
        words = orjson.loads(key)
        place = words["start"], words.get("entryId")
        if words["window"] != "10s" and words["set"] in ("partner", "entry"):
            sketches[words["window"], *place] = b64decode(str(counts["sketch.sessions"]))
            slots |= {(*place, int(name[9:])): n for name, n in counts.items() if name.startswith("audience.")}
    assert sketches == {place: b"\1" + struct.pack(f"<{len(s)}I", *sorted(s)) for place, s in sessions.items()}
    assert slots == {place: len(some) for place, some in watched.items()}


@given(data=st.data(), cache=st.sampled_from([0, 25_000]))
def test_splits_crashes_and_unknown_ends_change_no_row_of_any_set(data: Any, cache: int) -> None:
    with living(rules=Rules(WHOLE.shape, METRICS, cache_rows=cache)) as life:
        life.log = LOG
        for _ in range(data.draw(st.integers(0, 8), label="steps")):
            life.take(data.draw(st.integers(0, 6), label="records"))
            if data.draw(st.booleans(), label="write"):
                life.checkpoint(data.draw(st.sampled_from(Fault)), data.draw(st.booleans(), label="die before apply"))
            if data.draw(st.integers(0, 3), label="crash") == 0:
                life.crash(wiped=data.draw(st.booleans(), label="wiped"))
        life.finish()
        assert _rows(life.kafka.rows()) == PLAIN


@given(data=st.data(), bounded=st.booleans())
def test_torn_checkpoints_heal_in_every_set_and_metric_bounded_or_not(data: Any, bounded: bool) -> None:
    with living(rules=BOUNDED if bounded else WHOLE) as life:
        life.log = LOG
        for _ in range(data.draw(st.integers(1, 3), label="torn")):
            life.take(data.draw(st.integers(1, 9), label="records"))
            life.checkpoint()
            life.take(data.draw(st.integers(1, 9), label="records"))

            def keep(batch: list[Record]) -> list[Record]:
                lost = data.draw(st.sets(st.integers(0, len(batch) - 1), max_size=4), label="lost")
                return [record for number, record in enumerate(batch) if number not in lost]

            life.kafka.torn = keep
            life.checkpoint()
            life.kafka.torn = None
            if data.draw(st.booleans(), label="wiped"):
                life.crash(wiped=True)
        life.finish()
        assert _rows(life.kafka.rows()) == (PLAIN_BOUNDED if bounded else PLAIN)
