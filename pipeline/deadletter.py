"""A dead letter: a line that could not be understood, as topic `rejected` holds it."""

from __future__ import annotations

from base64 import b64encode

import orjson


def dead_letter(reason: str, partition: int, offset: int, line: int, raw: bytes) -> bytes:
    """Return the value of a record of topic `rejected`: the raw line with its reason and place."""
    letter: dict[str, str | int] = {"reason": reason, "partition": partition, "offset": offset, "line": line}
    try:
        letter["raw"] = raw.decode()
    except UnicodeDecodeError:
        letter["raw64"] = b64encode(raw).decode()
    return orjson.dumps(letter)
