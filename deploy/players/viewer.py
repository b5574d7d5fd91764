"""What one viewer of one media does, as steps in time: shaped by recordings of real players.

0 s   1 impression, 2 play request, 3 play, 99 view: in one burst
11 s  99, then every 10 s of unpaused time; quartiles as the position passes them
      33 pause ... 4 resume; after more than 30 s the player counts its events from 1 again
      35 seek, 45/46 stall: its seconds are told by the next 99
end   14, 33; now and then a replay: 35, 34, 4 and no new 3
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

FIRST_VIEW_S, NEXT_VIEW_S = 11.0, 10.0
RESTART_AFTER_S = 30.0
QUARTILES = ((0.25, 11), (0.5, 12), (0.75, 13))
# Seconds of watching between two things that a viewer or the network does.
CALM_S = 25.0

Draw = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Step:
    """One event.

    Attributes:
        wait: seconds since the step before.
        type: event type.
        told: its own parameters beside those of the session.
        restart: the player counts its events from 1 again, from this one on.
    """

    wait: float
    type: int
    told: dict[str, float | str]
    restart: bool = False


@dataclass(slots=True)
class _Playback:
    """Where a viewer stands."""

    duration: float
    position: float = 0.0
    watched: float = 0.0
    next_view: float = FIRST_VIEW_S
    stalled: float = 0.0
    stalled_sum: float = 0.0
    idle: float = 0.0
    passed: set[int] = field(default_factory=set)

    def step(self, kind: int, *, restart: bool = False, **told: float | str) -> Step:
        """Return an event at this instant."""
        wait, self.idle = self.idle, 0.0
        return Step(wait, kind, {"position": round(self.position, 6), **told}, restart)

    def view(self) -> Step:
        """Return a view event: it tells the buffering since the one before."""
        seconds, self.stalled = round(self.stalled, 3), 0.0
        stalled_sum, watched = round(self.stalled_sum, 3), round(self.watched, 3)
        return self.step(99, bufferTime=seconds, bufferTimeSum=stalled_sum, playTimeSum=watched)

    def watch(self, seconds: float) -> None:
        """Play on for so long."""
        self.watched += seconds
        self.position += seconds
        self.idle += seconds

    def stall(self, seconds: float) -> None:
        """Wait for data; it lasts, and nothing is watched."""
        self.stalled += seconds
        self.stalled_sum += seconds
        self.idle += seconds


def visit(duration: float, draw: Draw) -> Iterator[Step]:
    """Yield what a viewer of a media of this length does, until it ends or the tab is closed.

    Args:
        duration: of the media, seconds.
        draw: gives numbers in [0, 1).
    """
    at = _Playback(duration)
    yield at.step(1)
    if draw() < 0.02:
        at.idle += 0.3
        yield at.step(98, errorCode=1002)
        return
    at.idle += 0.05 + draw()
    yield at.step(2)
    at.stall(round(draw() * 0.4, 3))
    yield at.step(3, bufferTime=round(at.stalled, 3), joinTime=round(at.stalled + 0.05, 3))
    at.idle += 0.003
    yield at.view()
    patience = duration if draw() < 0.4 else duration * draw()
    calm = -CALM_S * math.log(1 - draw())
    while at.watched < patience:
        until_end = duration - at.position
        span = min(at.next_view - at.watched, calm, until_end, _to_quartile(at))
        at.watch(span)
        calm -= span
        if at.watched >= at.next_view - 1e-9:
            at.next_view += NEXT_VIEW_S
            yield at.view()
        yield from _quartiles(at)
        if at.position >= duration - 1e-9:
            yield from _end(at)
            return
        if calm <= 1e-9:
            calm = -CALM_S * math.log(1 - draw())
            yield from _interruption(at, draw)


def _to_quartile(at: _Playback) -> float:
    """Return the seconds of playing to the next quartile's position."""
    ahead = [share * at.duration - at.position for share, kind in QUARTILES if kind not in at.passed]
    return min((seconds for seconds in ahead if seconds > 0), default=at.duration)


def _quartiles(at: _Playback) -> Iterator[Step]:
    """Yield the quartiles that the position has passed: each once, several at once after a seek."""
    for share, kind in QUARTILES:
        if kind not in at.passed and at.position >= share * at.duration - 1e-9:
            at.passed.add(kind)
            yield at.step(kind)


def _interruption(at: _Playback, draw: Draw) -> Iterator[Step]:
    """Yield a pause, a seek, a stall or a share."""
    what = draw()
    if what < 0.4:
        yield at.step(33)
        pause = 1 + 50 * draw() ** 2
        at.idle += pause
        if pause > RESTART_AFTER_S:
            at.stalled_sum = at.stalled
        yield at.step(4, restart=pause > RESTART_AFTER_S, bufferTime=round(at.stalled, 3))
    elif what < 0.6:
        at.position = at.duration * draw() * 0.95
        yield at.step(35, targetPosition=round(at.position, 3))
        at.stall(round(draw(), 3))
        yield from _quartiles(at)
    elif what < 0.9:
        yield at.step(45)
        at.stall(round(draw() * 6, 3))
        yield at.step(46)
    else:
        yield at.step(21)
        at.idle += 1.0
        yield at.step(22, socialNetwork="facebook")


def _end(at: _Playback) -> Iterator[Step]:
    """Yield the end of the media and sometimes the start of a replay, which is no new play."""
    yield at.step(14)
    at.idle += 0.04
    yield at.step(33)
    at.idle += 2.0
    at.position = 0.0
    yield at.step(35, targetPosition=0)
    yield at.step(34)
    yield at.step(4, bufferTime=round(at.stalled, 3))
