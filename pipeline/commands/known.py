"""What `probe` sends and what the report must then say: a known set, its rows, and the verdict on an answer. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

METRICS = ("plays", "views", "bufferTime")
# The set is sent in the middle of a minute: as long as no two clocks are further apart, rounds share no window.
SECOND_OF_MINUTE = 20
# How far the clocks of ingests and reports may be apart before a row that lacks something is called wrong.
CLOCKS_APART_S = 5

# (start of the minute, entry)
Place = tuple[int, str]
# Plays, views, milliseconds of buffer time.
Counts = tuple[int, int, int]


class Outcome(StrEnum):
    """How a round ended: the closed list.

    EQUAL: the report says what was sent. WRONG: it says that it has counted the set, and has something else.
    LATE: it has not counted the set by the deadline. UNREACHABLE: ingest or report did not answer as they must.
    """

    EQUAL = "equal"
    WRONG = "wrong"
    LATE = "late"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Send:
    """One request.

    Attributes:
        parameters: of the beacon.
        form: how it goes: in the query, or in a body beside service and action, as players do.
        entry, adds: the row that it adds to, and what; a repeat adds nothing.
    """

    parameters: Mapping[str, str]
    entry: str
    adds: Counts
    form: str = "query"


def next_round(now_s: float) -> int:
    """Return when the next round is due, Unix seconds: once a minute, in its middle."""
    due = int(now_s) // 60 * 60 + SECOND_OF_MINUTE
    return due if due >= now_s else due + 60


def known_set(partner: str, name: str, minute: int, by_pair: bool) -> tuple[Send, ...]:
    """Return the set of a minute: two sessions of two entries with repeats, and an index that begins again.

    Who sends the set of a minute twice sends repeats, which add nothing.

    Args:
        partner: the synthetic partner's id.
        name: of the probe; its entries and sessions begin with it.
        minute: Unix minutes; another minute has other sessions.
        by_pair: whether an index that begins again in a session is a repeat (WORKER_DEDUPE_BY=pair).
    """

    def send(letter: str, index: int, kind: int, adds: Counts, form: str = "query", **more: str) -> Send:
        addressed = {"service": "analytics", "action": "trackEvent", "eventType": str(kind), "partnerId": partner}
        session = {"entryId": f"{name}-{letter}", "sessionId": f"{name}-{letter}-{minute}", "eventIndex": str(index)}
        return Send(addressed | session | more, f"{name}-{letter}", adds, form)

    def again(sent: Send, form: str) -> Send:
        return Send(sent.parameters, sent.entry, (0, 0, 0), form)

    start = str(minute * 60)
    # Buffer time counts in views alone.
    play = send("a", 2, 3, (1, 0, 0), sessionStartTime=start, bufferTime="0.25")
    view = send("a", 3, 99, (0, 1, 1500), "json", sessionStartTime=start, bufferTime="1.5")
    # After a pause a player counts its events from 1 again, under the same session.
    segment = send("a", 2, 3, (0, 0, 0) if by_pair else (1, 0, 0), sessionStartTime=str(minute * 60 + 40))
    other = send("b", 1, 3, (1, 0, 0), "form")
    return (
        send("a", 1, 1, (0, 0, 0)),
        play,
        again(play, "query"),
        view,
        again(view, "query"),
        send("a", 4, 99, (0, 1, 0), sessionStartTime=start),
        segment,
        other,
        send("b", 2, 99, (0, 1, 750), "json", bufferTime="0.750"),
        again(other, "json"),
    )


def rows_of(sent: Sequence[Send], received_s: Sequence[int]) -> dict[Place, Counts]:
    """Return the rows of one minute that a report must have.

    Args:
        sent: the set.
        received_s: what ingest answered to each, the Unix second that it received it in.
    """
    rows: dict[Place, Counts] = {}
    for one, second in zip(sent, received_s, strict=True):
        place = (second // 60 * 60, one.entry)
        plays, views, buffer_ms = rows.get(place, (0, 0, 0))
        rows[place] = (plays + one.adds[0], views + one.adds[1], buffer_ms + one.adds[2])
    return {place: counts for place, counts in rows.items() if any(counts)}


def _rows_in(answer: Mapping[str, Any], starts: frozenset[int]) -> dict[Place, Counts]:
    """Return the rows of these minutes in a report's answer."""
    found = {
        (int(row["time"]), str(row["entryId"])): (row["plays"], row["views"], round(row["bufferTime"] * 1000))
        for row in answer["rows"]
        if int(row["time"]) in starts
    }
    return {place: counts for place, counts in found.items() if any(counts)}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer of the report says of a set.

    Attributes:
        is_equal: its rows are those of the set.
        outcome: how the round ends; None while it goes on.
        difference: what is and what must be, for people; "" where the rows are equal.
    """

    is_equal: bool
    outcome: Outcome | None
    difference: str


def judge(must_be: Mapping[Place, Counts], answer: Mapping[str, Any], answered_s: int, is_over: bool) -> Verdict:
    """Return what an answer says of a set.

    Args:
        must_be: the rows of the set.
        answer: of the report.
        answered_s: the Unix second of the last 200.
        is_over: the deadline has passed.
    """
    is_ = _rows_in(answer, frozenset(start for start, _ in must_be))
    through = float(answer["countedThrough"] or 0)
    promised = through >= answered_s + 1
    if is_ == must_be:
        # Repeats that are not counted yet could still change the rows: only then is it said.
        return Verdict(True, Outcome.EQUAL if promised else Outcome.LATE if is_over else None, "")
    places = sorted(is_.keys() | must_be.keys())
    nothing = (0, 0, 0)
    pairs = [(place, is_.get(place, nothing), must_be.get(place, nothing)) for place in places]
    said = "; ".join(
        f"{entry} at {start}: {_differing(now, must)}" for (start, entry), now, must in pairs if now != must
    )
    too_many = any(one > other for _, now, must in pairs for one, other in zip(now, must, strict=True))
    if too_many or through >= answered_s + 1 + CLOCKS_APART_S or (is_over and promised):
        return Verdict(False, Outcome.WRONG, said)
    return Verdict(False, Outcome.LATE if is_over else None, said)


def _differing(is_: Counts, must_be: Counts) -> str:
    units = zip(("plays", "views", "ms of buffer time"), is_, must_be, strict=True)
    return ", ".join(f"{now} {what}, must be {must}" for what, now, must in units if now != must)
