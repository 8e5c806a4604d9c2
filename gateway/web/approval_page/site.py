"""The approval page as an ASGI application."""

from __future__ import annotations

from gateway.web.approval_page.pages import routes
from gateway.web.approval_page.texts import TEXTS
from gateway.web.shared.gateway_client import WebGateway
from gateway.web.shared.site import WebSite


def approval_page(gateway: WebGateway) -> WebSite:
    """The approval page's site. It sends requests to the daemon only."""
    return WebSite("gateway.web.approval_page", TEXTS, gateway, "approval_origin", routes())
