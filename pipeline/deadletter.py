"""A dead letter: a line that could not be understood, as topic `rejected` holds it."""

from __future__ import annotations

from base64 import b64encode

import orjson

# More than Kafka takes by default, so topic and producer allow for it: a letter that Kafka refused would keep its
# partition from being counted for good.
MAX_LETTER_BYTES = 2 << 20
# Of one line; more is cut off. All that an uncompressed record can hold is kept, but compressed it can hold any length.
# As base64 it is a third longer, and there must be room for reason and place.
MOST_RAW_BYTES = 1_500_000


def dead_letter(reason: str, partition: int, offset: int, line: int, raw: bytes) -> bytes:
    """Return the value of a record of topic `rejected`: the raw line with its reason and place.

    As base64 where it is no UTF-8, or would be longer as JSON text: each escape doubles a character or worse. Of a line
    over MOST_RAW_BYTES only its beginning, with its whole length as `cut`.
    """
    place: dict[str, str | int] = {"reason": reason, "partition": partition, "offset": offset, "line": line}
    if len(raw) > MOST_RAW_BYTES:
        place["cut"] = len(raw)
        raw = raw[:MOST_RAW_BYTES]
    encoded = orjson.dumps(place | {"raw64": b64encode(raw).decode()})
    try:
        text = orjson.dumps(place | {"raw": raw.decode()})
    except UnicodeDecodeError:
        return encoded
    return text if len(text) <= len(encoded) else encoded
