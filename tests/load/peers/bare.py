"""The measure for ingest and report: aiohttp's web.Application on uvloop, one handler, the same answer, nothing behind.

With a file as second argument it answers /v1/report with that file's JSON.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import uvloop
from aiohttp import web

HEADERS = {"Access-Control-Allow-Origin": "*", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


async def collect(request: web.Request) -> web.Response:
    return web.Response(text=str(int(time.time())), headers=HEADERS)


async def ready(request: web.Request) -> web.Response:
    return web.Response(text="ready\n")


def main(port: int, body: bytes) -> None:
    async def report(request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json", headers=HEADERS)

    app = web.Application()
    routes = (("/api_v3/index.php", collect), ("/v1/report", report), ("/ready", ready))
    app.add_routes([web.get(path, handler) for path, handler in routes])
    web.run_app(
        app, host="127.0.0.1", port=port, access_log=None, print=None, backlog=1024, loop=uvloop.new_event_loop()
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]).read_bytes() if len(sys.argv) > 2 else b"")
