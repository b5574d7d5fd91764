"""The JSON of answers, as JSON Schema: what OpenAPI refers to."""

from __future__ import annotations

from typing import Any

from pipeline.catalog import WINDOWS
from pipeline.report.behind import SHOWN_PARAMETERS
from pipeline.report.original_words import DIMENSION, MEASURE, TIMES
from pipeline.report.words import DIMENSIONS, METRIC_WORDS, MOST_VALUES, TIME

Json = dict[str, Any]
_NUMBER: Json = {"type": ["number", "null"]}
_INSTANT: Json = {"type": ["number", "null"], "description": "Unix seconds with milliseconds."}
_WINDOW: Json = {"type": "string", "enum": [one.name for one in WINDOWS]}
_METRICS: Json = {"$ref": "#/components/schemas/Metrics"}


def _closed(properties: Json, *optional: str) -> Json:
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def metrics() -> Json:
    """Return the schema of numbers by metric."""
    return {"type": "object", "properties": dict.fromkeys(METRIC_WORDS, _NUMBER), "additionalProperties": False}


def row() -> Json:
    """Return the schema of a row."""
    columns: Json = {TIME: {"type": ["integer", "string"]}, **{name: {"type": "string"} for name in DIMENSIONS}}
    columns |= dict.fromkeys(METRIC_WORDS, _NUMBER)
    columns["previous"] = _METRICS
    return {"type": "object", "properties": columns, "additionalProperties": False}


def answer() -> Json:
    """Return the schema of an answer of /v1/report."""
    properties: Json = {
        "window": _WINDOW,
        "from": {"type": "integer", "description": "Unix seconds; rows start at or after it."},
        "to": {"type": "integer", "description": "Unix seconds; rows start before it."},
        "countedThrough": _INSTANT
        | {"description": "Every beacon answered 200 before this instant is in the rows; at most `to`."},
        "asOf": _INSTANT | {"description": "When the rows were read; at most `to`."},
        "complete": {"type": "boolean", "description": "countedThrough has reached `to`."},
        "rows": {"type": "array", "items": {"$ref": "#/components/schemas/Row"}},
        "totals": _METRICS,
        "totalRows": {"type": "integer", "description": "Rows without limit and offset."},
        "limit": {"type": "integer"},
        "offset": {"type": "integer"},
        "estimates": {
            "type": "object",
            "additionalProperties": {"$ref": "#/components/schemas/Estimate"},
            "description": "By metric: what is no exact count, but comes from sketches of whole minutes and hours.",
        },
        "previous": {
            "type": "object",
            "properties": {"from": {"type": "integer"}, "to": {"type": "integer"}, "totals": _METRICS},
            "required": ["from", "to", "totals"],
        },
    }
    return _closed(properties, "estimates", "previous")


def estimate() -> Json:
    """Return the schema of how far an estimate may be from the truth."""
    where: Json = {"type": "array", "items": {"type": "string", "enum": ["rows", "totals"]}}
    return _closed(
        {
            "error": {"type": "number", "description": "How far from the truth, as a part of it, at most ..."},
            "confidence": {"type": "number", "description": "... in so many cases of one."},
            "in": where | {"description": "Where the numbers are estimates; elsewhere they are exact."},
        }
    )


def _beacon() -> Json:
    inside: Json = {name: {"type": "integer"} for name in ("partition", "offset", "line")}
    properties: Json = {
        "time": _INSTANT | {"description": "When ingest received it."},
        "eventType": {"type": ["integer", "null"]},
        "event": {"type": ["string", "null"], "description": "The event type's name."},
        "entryId": {"type": "string"},
        "adds": _METRICS | {"description": "What it adds to the number's parts."},
        "repeats": {"type": "integer", "description": "Copies of it that were passed over."},
        "waited": {"type": "number", "description": "Seconds from ingest to Kafka: long for a late beacon."},
        "session": {"type": "string", "description": "A digest, equal for one session; empty: it names none."},
        "parameters": _closed({name: {"type": "string"} for name in SHOWN_PARAMETERS}, *SHOWN_PARAMETERS),
        **inside,
    }
    return _closed(properties, *inside)


def _looked_at() -> Json:
    inside: Json = {
        "records": {"type": "integer", "description": "Records read; for operators."},
        "beacons": {"type": "integer", "description": "Beacons in them, everybody's; for operators."},
    }
    reasons = {"type": "string", "enum": ["retention", "beacons", "deadline"]}
    properties: Json = {
        "from": {"type": "number", "description": "Of the topic everything was read from here, by Kafka's time ..."},
        "to": {"type": "number", "description": "... to here."},
        "cut": {
            "type": "array",
            "items": reasons,
            "description": "Why it is less than was asked: no longer in Kafka, too many beacons, no more time. "
            "Empty: it is not.",
        },
        **inside,
    }
    return _closed(properties, *inside)


def explained() -> Json:
    """Return the schema of an answer of /v1/events."""
    return _closed(
        {
            "partnerId": {"type": "string"},
            "entryId": {"type": ["string", "null"]},
            "dimensions": {"type": "object", "additionalProperties": {"type": "string"}},
            "window": _WINDOW,
            "start": {"type": "integer"},
            "metric": {"type": "string"},
            "inReport": _METRICS | {"description": "The number and its parts as /v1/report says them."},
            "found": _METRICS | {"description": "The same, added up from the beacons found."},
            "equal": {"type": "boolean", "description": "Both are the same: these beacons are the number."},
            "complete": {"type": "boolean", "description": "Every beacon answered 200 in the window is counted."},
            "beacons": {"type": "array", "items": _beacon()},
            "totalBeacons": {"type": "integer", "description": "Without limit."},
            "repeats": {"type": "integer", "description": "Copies of these beacons that were passed over."},
            "limit": {"type": "integer"},
            "lookedAt": _looked_at(),
        }
    )


def original_question() -> Json:
    """Return the schema of a body of POST /query."""
    words: Json = {"type": "array", "items": {"type": "string"}, "uniqueItems": True}
    instant: Json = {"type": "string", "pattern": r"^\d{2}/\d{2}/\d{4} \d{2}:\d{2}$"}
    some = {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": MOST_VALUES}
    allowed = _closed({"dimension": {"type": "string", "enum": [*DIMENSION]}, "values": some})
    properties: Json = {
        "from": instant | {"description": "MM/dd/yyyy HH:mm, local to utcOffset; in the range."},
        "to": instant | {"description": "Like from; not in the range."},
        "dimensions": words | {"items": {"type": "string", "enum": [*DIMENSION, *TIMES]}},
        "filters": {"type": "array", "items": allowed},
        "metrics": words | {"items": {"type": "string", "enum": sorted(MEASURE)}, "minItems": 1},
        "utcOffset": {"type": "integer", "minimum": -840, "maximum": 840, "description": "Minutes ahead of UTC."},
        "orderBy": {"type": "string", "description": "+word, -word, or empty; a bare word is descending."},
        "pager": _closed({"size": {"type": "integer"}, "index": {"type": "integer"}})
        | {"description": "index counts from 1; 0 or less: every row."},
    }
    return _closed(properties) | {
        "example": {
            "from": "11/23/2026 10:00",
            "to": "11/23/2026 11:00",
            "dimensions": ["entry", "minute"],
            "filters": [],
            "metrics": ["play", "view", "playRatio"],
            "utcOffset": 0,
            "orderBy": "-play",
            "pager": {"size": 50, "index": 1},
        }
    }


def original_answer() -> Json:
    """Return the schema of an answer of POST /query."""
    texts: Json = {"type": "array", "items": {"type": "string"}}
    return _closed({"headers": texts, "data": {"type": "array", "items": texts}})


def original_problem() -> Json:
    """Return the schema of a refusal of POST /query."""
    kinds = (
        "incorrectContentType",
        "invalidInput",
        "unsupportedDimension",
        "unsupportedMetric",
        "unsupportedOrderBy",
        "queryTooLarge",
        "unsupportedQuery",
        "generalError",
    )
    data = {"type": "object", "properties": {"message": {"type": "string"}}, "required": ["message"]}
    return _closed({"kind": {"type": "string", "enum": [*kinds]}, "data": data})


def problem() -> Json:
    """Return the schema of a refusal."""
    return {
        "type": "object",
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "parameter": {"type": "string"},
            "word": {"type": "string"},
            "allowed": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["type", "title", "status"],
    }
