"""What the client wants to read: content negotiation by Accept, conditional requests by If-None-Match."""

from __future__ import annotations

from pipeline.report.problem import Problem, Refused
from pipeline.report.words import Format

MEDIA = {Format.JSON: "application/json", Format.CSV: "text/csv"}
CONTENT_TYPE = {Format.JSON: "application/json", Format.CSV: "text/csv; charset=utf-8; header=present"}


def quality(accept: str, media: str) -> float:
    """Return how much a client wants a media type: 0 for not at all."""
    kind = media.partition("/")[0]
    best: tuple[int, float] = (0, 0.0)
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        rank = {media: 3, f"{kind}/*": 2, "*/*": 1}.get(name, 0)
        weight = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
        try:
            wanted = (rank, min(1.0, max(0.0, float(weight))))
        except ValueError:
            wanted = (rank, 0.0)
        best = max(best, wanted)
    return best[1] if best[0] else 0.0


def format_of(accept: str) -> Format:
    """Return the format that a client wants most; JSON where it does not care.

    Raises:
        Refused: it wants neither.
    """
    if not accept or accept == "*/*":
        return Format.JSON
    best = max(MEDIA, key=lambda one: quality(accept, MEDIA[one]))
    if quality(accept, MEDIA[best]) == 0:
        detail = f"There is {' and '.join(MEDIA.values())}."
        raise Refused(Problem(406, "not-acceptable", "Not in this format.", detail))
    return best


def unchanged(if_none_match: str, etag: str) -> bool:
    """Tell whether the client has this answer already."""
    if if_none_match == etag:
        return True
    held = {part.strip().removeprefix("W/") for part in if_none_match.split(",")}
    return "*" in held or etag in held
