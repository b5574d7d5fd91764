"""What a PromQL expression reads: every metric that it names, with the labels it picks by."""

from __future__ import annotations

import re
from collections.abc import Iterator

Matchers = list[tuple[str, str, str]]

STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"')
WITHOUT_RANGES = re.compile(r'("(?:[^"\\]|\\.)*")|\[[^\]]*\]')
GROUPING = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
NAME = re.compile(r"(?<![\w:.$])([a-zA-Z_:][\w:]*)(\s*\{([^}]*)\})?(\s*\()?")
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"')
WORDS = {"and", "or", "unless", "bool", "offset", "inf", "nan"}


def read(expression: str) -> Iterator[tuple[str, Matchers]]:
    """Yield each metric with its matchers; functions, words, durations and grouping labels are none."""
    # A string stays as it is; outside of strings a range says nothing about metrics.
    without_ranges = WITHOUT_RANGES.sub(lambda found: found.group(1) or " ", expression)
    plain = GROUPING.sub(" ", re.sub(r"\boffset\s+\w+", " ", without_ranges))
    for found in NAME.finditer(plain):
        name, braces, inside, called = found.groups()
        if _in_string(plain, found.start()) or called or name.lower() in WORDS:
            continue
        yield name, MATCHER.findall(inside or "") if braces else []


def grouping(expression: str) -> set[str]:
    """Return every label that something is grouped or matched by."""
    found = GROUPING.findall(STRINGS.sub('""', expression))
    return {label.strip() for _, labels in found for label in labels.split(",") if label.strip()}


def _in_string(text: str, place: int) -> bool:
    inside_braces = text.count("{", 0, place) > text.count("}", 0, place)
    return inside_braces or any(one.start() < place < one.end() for one in STRINGS.finditer(text))
