"""Which window answers a question of the original, that names a range and times but no window. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.catalog import SETS, WINDOWS, Window
from pipeline.report.original_words import DIMENSION, Wrong
from pipeline.report.words import MOST_BUCKETS, Bucket, set_with


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a window must fit: the range, the finest time asked for (0: none), the dimensions, and now."""

    since: int
    until: int
    finest: int
    ahead: int
    dimensions: frozenset[str]
    now: int

    def fits(self, window: Window) -> bool:
        """Tell whether whole windows of this size make up the range, and the hours and days asked for."""
        if self.finest in (10, 60):
            return window.seconds == self.finest
        sizes = (self.since, self.until, self.finest, self.ahead if self.finest else 0)
        return all(size % window.seconds == 0 for size in sizes)

    def keeps(self, window: Window) -> bool:
        """Tell whether its rows of the whole range are there still; of the coarsest those that are there will do."""
        return window is max(WINDOWS, key=_seconds) or self.since + window.keep_seconds >= self.now


def _seconds(window: Window) -> int:
    return window.seconds


def window_of(wanted: Wanted) -> tuple[Window, Bucket]:
    """Return the coarsest window that answers, and what its rows are put together to."""
    kept = [one for one in WINDOWS if set_with(wanted.dimensions, one.name) is not None]
    if not kept:
        detail = "These dimensions and filters are not kept together; the nearest that are stand in `supported`."
        raise Wrong(404, "unsupportedQuery", detail, supported=_near(wanted.dimensions))
    fitting = [one for one in kept if wanted.fits(one) and wanted.keeps(one)]
    if not fitting:
        windows = {one.name: f"{one.keep_seconds // 3600} h" for one in kept}
        detail = f"They are kept in windows of {windows}: times this fine, or from and to between them, are not."
        raise Wrong(404, "unsupportedQuery", detail, windows=windows)
    window = max(fitting, key=_seconds)
    if (wanted.until - wanted.since) // window.seconds > MOST_BUCKETS:
        detail = f"The range has more than {MOST_BUCKETS} windows of {window.name}: ask for a shorter one."
        raise Wrong(400, "queryTooLarge", detail)
    if wanted.finest == 86_400:
        return window, Bucket.DAY
    return window, Bucket.HOUR if wanted.finest == 3600 > window.seconds else Bucket.WINDOW


def _near(dimensions: frozenset[str]) -> list[list[str]]:
    theirs = {ours: word for word, ours in DIMENSION.items()}
    common = sorted(SETS, key=lambda one: (-len(dimensions & {*one.dimensions}), len(one.dimensions)))
    return [[theirs.get(name, name) for name in one.dimensions] for one in common[:3]]
