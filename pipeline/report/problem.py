"""What the report says instead of an answer: problem+json (RFC 9457)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

CONTENT_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Problem:
    """One refusal.

    Attributes:
        status: HTTP status.
        name: the problem's own name; `type` is /docs#name.
        title: one line, the same for every occurrence.
        detail: what is wrong this time, and what to do.
        more: further members: parameter, word, allowed.
        headers: HTTP headers that go with it.
    """

    status: int
    name: str
    title: str
    detail: str = ""
    more: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    def body(self) -> bytes:
        """Return the answer's body."""
        members: dict[str, Any] = {"type": f"/docs#{self.name}", "title": self.title, "status": self.status}
        if self.detail:
            members["detail"] = self.detail
        return orjson.dumps(members | self.more)


class Refused(Exception):
    """Answer with this problem and do nothing else."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.title)
        self.problem = problem


class TooSlow(Refused):
    """Refused for the time it took: another time the same question may take less."""


def unknown_word(parameter: str, word: str, allowed: tuple[str, ...]) -> Refused:
    """Refuse a word that the catalog does not have, and name those that it has."""
    said = word[:100]
    detail = f"{parameter}={said!r} is not known; use {', '.join(allowed)}."
    more = {"parameter": parameter, "word": said, "allowed": list(allowed)}
    return Refused(Problem(400, "unknown-word", "A word of the query is unknown.", detail, more))


def bad_value(parameter: str, word: str, detail: str) -> Refused:
    """Refuse a value that does not fit its parameter."""
    more = {"parameter": parameter, "word": word[:100]}
    return Refused(Problem(400, "bad-value", "A value of the query does not fit.", detail, more))


def too_large(detail: str) -> Refused:
    """Refuse a question whose answer would cost too much."""
    return Refused(Problem(422, "too-large", "The question is too large.", detail))


def too_slow(detail: str) -> TooSlow:
    """Refuse a question whose answer took too long."""
    return TooSlow(too_large(detail).problem)


# The one answer for what is not there and for what is another partner's: not a byte may differ.
NOTHING = Problem(404, "nothing-here", "Nothing here.")
