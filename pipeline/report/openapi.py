"""The API described for machines: OpenAPI 3.1 and the catalog, both made from the words that the parser reads."""

from __future__ import annotations

from typing import Any

from pipeline.catalog import AUDIENCE_PEAK, SETS, WINDOWS
from pipeline.report.session import COOKIE, CSRF_HEADER
from pipeline.report.words import (
    BY_WORDS,
    DERIVED_METRIC,
    DIMENSIONS,
    DISTINCT_METRIC,
    METRIC,
    METRIC_WORDS,
    MOST_BUCKETS,
    MOST_ROWS,
    MOST_VALUES,
    PARAMETERS,
    TIME,
    Parameter,
    short,
    unit_of,
)
from pipeline.sketch import CONFIDENCE, ERROR

Json = dict[str, Any]
_NUMBER: Json = {"type": ["number", "null"]}
_INSTANT: Json = {"type": ["number", "null"], "description": "Unix seconds with milliseconds."}


def catalog() -> Json:
    """Return what there is to ask for."""
    return {
        "windows": [{"name": one.name, "seconds": one.seconds, "keepSeconds": one.keep_seconds} for one in WINDOWS],
        "metrics": [
            {"name": name, "unit": unit_of(name), "kept": name in METRIC, "says": says}
            | ({"estimate": {"error": ERROR, "confidence": CONFIDENCE}} if name in DISTINCT_METRIC else {})
            for name, says in _said().items()
        ],
        "sets": [
            {
                "name": one.name,
                "dimensions": list(one.dimensions),
                "windows": [window.name for window in WINDOWS if not one.windows or window.name in one.windows],
                "peaks": one.peaks,
                "sketches": one.sketches,
            }
            for one in SETS
        ],
        "dimensions": [{"name": name, "word": short(name)} for name in DIMENSIONS],
        "by": list(BY_WORDS),
        "bounds": {"rows": MOST_ROWS, "windows": MOST_BUCKETS, "values": MOST_VALUES},
    }


def _said() -> dict[str, str]:
    """Return what each metric is, in the order in which people choose one."""
    peak = {AUDIENCE_PEAK.name: AUDIENCE_PEAK}
    return {name: one.says for name, one in (METRIC | peak | DISTINCT_METRIC | DERIVED_METRIC).items()}


def _parameter(one: Parameter) -> Json:
    described: Json = {"name": one.name, "in": "query", "description": one.says, "schema": one.schema}
    return described | ({"style": "form", "explode": False} if one.many else {}) | {"example": _example(one)}


def _example(one: Parameter) -> Any:
    if one.many:
        return one.example.split(",")
    return int(one.example) if one.schema.get("type") == "integer" else one.example


def _metrics_schema() -> Json:
    return {"type": "object", "properties": dict.fromkeys(METRIC_WORDS, _NUMBER), "additionalProperties": False}


def _row_schema() -> Json:
    columns: Json = {TIME: {"type": ["integer", "string"]}, **{name: {"type": "string"} for name in DIMENSIONS}}
    columns |= dict.fromkeys(METRIC_WORDS, _NUMBER)
    columns["previous"] = {"$ref": "#/components/schemas/Metrics"}
    return {"type": "object", "properties": columns, "additionalProperties": False}


def _answer_schema() -> Json:
    properties: Json = {
        "window": {"type": "string", "enum": [one.name for one in WINDOWS]},
        "from": {"type": "integer", "description": "Unix seconds; rows start at or after it."},
        "to": {"type": "integer", "description": "Unix seconds; rows start before it."},
        "countedThrough": _INSTANT
        | {"description": "Every beacon answered 200 before this instant is in the rows; at most `to`."},
        "asOf": _INSTANT | {"description": "When the rows were read; at most `to`."},
        "complete": {"type": "boolean", "description": "countedThrough has reached `to`."},
        "rows": {"type": "array", "items": {"$ref": "#/components/schemas/Row"}},
        "totals": {"$ref": "#/components/schemas/Metrics"},
        "totalRows": {"type": "integer", "description": "Rows without limit and offset."},
        "limit": {"type": "integer"},
        "offset": {"type": "integer"},
        "estimates": {
            "type": "object",
            "additionalProperties": {"$ref": "#/components/schemas/Estimate"},
            "description": "By metric: what is no exact count, but comes from sketches of whole hours.",
        },
        "previous": {
            "type": "object",
            "properties": {
                "from": {"type": "integer"},
                "to": {"type": "integer"},
                "totals": {"$ref": "#/components/schemas/Metrics"},
            },
            "required": ["from", "to", "totals"],
        },
    }
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in ("estimates", "previous")],
        "additionalProperties": False,
    }


def _estimate_schema() -> Json:
    properties: Json = {
        "error": {"type": "number", "description": "How far from the truth, as a part of it, at most ..."},
        "confidence": {"type": "number", "description": "... in so many cases of one."},
        "in": {
            "type": "array",
            "items": {"type": "string", "enum": ["rows", "totals"]},
            "description": "Where the numbers are estimates; elsewhere they are exact.",
        },
    }
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


def _problem_schema() -> Json:
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


SAYS = {
    303: "See the page's description instead.",
    304: "Unchanged since the ETag in If-None-Match.",
    400: "A word or value does not fit; the problem names it and what is allowed.",
    401: "No valid key.",
    403: "Not from our own page.",
    404: "Nothing here; another partner's things look the same.",
    405: "Another method is needed; see Allow.",
    406: "Neither JSON nor CSV is accepted.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    421: "Without keys the report answers to loopback names only.",
    422: "The question is too large: the problem says which bound it passes.",
    429: "Too often, or too many at a time; see Retry-After.",
    503: "The counts are still being read from Kafka, or a part has stopped.",
}


def _refusals(*statuses: int) -> Json:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        str(status): {"description": SAYS[status], "content": {"application/problem+json": {"schema": schema}}}
        for status in statuses
    }


def _json(schema: Json, says: str) -> Json:
    return {"description": says, "content": {"application/json": {"schema": schema}}}


def _get(name: str, says: str, answers: Json, refused: tuple[int, ...], parameters: bool = False) -> Json:
    public = 401 not in refused
    found: Json = {"operationId": name, "summary": says, "responses": answers | _refusals(*refused)}
    if parameters:
        found["parameters"] = [_parameter(one) for one in PARAMETERS]
    return {"get": found | ({"security": []} if public else {})}


_KEYED = (401, 421, 429)
_QUERY = (400, 401, 404, 406, 421, 422, 429, 503)


def _session() -> Json:
    schema: Json = {"type": "object", "properties": {"signedIn": {"type": "boolean"}}, "required": ["signedIn"]}
    key: Json = {"type": "object", "properties": {"key": {"type": "string"}}, "required": ["key"]}
    body = {"required": True, "content": {"application/json": {"schema": key}}}
    token = {"name": CSRF_HEADER, "in": "header", "required": True, "schema": {"type": "string"}}
    ended = {"204": {"description": "Signed out."}} | _refusals(401, 403, 421)
    return {
        **_get("showSession", "Who is signed in here.", {"200": _json(schema, "The session.")}, (421,)),
        "post": {
            "operationId": "signIn",
            "summary": "A key becomes an HttpOnly cookie.",
            "requestBody": body,
            "security": [],
            "responses": {"200": _json(schema, "Signed in.")} | _refusals(400, 401, 403, 413, 415, 421, 429),
        },
        "delete": {
            "operationId": "signOut",
            "summary": "End the session.",
            "parameters": [token],
            "security": [{"session": []}],
            "responses": ended,
        },
    }


def _text(says: str, media: str) -> Json:
    return {"200": {"description": says, "content": {media: {"schema": {"type": "string"}}}}}


def _paths() -> Json:
    answer = _json({"$ref": "#/components/schemas/Answer"}, "The rows.")
    answer["content"]["text/csv"] = {"schema": {"type": "string"}}
    answer["headers"] = {"ETag": {"schema": {"type": "string"}, "description": "Strong: of these very bytes."}}
    anything: Json = {"type": "object"}
    ok: Json = {"200": _json(anything, "As it is.")}
    live = "The same question's changes, as server-sent events: answer, change, fresh, problem."
    stream = _text("A stream without end; resume with Last-Event-ID.", "text/event-stream")
    answers = {"200": answer, "304": {"description": SAYS[304]}}
    unread = tuple(one for one in _QUERY if one != 406)
    return {
        "/v1/report": _get("report", "Rows of counts.", answers, _QUERY, parameters=True),
        "/v1/live": _get("live", live, stream, unread, parameters=True),
        "/v1/status": _get("status", "How fresh the counts are.", ok, _KEYED),
        "/v1/catalog": _get("catalog", "What there is to ask for.", ok, ()),
        "/session": _session(),
        "/health": _get("health", "The process turns.", ok, (503,)),
        "/ready": _get("ready", "The counts were read to their end.", ok, (503,)),
        "/metrics": _get("metrics", "For Prometheus; operators only.", _text("Text.", "text/plain"), (401, 404, 421)),
    }


def document() -> Json:
    """Return the OpenAPI document."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Playback report", "version": "1", "description": "Exact counts of playback beacons."},
        "security": [{"key": []}, {"session": []}],
        "paths": _paths(),
        "components": {
            "schemas": {
                "Answer": _answer_schema(),
                "Estimate": _estimate_schema(),
                "Row": _row_schema(),
                "Metrics": _metrics_schema(),
                "Problem": _problem_schema(),
            },
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "id.secret"},
                "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
            },
        },
    }
