"""The report's API: answers, live streams, sessions, and what is said about the report itself."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import orjson
from aiohttp import web
from multidict import CIMultiDict

from pipeline.report import answer, headers, query, session
from pipeline.report.accept import CONTENT_TYPE, unchanged
from pipeline.report.access import Access
from pipeline.report.auth import UNKNOWN_KEY, Caller
from pipeline.report.desk import Desk, Entry, Kind
from pipeline.report.problem import NOTHING, Problem, Refused, bad_value
from pipeline.report.query import Asked, Query
from pipeline.report.readers import NOT_YET
from pipeline.report.words import Format

OPEN_CACHE = "private, max-age=1"
# A late beacon changes a closed window: a browser learns of it a minute later, /v1/live at once. Not for a range that
# ends now: where now is a window's end that may be complete too, and is another one a second later.
CLOSED_CACHE = "private, max-age=60"
VARY = "Authorization, Cookie, Accept"
NO_STORE = {"Cache-Control": "no-store"}
MOST_PARSED = 5000
MOST_KEPT_TEXT = 2000
BODY_SECONDS = 5.0


def json_answer(content: object, **more: str) -> web.Response:
    """Return a small JSON answer that nobody keeps."""
    return web.Response(body=orjson.dumps(content), content_type="application/json", headers=NO_STORE | more)


def _described(asked: Query, entry: Entry, whole: bool, moves: bool) -> dict[str, str]:
    closed = entry.fresh is not None and entry.fresh.complete and not moves
    said = {"ETag": entry.etag, "Cache-Control": CLOSED_CACHE if closed else OPEN_CACHE, "Vary": VARY}
    if not whole:
        return said | {"Server": headers.API["Server"]}
    said |= headers.API
    if asked.shape.format is not Format.CSV or entry.fresh is None:
        return said | {"Content-Type": CONTENT_TYPE[Format.JSON]}
    through = entry.fresh.counted_through
    estimated = answer.csv_estimates(asked)
    said |= {"Estimates": estimated} if estimated else {}
    return said | {
        "Content-Type": CONTENT_TYPE[Format.CSV],
        "Content-Disposition": f'attachment; filename="{answer.csv_name(asked)}"',
        "Counted-Through": "unknown" if through is None else f"{through / 1000:.3f}",
    }


@dataclass(slots=True)
class Api:
    """Handlers; what they share.

    Attributes:
        desk, access: who answers, and who may ask.
        alive: what feeds the desk runs.
        metrics: writes the metrics page.
    """

    desk: Desk
    access: Access
    alive: Callable[[], bool]
    metrics: Callable[[], bytes]
    _parsed: OrderedDict[tuple[str | None, str, str], Asked] = field(default_factory=OrderedDict)
    _second: int = 0
    _queries: dict[int, tuple[Asked, Query]] = field(default_factory=dict)

    def asked(self, request: web.BaseRequest, caller: Caller, accept: str) -> Asked:
        """Return what a request asks for, in a format that fits `accept`; parsed once."""
        text = request.rel_url.raw_query_string
        name = (caller.partner, text, accept)
        found = self._parsed.get(name)
        if found is None:
            found = query.parse(text, caller.partner, accept)
            if len(text) + len(accept) <= MOST_KEPT_TEXT:
                self._parsed[name] = found
            if len(self._parsed) > MOST_PARSED:
                self._parsed.popitem(last=False)
        return found

    def _query(self, asked: Asked) -> Query:
        """Return what is asked at this second: made once a second, as all who poll the same get the same."""
        now = int(self.desk.clock())
        if now != self._second:
            self._second, self._queries = now, {}
        found = self._queries.get(id(asked))
        if found is None or found[0] is not asked:
            found = self._queries[id(asked)] = (asked, asked.at(now))
        return found[1]

    async def report(self, request: web.BaseRequest) -> web.Response:
        """Answer /v1/report."""
        caller = self.access.caller(request)
        rates = self.access.take(caller)
        accept = request.headers.get("Accept", "")
        leaning = self.asked(request, caller, accept)
        asked = self._query(leaning)
        entry = await self.desk.answer(asked, caller.key)
        held = request.headers.get("If-None-Match")
        whole = held is None or not unchanged(held, entry.etag)
        made = self._headers(asked, entry, rates, (whole, leaning.moves))
        return web.Response(body=entry.body, headers=made) if whole else web.Response(status=304, headers=made)

    @staticmethod
    def _headers(asked: Query, entry: Entry, rates: dict[str, str], kind: Kind) -> CIMultiDict[str]:
        """Return an answer's headers; most of them are made once an entry, as they cost more than the rest."""
        made = entry.headers.get(kind)
        if made is None:
            made = entry.headers[kind] = CIMultiDict(_described(asked, entry, *kind))
        made = made.copy()
        if rates:
            made.update(rates)
        return made

    async def status(self, request: web.BaseRequest) -> web.Response:
        """Answer /v1/status: how fresh the counts are; for operators also why, and the ledger."""
        caller = self.access.caller(request)
        rates = self.access.take(caller)
        fresh = self.desk.freshness(2**40)
        found: dict[str, object] = {
            "countedThrough": None if fresh.counted_through is None else fresh.counted_through / 1000,
            "asOf": None if fresh.as_of is None else fresh.as_of / 1000,
            "ready": self.desk.ready(),
        }
        if caller.operator:
            found |= self._inside()
        return json_answer(found, **rates)

    def _inside(self) -> dict[str, object]:
        applied, asked = self.desk.applied, self.desk.counted.newest
        positions = applied.positions if applied else {}
        ledger: dict[str, int] = {}
        for position in positions.values():
            for name, count in position.ledger.items():
                ledger[name] = ledger.get(name, 0) + count
        return {
            "recordsBehind": None if asked is None else asked.behind(positions),
            "heldBy": None if asked is None else asked.holding(),
            "ingests": {} if asked is None else {name: ms / 1000 for name, ms in asked.held.items()},
            "newestBeacon": max((one.time for one in positions.values()), default=0) / 1000 or None,
            "ledger": ledger,
            "revision": applied.revision if applied else 0,
        }

    async def health(self, _request: web.BaseRequest) -> web.Response:
        """Answer /health: the loop turns, the threads run."""
        await asyncio.sleep(0)
        if not self.alive():
            raise Refused(Problem(503, "stopped", "A part of the report has stopped."))
        return json_answer({"status": "ok"})

    async def ready(self, _request: web.BaseRequest) -> web.Response:
        """Answer /ready: the topic was read to its end since the start."""
        applied = self.desk.applied
        if applied is None or not applied.caught_up:
            raise Refused(NOT_YET)
        return json_answer({"status": "ready"})

    async def show_metrics(self, request: web.BaseRequest) -> web.Response:
        """Answer /metrics; to operators, as it counts everybody."""
        if not self.access.caller(request).operator:
            raise Refused(NOTHING)
        return web.Response(
            body=self.metrics(), headers=NO_STORE | {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    async def sign_in(self, request: web.BaseRequest) -> web.Response:
        """Answer POST /session: a key becomes a cookie."""
        self.access.from_our_page(request)
        if request.content_type != "application/json":
            detail = 'Send {"key": "id.secret"} as application/json.'
            raise Refused(Problem(415, "not-json", "Only JSON is read here.", detail))
        try:
            async with asyncio.timeout(BODY_SECONDS):
                said = orjson.loads(await request.read())
            presented = said["key"]
        except (ValueError, KeyError, TypeError) as error:
            raise bad_value("key", "", 'Send {"key": "id.secret"}.') from error
        if self.access.keys is None:
            return json_answer(self._signed_in(request))
        caller = self.access.by_key(request, presented if isinstance(presented, str) else "")
        begun = self.access.begin(caller)
        signed = json_answer(self._described_session(caller, session.csrf_token(begun, self.access.secret)))
        signed.set_cookie(
            session.COOKIE,
            session.write(begun, self.access.secret),
            max_age=self.access.session_seconds,
            httponly=True,
            samesite="Strict",
            secure=self.access.own_origin(request).startswith("https:"),
            path="/",
        )
        return signed

    async def show_session(self, request: web.BaseRequest) -> web.Response:
        """Answer GET /session: who is signed in; never an error, so that a page may simply ask."""
        return json_answer(self._signed_in(request))

    def _signed_in(self, request: web.BaseRequest) -> dict[str, object]:
        try:
            caller = self.access.caller(request)
        except Refused as refused:
            if refused.problem is not UNKNOWN_KEY:
                raise
            return {"signedIn": False, "open": False}
        found = self.access.session(request)
        return self._described_session(caller, session.csrf_token(found, self.access.secret) if found else None)

    def _described_session(self, caller: Caller, token: str | None) -> dict[str, object]:
        return {
            "signedIn": True,
            "open": self.access.keys is None,
            "operator": caller.operator,
            "partnerId": caller.partner,
            "csrfToken": token,
        }

    async def sign_out(self, request: web.BaseRequest) -> web.Response:
        """Answer DELETE /session: the cookie stands for nothing from here on."""
        self.access.from_our_page(request)
        found = self.access.session(request)
        if found is None:
            raise Refused(UNKNOWN_KEY)
        token = request.headers.get(session.CSRF_HEADER, "")
        if not session.csrf_fits(found, self.access.secret, token):
            detail = f"Send the session's csrfToken as {session.CSRF_HEADER}."
            raise Refused(Problem(403, "forged", "The request does not come from this page.", detail))
        self.access.end(found)
        gone = web.Response(status=204, headers=NO_STORE)
        gone.del_cookie(session.COOKIE, path="/", httponly=True, samesite="Strict")
        return gone
