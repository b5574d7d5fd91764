"""The benches' beacons are what ingest would have written, and their true counts are right."""

from __future__ import annotations

from itertools import islice
from urllib.parse import parse_qs

from ingest import wire
from ingest.beacon import partition_of as ingest_partition_of
from tests.load.dataset import Counts, Sent, Shape, beacons, count, partition_of

SHAPE = Shape(sessions=500, entries=50, partners=5)


def test_a_line_is_what_ingest_writes_and_goes_where_ingest_sends_it() -> None:
    for sent in islice(beacons(SHAPE), 300):
        beacon = wire.decode(sent.line)
        assert wire.encode(beacon) == sent.line
        assert ingest_partition_of(beacon, 4) == partition_of(sent, 4)


def test_every_session_sends_six_in_order_of_time_and_one_in_fifteen_is_a_re_send() -> None:
    made = list(beacons(SHAPE))
    assert len(made) == SHAPE.beacons == 3000
    assert [sent.time for sent in made] == sorted(sent.time for sent in made)
    per_session: dict[str, int] = {}
    for sent in made:
        per_session[sent.session] = per_session.get(sent.session, 0) + 1
    assert set(per_session.values()) == {6}
    assert 0.05 < sum(sent.repeated for sent in made) / len(made) < 0.08


def test_the_same_shape_gives_the_same_bytes() -> None:
    assert [sent.line for sent in beacons(SHAPE)] == [sent.line for sent in beacons(SHAPE)]


def test_the_true_counts_are_those_of_reading_each_query_once() -> None:
    truth: Counts = {}
    read: Counts = {}
    known: set[bytes] = set()
    for sent in beacons(SHAPE):
        if not sent.repeated:
            count(truth, sent)
        query = wire.decode(sent.line).query
        if query not in known:
            known.add(query)
            count(read, _as_read(sent, query))
    assert truth == read


def _as_read(sent: Sent, query: bytes) -> Sent:
    said = {name: values[0] for name, values in parse_qs(query.decode()).items()}
    is_view = said["eventType"] == "99"
    buffer_ms = round(float(said["bufferTime"]) * 1000) if is_view else 0
    words = (said["sessionId"], said["partnerId"], said["entryId"], int(said["eventType"]), buffer_ms)
    return Sent(sent.line, sent.time, *words, False)
