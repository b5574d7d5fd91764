"""The front door: paths to handlers, refusals to problem+json, the same headers on every answer.

aiohttp's low-level server carries it: with no framework in between, there is no answer that does not
pass here, not even to what is no HTTP.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

from pipeline.report import headers
from pipeline.report.problem import CONTENT_TYPE, NOTHING, Problem, Refused

log = logging.getLogger(__name__)

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Methods = dict[str, Handler]

# How long an answer under way may take once the report is told to stop.
DRAIN_SECONDS = 8.0

FAULT = Problem(500, "fault", "The report failed.")
NOT_HTTP = Problem(400, "bad-request", "The request cannot be read.")
BODY = Problem(413, "body", "The body is too large.")
UNREADABLE_BODY = Problem(400, "bad-request", "The body cannot be read.")


def response_of(problem: Problem) -> web.Response:
    """Return the answer that a problem is."""
    said = {"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store", **problem.headers}
    return web.Response(status=problem.status, body=problem.body(), headers=said)


class Front:
    """Every path there is; of pages, those that end in / are prefixes whose rest names a file."""

    def __init__(
        self, api: Mapping[str, Methods], pages: Mapping[str, Handler], answered: Callable[[str, int], None]
    ) -> None:
        self._api = {path: self._with_head(methods) for path, methods in api.items()}
        self._pages = pages
        self._answered = answered

    @staticmethod
    def _with_head(methods: Methods) -> Methods:
        return methods | ({"HEAD": methods["GET"]} if "GET" in methods else {})

    def _find(self, path: str) -> tuple[str, Methods | None, dict[str, str]]:
        """Return the route's name, its methods and its headers."""
        methods = self._api.get(path)
        if methods is not None:
            return path, methods, headers.API
        name = next((one for one in self._pages if path == one or (one[-1] == "/" != one and path.startswith(one))), "")
        if name:
            return name, {"GET": self._pages[name], "HEAD": self._pages[name]}, headers.PAGE
        return "other", None, headers.API

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        name, methods, always = self._find(request.path)
        try:
            response = await self._choose(request, methods)(request)
        except Refused as refused:
            response = response_of(refused.problem)
        except web.HTTPRequestEntityTooLarge:
            response = response_of(BODY)
        except (web.RequestPayloadError, TimeoutError):
            response = response_of(UNREADABLE_BODY)
            response.force_close()
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("%s failed", name)
            response = response_of(FAULT)
        if "Server" not in response.headers:
            response.headers.update(always)
        self._answered(name, response.status)
        return response

    @staticmethod
    def _choose(request: web.BaseRequest, methods: Methods | None) -> Handler:
        if methods is None:
            raise Refused(NOTHING)
        handler = methods.get(request.method)
        if handler is None:
            allowed = ", ".join(sorted(methods))
            raise Refused(
                Problem(405, "method", "Another method is needed.", f"Use {allowed}.", headers={"Allow": allowed})
            )
        return handler


class Connection(RequestHandler):
    """aiohttp's connection, but for what it says to a request that is no HTTP: no echo, no traceback."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what the parser refused, or what failed past the front."""
        refused = isinstance(exc, HttpProcessingError)
        if not refused:
            log.error("a connection failed: %s", type(exc).__name__)
        if request.writer.output_size > 0:
            raise ConnectionError("half an answer is sent already")
        response = response_of(NOT_HTTP if refused else FAULT)
        response.headers.update(headers.API)
        response.force_close()
        return response


class Server(web.Server):
    """aiohttp's server with our connections."""

    def __call__(self) -> RequestHandler:
        """Return what a new connection is handled by."""
        return Connection(self, loop=self._loop, **self._kwargs)


def serve(front: Front, **more: Any) -> web.ServerRunner:
    """Return what listens."""
    # A reader that leaves ends its handler: streams close at once, and nothing here changes anything that
    # could be left half done. What is left of a refused body is read for a second, not for ten.
    server = Server(front.handle, access_log=None, handler_cancellation=True, lingering_time=1.0, **more)
    return web.ServerRunner(server, shutdown_timeout=DRAIN_SECONDS)
