"""Finds parameters in a query by the form of the query: the names it has, in their order.

Players send the same few forms again and again. A form that is known is one regular expression, which takes the
wanted values out in one pass and makes no string of any name. A form decides only how long finding takes, never
what is found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any

# By the finder's names, percent-encoded as they came; None where the query does not name it.
Values = tuple[str | None, ...]
# What matches the queries of a form, and the groups of its match by the finder's names.
Form = tuple[Callable[[str], re.Match[str] | None], tuple[int, ...]]

# A form takes a millisecond to learn. It is learned from a query of no known form after so many others with as many
# pairs, and twice as many each time: who sends ever new forms makes nobody learn them all.
PATIENCE = 8
# What a query begins with tells its form, mostly: a player's first parameters and what kind of event it is. The number
# of its pairs tells it too, and takes a microsecond to count.
BEGIN = 80
MOST_BEGINS = 4_096
# Forms with as many pairs that are tried one after another, and what is too long to be learned from.
MOST_FORMS = 3
MOST_PAIRS = 64
MOST_CHARACTERS = 2_000


class Finder:
    """Finds the same parameters in one query after another.

    Attributes:
        names: of the parameters, in the order in which `find` gives their values.
    """

    def __init__(self, names: Iterable[str]) -> None:
        """Find these."""
        self.names = tuple(dict.fromkeys(names))
        self._pairs = re.compile("&(" + "|".join(map(re.escape, self.names)) + ")=([^&]*)").findall
        # All by the number of `&`; forms latest first.
        self._forms: dict[int, list[Form]] = {}
        # By what queries begin with; None where queries of two forms begin so.
        self._by_begin: dict[str, Form | None] = {}
        self._misses: dict[int, int] = {}
        self._patience: dict[int, int] = {}

    def find(self, query: str) -> Values:
        """Return the values in `name=value&...` text: of a name given twice, the first."""
        begin = query[:BEGIN]
        likely = self._by_begin.get(begin)
        if likely is not None:
            match_of, groups = likely
            match = match_of(query)
            if match is not None:
                return match.group(*groups)
        return self._search(query, begin)

    def _search(self, query: str, begin: str) -> Values:
        pairs = query.count("&")
        for form in self._forms.get(pairs, ()):
            match = form[0](query)
            if match is not None:
                self._begins(begin, form)
                return match.group(*form[1])
        if pairs < MOST_PAIRS:
            self._miss(pairs, query)
        found: dict[str, str] = dict(self._pairs("&" + query)[::-1])  # reversed: the first of a name counts
        return tuple(map(found.get, self.names))

    def _begins(self, begin: str, form: Form) -> None:
        if len(self._by_begin) >= MOST_BEGINS:
            self._by_begin.clear()
        self._by_begin[begin] = None if begin in self._by_begin else form

    def _miss(self, pairs: int, query: str) -> None:
        misses = self._misses[pairs] = self._misses.get(pairs, 0) + 1
        patience = self._patience.get(pairs, PATIENCE)
        if misses < patience or len(query) > MOST_CHARACTERS:
            return
        self._misses[pairs], self._patience[pairs] = 0, 2 * patience
        form = form_of(query, self.names)
        if form is not None:
            known = self._forms.setdefault(pairs, [])
            known.insert(0, form)
            if len(known) > MOST_FORMS:
                known.pop()
                # What led to the one that is gone.
                self._by_begin.clear()


def form_of(query: str, names: Sequence[str]) -> Form | None:
    """Return the form of a query, by which these names are found; None if a pair has no `=`."""
    groups: dict[str, int] = {}
    parts = []
    for pair in query.split("&"):
        name, equals, _ = pair.partition("=")
        if not equals:
            return None
        # Possessive: a value ends at `&` or at the end. The first value of a name is the name's.
        is_wanted = name in names and name not in groups
        parts.append(re.escape(name) + ("=([^&]*+)" if is_wanted else "=[^&]*+"))
        if is_wanted:
            groups[name] = len(groups) + 1
    # A group that never matches stands for the names that are not there.
    pattern = re.compile("&".join(parts) + "(!)?")
    return pattern.fullmatch, tuple(groups.get(name, len(groups) + 1) for name in names)


def picker(places: Sequence[int]) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """Return what takes the values at these places out of a tuple, as a tuple."""
    first = places[0] if places else 0
    if list(places) == list(range(first, first + len(places))):
        # itemgetter of one place would give no tuple; a slice does.
        return itemgetter(slice(first, first + len(places)))
    return itemgetter(*places)
