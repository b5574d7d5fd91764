"""The API described for machines: OpenAPI 3.1, made from the words that the parser reads."""

from __future__ import annotations

from typing import Any

from pipeline.report import shapes
from pipeline.report.cell import EVENT_PARAMETERS
from pipeline.report.session import COOKIE, CSRF_HEADER
from pipeline.report.words import PARAMETERS, Parameter

Json = dict[str, Any]


def _parameter(one: Parameter) -> Json:
    described: Json = {"name": one.name, "in": "query", "description": one.says, "schema": one.schema}
    described |= {"required": True} if one.needed else {}
    return described | ({"style": "form", "explode": False} if one.many else {}) | {"example": _example(one)}


def _example(one: Parameter) -> Any:
    if one.many:
        return one.example.split(",")
    return int(one.example) if one.schema.get("type") == "integer" else one.example


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
    503: "The counts are still being read from Kafka, Kafka does not answer, or a part has stopped.",
    504: "Kafka did not answer in time.",
}


def _refusals(*statuses: int) -> Json:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        str(status): {"description": SAYS[status], "content": {"application/problem+json": {"schema": schema}}}
        for status in statuses
    }


def _json(schema: Json, says: str) -> Json:
    return {"description": says, "content": {"application/json": {"schema": schema}}}


def _get(name: str, says: str, answers: Json, refused: tuple[int, ...], parameters: tuple[Parameter, ...] = ()) -> Json:
    public = 401 not in refused
    found: Json = {"operationId": name, "summary": says, "responses": answers | _refusals(*refused)}
    if parameters:
        found["parameters"] = [_parameter(one) for one in parameters]
    return {"get": found | ({"security": []} if public else {})}


_KEYED = (401, 421, 429)
_QUERY = (400, 401, 404, 406, 421, 422, 429, 503)
_EXPLAIN = (400, 401, 404, 421, 422, 429, 503, 504)


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


def _original() -> Json:
    answered = _json({"$ref": "#/components/schemas/OriginalAnswer"}, "Headers and rows, all of it text.")
    answered["content"]["text/csv"] = {"schema": {"type": "string"}}
    wrong = {"$ref": "#/components/schemas/OriginalProblem"}
    refused = _refusals(401, 404, 406, 413, 421, 429, 503)
    refused["400"] = _json(wrong, "A word or value does not fit: `kind` and `data` say which.")
    refused["400"]["content"]["application/problem+json"] = refused["401"]["content"]["application/problem+json"]
    refused["404"]["content"]["application/json"] = {"schema": wrong}
    refused["404"]["description"] += " Or nothing is kept in these words together: `data` names the nearest."
    question = {"$ref": "#/components/schemas/OriginalQuestion"}
    return {
        "post": {
            "operationId": "originalQuery",
            "summary": "The question of the original's query API, in its own words; see deploy/query-compatibility.md.",
            "requestBody": {"required": True, "content": {"application/json": {"schema": question}}},
            "responses": {"200": answered, "500": _json(wrong, "The report failed.")} | refused,
        }
    }


def _text(says: str, media: str) -> Json:
    return {"200": {"description": says, "content": {media: {"schema": {"type": "string"}}}}}


STREAM = (
    "A stream without end; resume with Last-Event-ID. While the counts are still being read from Kafka, or too much is "
    "asked at a time, it waits, silent but for comments."
)


def _paths() -> Json:
    answer = _json({"$ref": "#/components/schemas/Answer"}, "The rows.")
    answer["content"]["text/csv"] = {"schema": {"type": "string"}}
    answer["headers"] = {"ETag": {"schema": {"type": "string"}, "description": "Strong: of these very bytes."}}
    anything: Json = {"type": "object"}
    ok: Json = {"200": _json(anything, "As it is.")}
    live = "The same question's changes, as server-sent events: answer, change, fresh, problem."
    stream = _text(STREAM, "text/event-stream")
    answers = {"200": answer, "304": {"description": SAYS[304]}}
    explained = "The beacons behind one number; 404 where the operator has switched it off (REPORT_SCANS=0)."
    found = {"200": _json({"$ref": "#/components/schemas/Explained"}, "The number and its beacons.")}
    unread = tuple(one for one in _QUERY if one not in (406, 503))
    return {
        "/v1/report": _get("report", "Rows of counts.", answers, _QUERY, parameters=PARAMETERS),
        "/v1/live": _get("live", live, stream, unread, parameters=PARAMETERS),
        "/v1/events": _get("events", explained, found, _EXPLAIN, parameters=EVENT_PARAMETERS),
        "/query": _original(),
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
                "Answer": shapes.answer(),
                "Estimate": shapes.estimate(),
                "Row": shapes.row(),
                "Metrics": shapes.metrics(),
                "Explained": shapes.explained(),
                "OriginalQuestion": shapes.original_question(),
                "OriginalAnswer": shapes.original_answer(),
                "OriginalProblem": shapes.original_problem(),
                "Problem": shapes.problem(),
            },
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "id.secret"},
                "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
            },
        },
    }
