"""The console as an ASGI application."""

from __future__ import annotations

from gateway.console.pages import routes
from gateway.console.texts import TEXTS
from gateway.web.gateway_client import WebGateway
from gateway.web.site import WebSite


def console(gateway: WebGateway) -> WebSite:
    """The site over a gateway."""
    return WebSite("gateway.console", TEXTS, gateway, "console_origin", routes())
