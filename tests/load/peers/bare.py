"""The measure for ingest: aiohttp's web.Application on uvloop, one handler, the same answer, nothing stored."""

from __future__ import annotations

import sys
import time

import uvloop
from aiohttp import web

HEADERS = {"Access-Control-Allow-Origin": "*", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


async def collect(request: web.Request) -> web.Response:
    return web.Response(text=str(int(time.time())), headers=HEADERS)


async def ready(request: web.Request) -> web.Response:
    return web.Response(text="ready\n")


def main(port: int) -> None:
    app = web.Application()
    app.add_routes([web.get("/api_v3/index.php", collect), web.get("/ready", ready)])
    web.run_app(
        app, host="127.0.0.1", port=port, access_log=None, print=None, backlog=1024, loop=uvloop.new_event_loop()
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
