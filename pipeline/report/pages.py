"""Files for the browser: the page and its chart library, read once, served from memory."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from pipeline.report.accept import unchanged
from pipeline.report.problem import NOTHING, Refused

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".json": "application/json",
    ".woff2": "font/woff2",
}
MOST_BYTES = 4 << 20
PAGE = Path(__file__).parent / "page"


@dataclass(frozen=True, slots=True)
class File:
    """One file."""

    body: bytes
    content_type: str
    etag: str


def file_of(body: bytes, content_type: str) -> File:
    """Return a file with the ETag of its content."""
    return File(body, content_type, f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"')


def read_folder(folder: Path | None) -> dict[str, File]:
    """Return the files of a folder and its folders by path; only kinds that a page is made of."""
    if folder is None or not folder.is_dir():
        return {}
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix in TYPES and path.is_file() and path.stat().st_size <= MOST_BYTES:
            found[path.relative_to(folder).as_posix()] = file_of(path.read_bytes(), TYPES[path.suffix])
    return found


class Pages:
    """Handlers of everything that is no API."""

    def __init__(self, assets: Path | None, made: dict[str, File]) -> None:
        """Read the files; `made` are those that are made from the code, by path."""
        self._page = read_folder(PAGE)
        self._vendor = read_folder(assets)
        self._made = made

    async def index(self, request: web.BaseRequest) -> web.Response:
        """Answer /."""
        if "index.html" not in self._page:
            return web.Response(status=303, headers={"Location": "/docs", "Cache-Control": "no-store"})
        return self._send(request, self._page.get("index.html"))

    async def page(self, request: web.BaseRequest) -> web.Response:
        """Answer /page/…."""
        return self._send(request, self._page.get(request.path.partition("/")[2].partition("/")[2]))

    async def vendor(self, request: web.BaseRequest) -> web.Response:
        """Answer /vendor/…."""
        return self._send(request, self._vendor.get(request.path.partition("/")[2].partition("/")[2]))

    async def made(self, request: web.BaseRequest) -> web.Response:
        """Answer a path whose content the code makes."""
        return self._send(request, self._made.get(request.path))

    @staticmethod
    def _send(request: web.BaseRequest, file: File | None) -> web.Response:
        if file is None:
            raise Refused(NOTHING)
        headers = {"ETag": file.etag, "Cache-Control": "no-cache"}
        held = request.headers.get("If-None-Match")
        if held is not None and unchanged(held, file.etag):
            return web.Response(status=304, headers=headers)
        return web.Response(body=file.body, headers=headers | {"Content-Type": file.content_type})
