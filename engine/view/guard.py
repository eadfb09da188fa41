"""What every answer obeys: asked under the viewer's own name, nothing loaded or run from elsewhere, nothing guessed.

A page of another site may be made to stand for a loopback address (DNS rebinding); its requests then carry its own
name in Host, and are refused.
"""

from __future__ import annotations

import ipaddress
import re

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:/@]+)(?::[0-9]*)?")
LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})


def allowed_names(host: str) -> frozenset[str]:
    """Names that may stand in Host when the viewer listens at this address: its own, and loopback's where that
    is where it listens."""
    shown = f"[{host}]" if ":" in host else host.lower()
    return LOOPBACK_NAMES | {shown} if _reaches_loopback(host) else frozenset({shown})


def _reaches_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    return address.is_loopback or address.is_unspecified


def name_of(host: str) -> str:
    """The name in a Host header, without its port; "" where the header is none."""
    found = _HOST.fullmatch(host)
    return found[1].lower() if found else ""


def guard(names: frozenset[str]) -> Middleware:
    """A middleware that refuses other names and dresses every answer in HEADERS."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        if name_of(request.headers.get("Host", "")) not in names:
            return _dressed(web.Response(status=403, text="This viewer is not called that."))
        try:
            return _dressed(await handler(request))
        except web.HTTPException as error:
            error.headers.update(HEADERS)
            raise

    return guarded


def _dressed(response: web.StreamResponse) -> web.StreamResponse:
    response.headers.update(HEADERS)
    return response
