"""The approval page as an ASGI application."""

from __future__ import annotations

from gateway.approval_page.pages import routes
from gateway.approval_page.texts import TEXTS
from gateway.web.gateway_client import WebGateway
from gateway.web.site import WebSite


def approval_page(gateway: WebGateway) -> WebSite:
    """The site over a gateway. It asks the daemon only."""
    return WebSite("gateway.approval_page", TEXTS, gateway, "approval_origin", routes())
