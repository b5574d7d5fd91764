"""Names and values of a raw query string."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

from pipeline.report.problem import bad_value, unknown_word
from pipeline.report.words import DIMENSIONS, MOST_VALUES, PARAMETER_WORDS


def read(
    text: str, known: tuple[str, ...] = PARAMETER_WORDS, lists: tuple[str, ...] = DIMENSIONS
) -> dict[str, list[str]]:
    """Return the parameters of a raw query string; refuse unknown ones and any but `lists` given twice."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_VALUES + 50)
    except ValueError as error:
        raise bad_value("query", text, "Too many parameters.") from error
    given: dict[str, list[str]] = {}
    for name, value in pairs:
        if name not in known:
            raise unknown_word("parameter", name, known)
        given.setdefault(name, []).append(value)
    for name, values in given.items():
        if len(values) > 1 and name not in lists:
            raise bad_value(name, values[1], f"{name} is given twice.")
    return given


def split(text: str) -> list[str]:
    r"""Split at commas; a backslash takes the next character as it is."""
    parts, escaped = [""], False
    for character in text:
        if character == "," and not escaped:
            parts.append("")
        elif character == "\\" and not escaped:
            escaped = True
            continue
        else:
            parts[-1] += character
        escaped = False
    return parts


def number(parameter: str, text: str, least: int, most: int) -> int:
    """Return a whole number within its bounds."""
    if re.fullmatch(r"[0-9]{1,10}", text) and least <= int(text) <= most:
        return int(text)
    raise bad_value(parameter, text, f"{parameter} must be a whole number from {least} to {most}.")
