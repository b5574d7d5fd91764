"""Instants of a query, and the hours and days of a time zone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from pipeline.report.problem import Refused, bad_value, unknown_word

# No instant is asked for from here on, in 2286: Unix seconds are ten digits at most, and local times have years.
BEYOND = 10_000_000_000
_RELATIVE = re.compile(r"now(?:-(\d{1,6})([smhdw]))?(?:/([hd]))?", re.ASCII)
_SECONDS = re.compile(r"\d{1,10}", re.ASCII)
_ISO = re.compile(r"(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d)(?::(\d\d)(?:\.\d{1,6})?)?(?:(Z)|([+\- ])(\d\d:\d\d))?)?", re.ASCII)
_UNIT = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_HELP = "use Unix seconds, ISO 8601 (2026-11-23T10:00:00Z), now, now-15m, now-1h or now-1d/d"


class FixedZone(ZoneInfo):
    """A zone that is always the same distance ahead of UTC, by a name like UTC+05:30."""

    seconds = 0
    name = "UTC"

    @classmethod
    def ahead(cls, minutes: int) -> FixedZone:
        """Return the zone that is so many minutes ahead of UTC."""
        found: FixedZone = cls.no_cache("UTC")
        found.seconds = 60 * minutes
        found.name = f"UTC{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
        return found

    @property
    def key(self) -> str:
        """Return its name."""
        return self.name

    def utcoffset(self, at: datetime | None) -> timedelta:
        """Return how far ahead of UTC it is."""
        return timedelta(seconds=self.seconds)

    def dst(self, at: datetime | None) -> timedelta:
        """Return no summer time."""
        return timedelta()

    def tzname(self, at: datetime | None) -> str:
        """Return its name."""
        return self.name

    def fromutc(self, at: datetime) -> datetime:
        """Return the local time of an instant."""
        return at + timedelta(seconds=self.seconds)


@lru_cache(maxsize=64)
def zone(parameter: str, name: str) -> ZoneInfo:
    """Return a time zone by its IANA name, or by its distance from UTC."""
    # A + that was not escaped in the URL arrives as a space.
    if fixed := re.fullmatch(r"UTC([+\- ])([01]\d):([0-5]\d)", name):
        minutes = int(fixed[2]) * 60 + int(fixed[3])
        return FixedZone.ahead(-minutes if fixed[1] == "-" else minutes)
    # A name is a path to the library: nothing but plain words may reach it.
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_+\-]*(/[A-Za-z0-9_+\-]+){0,2}", name):
        try:
            return ZoneInfo(name)
        except (OSError, ValueError, KeyError):
            pass
    raise unknown_word(parameter, name, ("UTC", "Europe/Berlin", "America/New_York", "… (IANA names)"))


@dataclass(frozen=True, slots=True)
class Moment:
    """An instant that may lean on now.

    Attributes:
        seconds: Unix seconds, or what is taken from now.
        relative: it leans on now.
        floor: "h" or "d": cut down to the hour or day of the time zone; "" as it is.
    """

    seconds: int
    relative: bool
    floor: str = ""

    def at(self, now: int, tz: ZoneInfo) -> int:
        """Return Unix seconds."""
        seconds = now - self.seconds if self.relative else self.seconds
        if not self.floor:
            return seconds
        local = datetime.fromtimestamp(seconds, tz)
        cut = local.replace(minute=0, second=0)
        if self.floor == "d":
            cut = cut.replace(hour=0, fold=0)
        return int(cut.timestamp())


def parse(parameter: str, text: str, tz: ZoneInfo) -> Moment:
    """Return the instant that a text names."""
    if relative := _RELATIVE.fullmatch(text):
        back = int(relative[1]) * _UNIT[relative[2]] if relative[1] else 0
        if back > 100 * 366 * 86_400:
            raise bad_value(parameter, text, f"{parameter} is more than a hundred years ago.")
        return Moment(back, relative=True, floor=relative[3] or "")
    if _SECONDS.fullmatch(text):
        return Moment(int(text), relative=False)
    if iso := _ISO.fullmatch(text):
        return Moment(_iso_seconds(parameter, text, iso, tz), relative=False)
    raise _unreadable(parameter, text)


def _unreadable(parameter: str, text: str) -> Refused:
    return bad_value(parameter, text, f"{parameter}={text[:100]!r} is no instant; {_HELP}.")


def _iso_seconds(parameter: str, text: str, iso: re.Match[str], tz: ZoneInfo) -> int:
    day, minute, second, zulu, sign, offset = iso.groups()
    # A + that was not escaped in the URL arrives as a space.
    end = "+00:00" if zulu else f"{'+' if sign == ' ' else sign}{offset}" if offset else ""
    try:
        found = datetime.fromisoformat(f"{day}T{minute or '00:00'}:{second or '00'}{end}")
        seconds = (found if end else found.replace(tzinfo=tz)).timestamp()
    except (ValueError, OverflowError) as error:
        raise _unreadable(parameter, text) from error
    if not 0 <= seconds < BEYOND:
        raise _unreadable(parameter, text)
    return int(seconds)


def text_of(seconds: int, tz: ZoneInfo) -> str:
    """Return ISO 8601 with the zone's offset."""
    return datetime.fromtimestamp(seconds, tz).isoformat()


def offset_at(seconds: int, tz: ZoneInfo) -> int:
    """Return the zone's seconds ahead of UTC at an instant."""
    return int((datetime.fromtimestamp(seconds, tz).utcoffset() or timedelta()).total_seconds())


def offsets(since: int, until: int, tz: ZoneInfo) -> list[tuple[int, int]]:
    """Return (first instant, offset) of each run of one offset in [since, until), in order."""
    runs = [(since, offset_at(since, tz))]
    step = 86_400
    at = since
    while at < until:
        following = min(at + step, until)
        if offset_at(following, tz) != runs[-1][1]:
            low, high = at, following
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset_at(middle, tz) == runs[-1][1] else (low, middle)
            if high < until:
                runs.append((high, offset_at(high, tz)))
        at = following
    return runs


def day_number(seconds: int, tz: ZoneInfo) -> int:
    """Return the local day of an instant, counted from 1970-01-01."""
    return (seconds + offset_at(seconds, tz)) // 86_400


def day_start(number: int, tz: ZoneInfo) -> int:
    """Return the first instant of a local day."""
    local = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=number)
    naive = datetime(local.year, local.month, local.day, tzinfo=tz)
    start = int(naive.timestamp())
    # Where midnight does not exist (a clock put forward at midnight) the day begins after the gap.
    while day_number(start, tz) < number:
        start += 900
    return start
