"""The web page: three files, no build step, nothing from elsewhere."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

from sovits_server.core.floor import Route

FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
"""Address -> file, type."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; media-src 'self' blob:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


def page(address: str = "/") -> Response:
    """A file of the page.

    Args:
        address: One of `FILES`.
    """
    content, etag = _content(address)
    return Response(content, media_type=FILES[address][1], headers={**HEADERS, "ETag": etag})


async def answer(request: Request) -> Response:
    """Sends the file that is asked for, or says that the browser has it already."""
    found = page(request.url.path.removeprefix(request.scope.get("root_path", "")))
    if request.headers.get("if-none-match") == found.headers["etag"]:
        return Response(status_code=304, headers={**HEADERS, "ETag": found.headers["etag"]})
    return found


def routes() -> list[Route]:
    """The files beside the first one, which `dialects.root` sends; none needs a key, for none holds anything."""
    return [
        Route(address, ("GET",), answer, "page", f"The web page: {name}.", open=True)
        for address, (name, _) in FILES.items()
        if address != "/"
    ]


@cache
def _content(address: str) -> tuple[bytes, str]:
    content = files("sovits_server.page").joinpath(FILES[address][0]).read_bytes()
    return content, f'"{hashlib.sha256(content).hexdigest()[:32]}"'
