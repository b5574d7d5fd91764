"""The sessions in memory: bounded by number and by size, and a forgotten one comes back as it was."""

from __future__ import annotations

from dataclasses import replace

from pipeline.catalog import METRICS
from tests.pipeline.life import RULES, TOPIC_ID, Life, Sent, living, records
from tests.pipeline.lines import get_line
from tests.pipeline.meanings import VIEW, changed

KEPT = ("views", "sessions", "audience", "watchedTime")
WATCHED = replace(RULES, metrics=tuple(metric for metric in METRICS if metric.name in KEPT), cache_rows=100)
# Each would take some 130 kB decoded.
ENTRIES = 250


def _held(life: Life) -> int:
    return len(life.partition._sessions._sessions)


def _view(session: int, entry: int, index: int = 1) -> bytes:
    said = {"sessionId": f"s{session}", "entryId": f"e{session}-{entry}", "eventIndex": str(index)}
    return get_line(changed(VIEW, **said, sessionStartTime=str(1_795_000_000 + 60 * entry), playTimeSum=str(index)))


def _large(sessions: int) -> list[bytes]:
    return [b"\n".join(_view(session, entry) for entry in range(ENTRIES)) for session in range(sessions)]


def test_sessions_of_real_viewers_stay_in_memory_up_to_their_number() -> None:
    with living(rules=WATCHED) as life:
        life.log = [b"\n".join(_view(n, 0, index) for index in (1, 2)) for n in range(101)]
        life.take(100)
        life.checkpoint()
        assert _held(life) == 100
        life.take(1)
        life.checkpoint()
        assert _held(life) == 0


def _counted(life: Life) -> dict[bytes, dict[str, int]]:
    return {key: {**counts, "offset": 0} for key, counts in life.kafka.rows().items()}


def test_large_sessions_are_forgotten_by_their_size_and_come_back_as_they_were() -> None:
    again = [b"\n".join(_view(n, entry, 5) for entry in (0, ENTRIES - 1)) for n in range(8)]
    log = [*_large(8), *again, *again]
    with living(rules=replace(WATCHED, cache_rows=25_000)) as plain, living(rules=WATCHED) as life:
        plain.log = life.log = log
        plain.finish()
        assert _held(plain) == 8
        held = []
        for _ in log:
            life.take(1)
            life.checkpoint()
            held.append(_held(life))
        assert _counted(life) == _counted(plain)
        # Three of them take what a hundred of real viewers may.
        assert 1 < max(held) < 4


def test_large_sessions_that_repeats_brought_back_are_forgotten_too() -> None:
    with living(rules=WATCHED) as life:
        life.log = _large(8)
        life.take()
        life.checkpoint()
        assert _held(life) == 0
        repeats = b"\n".join(_view(session, 0) for session in range(8))
        life.log += [repeats, *records([[Sent()]])]
        life.take()
        assert _held(life) == 9
        life.checkpoint()
        assert _held(life) == 0


def test_a_session_that_changed_meanwhile_is_never_forgotten() -> None:
    with living(rules=WATCHED) as life:
        life.log = [*_large(8), _view(3, 7, 9)]
        life.take(8)
        batch, places = life.partition.prepare(TOPIC_ID, life.now_s)
        life.take(1)
        life.write(batch, places)
        sessions = life.partition._sessions
        assert len(sessions._touched) == 1 and sessions._sessions == sessions._touched


def test_what_a_session_is_weighed_as_is_about_what_it_takes() -> None:
    with living(rules=WATCHED) as life:
        life.log = _large(1)
        life.finish()
        assert 100_000 < life.partition._sessions._size < 150_000
