"""The handler of `POST /query`: the original's questions, answered by the same desk, keys and limits as ours."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from pipeline.report.accept import CONTENT_TYPE, format_of
from pipeline.report.access import Access
from pipeline.report.answer import csv_cell
from pipeline.report.auth import Caller
from pipeline.report.desk import Desk
from pipeline.report.original import answer, parse
from pipeline.report.original_words import Wrong, invalid
from pipeline.report.problem import Refused
from pipeline.report.routes import BODY_SECONDS, NO_STORE, json_answer
from pipeline.report.words import Format

log = logging.getLogger(__name__)

# Refusals of ours that theirs has a kind for; the others (no key, too often, not ready) stay as they are.
KINDS = {"too-large": "queryTooLarge", "bad-value": "invalidInput", "unknown-word": "invalidInput"}


@dataclass(frozen=True, slots=True)
class Original:
    """Answers in the original's words.

    Attributes:
        desk, access: who answers, and who may ask.
    """

    desk: Desk
    access: Access

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """Answer one question."""
        caller = self.access.caller(request)
        rates = self.access.take(caller)
        written = format_of(request.headers.get("Accept", ""))
        async with asyncio.timeout(BODY_SECONDS):
            body = await request.read()
        try:
            if request.content_type != "application/json":
                raise Wrong(400, "incorrectContentType", "Send the question as application/json.")
            found = await self._answer(body, caller)
        except Wrong as wrong:
            return _refusal(wrong)
        except Refused as refused:
            kind = KINDS.get(refused.problem.name)
            if kind is None:
                raise
            return _refusal(Wrong(400, kind, refused.problem.detail))
        except Exception:
            log.exception("/query failed")
            return _refusal(Wrong(500, "generalError", "The report failed."))
        if written is Format.CSV:
            lines = [",".join(csv_cell(cell) for cell in line) for line in (found["headers"], *found["data"])]
            csv = ("\r\n".join(lines) + "\r\n").encode()
            return web.Response(body=csv, headers=NO_STORE | rates | {"Content-Type": CONTENT_TYPE[Format.CSV]})
        return json_answer(found, **rates)

    async def _answer(self, body: bytes, caller: Caller) -> dict[str, Any]:
        try:
            said = orjson.loads(body)
        except ValueError as error:
            raise invalid("", "The body is not JSON.") from error
        question = parse(said, caller.partner, int(self.desk.clock()))
        entry = await self.desk.answer(question.query, caller.key)
        return await asyncio.to_thread(lambda: answer(question, orjson.loads(entry.content)))


def _refusal(wrong: Wrong) -> web.Response:
    return web.Response(
        status=wrong.status, body=orjson.dumps(wrong.content), content_type="application/json", headers=NO_STORE
    )
