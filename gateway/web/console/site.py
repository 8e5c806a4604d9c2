"""The console as an ASGI application."""

from __future__ import annotations

from gateway.web.console.pages import routes
from gateway.web.console.texts import TEXTS
from gateway.web.shared.gateway_client import WebGateway
from gateway.web.shared.site import WebSite


def console(gateway: WebGateway) -> WebSite:
    """The console's site, over the gateway's two sides."""
    return WebSite("gateway.web.console", TEXTS, gateway, "console_origin", routes())
