"""The rows of a report, read over HTTP as any client would, for `verify --report`."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import orjson

from pipeline.catalog import METRICS, Window
from pipeline.commands.comparing import Place
from pipeline.commands.recount import Range
from pipeline.config import RefusedSetting
from pipeline.rows import Rules
from pipeline.windows import Counts

WAIT_S = 60.0
ROWS_A_PAGE = 50_000
WINDOWS_A_PAGE = 2_000


def read_report(url: str, key: str | None, rules: Rules, range_: Range, until_counted: float) -> dict[Place, Counts]:
    """Return the report's rows of a range, once it has counted everything from before an instant (Unix seconds).

    Raises:
        RefusedSetting: it does not answer, refuses, or does not get there.
    """
    site = _Site(url.rstrip("/"), key)
    newest = int(time.time())
    site.wait_for(until_counted, rules.shape.windows[-1])
    rows: dict[Place, Counts] = {}
    for index, window in enumerate(rules.shape.windows):
        oldest = max(range_.begin, newest - window.keep_seconds - window.seconds)
        begin = -(-oldest // window.seconds) * window.seconds
        end = range_.end // window.seconds * window.seconds
        for number, kept in enumerate(rules.shape.sets):
            if index not in kept.windows:
                continue
            for start in range(begin, end, WINDOWS_A_PAGE * window.seconds):
                stop = min(end, start + WINDOWS_A_PAGE * window.seconds)
                for row in site.rows(window, kept.set.dimensions, start, stop, range_.partner):
                    values = tuple(orjson.dumps(row[name]).decode() for name in kept.set.dimensions)
                    rows[-1, (index, number, int(row["time"]), values)] = _counts(row)
    return rows


def _counts(row: dict[str, Any]) -> Counts:
    counts = {
        metric.name: round(row[metric.name] * 1000) if metric.unit == "ms" else row[metric.name] for metric in METRICS
    }
    return {name: count for name, count in counts.items() if count}


class _Site:
    def __init__(self, url: str, key: str | None) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def _ask(self, asked: dict[str, str]) -> dict[str, Any]:
        request = urllib.request.Request(f"{self._url}/v1/report?{urlencode(asked)}", headers=self._headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                found: dict[str, Any] = orjson.loads(answer.read())
                return found
        except urllib.error.HTTPError as error:
            said = error.read(500).decode("utf-8", "replace")
            raise RefusedSetting(f"the report at {self._url} answers {error.code}: {said}") from error
        except (OSError, ValueError) as error:
            raise RefusedSetting(f"the report at {self._url} does not answer: {error}") from error

    def wait_for(self, instant: float, window: Window) -> None:
        """Wait until everything answered before an instant is in the rows."""
        give_up = time.monotonic() + WAIT_S
        begin = int(instant) // window.seconds * window.seconds
        asked = {"window": window.name, "by": "", "from": str(begin), "to": str(begin + window.seconds)}
        while (self._ask(asked)["countedThrough"] or 0) < instant:
            if time.monotonic() > give_up:
                raise RefusedSetting(f"the report at {self._url} is behind by more than {WAIT_S:.0f} s: see `status`")
            time.sleep(0.5)

    def rows(
        self, window: Window, dimensions: tuple[str, ...], begin: int, end: int, partner: str | None
    ) -> Iterator[dict[str, Any]]:
        """Yield every row of a set in [begin, end)."""
        asked = {
            "window": window.name,
            "by": ",".join(("time", *dimensions)),
            "from": str(begin),
            "to": str(end),
            "metrics": ",".join(metric.name for metric in METRICS),
            "limit": str(ROWS_A_PAGE),
        }
        if partner is not None:
            asked["partnerId"] = partner
        offset = 0
        while True:
            answer = self._ask(asked | {"offset": str(offset)})
            yield from answer["rows"]
            offset += len(answer["rows"])
            if offset >= answer["totalRows"] or not answer["rows"]:
                return
