"""What of a read belongs to a request that is not whole yet: the parser takes it in and does not say how much it is."""

from __future__ import annotations

_BLANK = b"\r\n"
_HEAD_ENDS = b"\r\n\r\n"


def ends_whole(data: bytes, body: bytes) -> bool:
    """Tell whether a read that began with a request ends with one of this body; most do, and this is a glance."""
    if not body:
        return data.endswith(_HEAD_ENDS)
    return data.endswith(body) and data.startswith(_HEAD_ENDS, len(data) - len(body) - len(_HEAD_ENDS))


def unread(data: bytes, body: bytes, begun: int | None, alone: bool) -> int:
    """Return how many bytes are behind the end of the last whole request in what was read.

    It is too many where the end cannot be found, and up to three too few where the end of a head was cut. Empty lines
    before a request are no part of it.

    Args:
        data: what was read.
        body: of the last whole request; empty if it came in chunks, which end as a head ends.
        begun: bytes of the body that came before, if the request began in an earlier read.
        alone: no other request ends here.
    """
    # A head that is not whole does not end in an empty line.
    if data.endswith(_HEAD_ENDS):
        return 0
    if not body:
        end = data.rfind(_HEAD_ENDS)
        return _without_blank(data, end + len(_HEAD_ENDS) if end >= 0 else 0)
    if begun is not None and alone:
        return _without_blank(data, len(body) - begun)
    end = data.find(_HEAD_ENDS) if alone else data.rfind(_HEAD_ENDS, 0, max(0, len(data) - len(body)))
    if end >= 0 and data.startswith(body, end + len(_HEAD_ENDS)):
        return _without_blank(data, end + len(_HEAD_ENDS) + len(body))
    # The end of the head was cut, or the body has one in it.
    return max(0, len(data) - len(body) - len(_HEAD_ENDS) + 1)


def _without_blank(data: bytes, at: int) -> int:
    return len(data[at:].lstrip(_BLANK)) if at < len(data) else 0
