"""A world with people, a policy and a console."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from gateway.approval_page.pages import routes as approval_routes
from gateway.approval_page.texts import TEXTS as APPROVAL_TEXTS
from gateway.console.pages import routes
from gateway.console.texts import TEXTS
from gateway.web.site import WebSite
from tests.console.approver import Approver, device
from tests.console.kit import Browser, enter
from tests.console.world_gateway import APPROVAL, WorldGateway
from tests.gateway.cli.control_operator import Operator
from tests.gateway.cli.test_resolve import Hand
from tests.gateway.control.test_approval_holds import four_eyes as four_eyes
from tests.gateway.control.test_approval_holds import operator as operator
from tests.gateway.control.test_people import site as site
from tests.gateway.control.test_people import with_password
from tests.gateway.people.test_passkeys import PRESENT, VERIFIED


@dataclass
class House:
    """A gateway with people, and browsers at its console."""

    operator: Operator
    gateway: WorldGateway
    site: WebSite
    approval: WebSite
    secrets: dict[str, str] = field(default_factory=dict)

    def browser(self, one: Hand | None = None, language: str = "en") -> Browser:
        """A browser; that of a person is signed in."""
        made = Browser(self.site, language=language)
        if one is not None:
            if one.name not in self.secrets:
                self.secrets[one.name] = with_password(self.operator, one)
            assert enter(made, self.operator, one, self.secrets[one.name]).status == 200
        return made

    def approver(self, one: Hand, *, bound: bool = True, flags: int = PRESENT | VERIFIED) -> Approver:
        """A person at the approval page; if `bound`, signed in with a passkey."""
        made = Approver(Browser(self.approval, APPROVAL), self.operator, one, device(one, flags=flags))
        if bound:
            made.make_passkey()
            made.bind()
            assert made.enter().path == "/"
        return made


@pytest.fixture
def house(four_eyes: Operator) -> House:
    """ZHAO makes payments, SUN and QIAN approve them over the band."""
    clock, gateway = four_eyes.handle.clock, WorldGateway(four_eyes)
    made = WebSite("gateway.console", TEXTS, gateway, "console_origin", routes(), clock.monotonic_s, clock.now_ms)
    page = WebSite("gateway.approval_page", APPROVAL_TEXTS, gateway, "approval_origin", approval_routes(), clock.monotonic_s,
                   clock.now_ms)  # fmt: skip
    return House(four_eyes, gateway, made, page)

