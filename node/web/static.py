"""The web UI's files, as the build made them (design: content-hashed names under ``assets/``, siblings ``.br`` and ``.gz``).

Files are found by looking a name up in an index of the built folder, never by joining a path from the request, so there is
nothing to traverse. They are small and kept in memory once asked for; nothing is compressed at request time. A new build is noticed
by the time of its index, so that ``make webui`` beside a running node is enough.

==================================  ===============================================================
path                                answer
==================================  ===============================================================
``/assets/*``                       immutable for a year; missing is 404, never the index
another file of the build           ``no-cache`` with an ETag of its content
any other navigation (a browser     the index: the page shows the address itself
that wants HTML)
not built                           503 with a page that says how to build
==================================  ===============================================================
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from aiohttp import ETag, web
from msgspec import Struct

from node.base.errors import Code, Rejected

FOLDER: Final = Path(__file__).parent / "_webui"
INDEX: Final = "index.html"
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
    ".wasm": "application/wasm",
    ".txt": "text/plain; charset=utf-8",
    ".mp3": "audio/mpeg",
    ".ogg": "audio/ogg",
}
_ENCODINGS: Final = (("br", ".br"), ("gzip", ".gz"))
_IMMUTABLE: Final = "public, max-age=31536000, immutable"
_NOT_BUILT: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Startalk</title>
<h1>The web UI is not built</h1>
<p>The node is running and its API works. Build the web UI with <code>make webui</code> and reload this page.</p>
</html>
"""


class Asset(Struct, frozen=True):
    """One file in memory. `bodies` maps an encoding to bytes; the plain one is under ``""``."""

    content_type: str
    etag: str
    bodies: dict[str, bytes]


class Static:
    """Answers GET and HEAD for everything that is not the API."""

    def __init__(self, *, folder: Path = FOLDER) -> None:
        self._folder = folder
        self._built = 0
        self._names: dict[str, Path] = {}
        self._assets: dict[str, Asset] = {}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """The catch-all route."""
        self._refresh()
        name = request.path.lstrip("/")
        if name in self._names and name != INDEX:
            return self._serve(request, name)
        if name.startswith("assets/") or not _wants_page(request):
            raise Rejected(Code.NOT_FOUND, "There is nothing at this address.")
        if INDEX not in self._names:
            return web.Response(text=_NOT_BUILT, status=503, content_type="text/html", headers={"Retry-After": "60"})
        return self._serve(request, INDEX)

    def _refresh(self) -> None:
        """Looks again when the index is another one than before."""
        try:
            built = (self._folder / INDEX).stat().st_mtime_ns
        except OSError:
            built = 0
        if built != self._built:
            self._built, self._names, self._assets = built, _index(self._folder), {}

    def _serve(self, request: web.Request, name: str) -> web.Response:
        asset = self._asset(name)
        cache = _IMMUTABLE if name.startswith("assets/") else "no-cache"
        headers = {"Cache-Control": cache, "Vary": "Accept-Encoding", "ETag": f'"{asset.etag}"'}
        if _is_current(request, asset.etag):
            return web.Response(status=304, headers=headers)
        accepted = _accepted(request.headers.get("Accept-Encoding", ""))
        encoding = next((coding for coding, _ in _ENCODINGS if coding in accepted and coding in asset.bodies), "")
        if encoding:
            headers["Content-Encoding"] = encoding
        headers["Content-Type"] = asset.content_type
        return web.Response(body=asset.bodies[encoding], headers=headers)

    def _asset(self, name: str) -> Asset:
        asset = self._assets.get(name)
        if asset is None:
            path = self._names[name]
            try:
                plain = path.read_bytes()
            except FileNotFoundError:  # a build is being written
                raise Rejected(Code.NOT_FOUND, "There is nothing at this address.") from None
            bodies = {"": plain}
            for coding, suffix in _ENCODINGS:
                sibling = path.with_name(path.name + suffix)
                if sibling.is_file():
                    bodies[coding] = sibling.read_bytes()
            etag = hashlib.sha256(plain).hexdigest()[:32]
            asset = self._assets[name] = Asset(_TYPES[path.suffix], etag, bodies)
        return asset


def _index(folder: Path) -> dict[str, Path]:
    """Names as they stand in URLs. Only types we know; a symbolic link is not followed."""
    if not folder.is_dir():
        return {}
    return {
        path.relative_to(folder).as_posix(): path
        for path in folder.rglob("*")
        if path.suffix in _TYPES and path.is_file() and not path.is_symlink()
    }


def _wants_page(request: web.Request) -> bool:
    accept = request.headers.get("Accept", "")
    return request.headers.get("Sec-Fetch-Mode") == "navigate" or "text/html" in accept


def _is_current(request: web.Request, etag: str) -> bool:
    known = request.if_none_match or ()
    return any(tag.value == etag or tag == ETag(value="*") for tag in known)


def _accepted(header: str) -> set[str]:
    """Codings with a quality above zero."""
    accepted = set()
    for part in header.lower().split(","):
        coding, _, params = part.strip().partition(";")
        if params.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}:
            accepted.add(coding.strip())
    return accepted
