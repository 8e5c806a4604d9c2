"""A world with people, a policy and a console."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from gateway.web.approval_page.pages import routes as approval_routes
from gateway.web.approval_page.texts import TEXTS as APPROVAL_TEXTS
from gateway.web.console.pages import routes
from gateway.web.console.texts import TEXTS
from gateway.web.shared.site import WebSite
from tests.console.approver import Approver, device
from tests.console.kit import Browser, enter
from tests.console.world_gateway import APPROVAL, WorldGateway
from tests.gateway.approvals.test_approval_holds import four_eyes as four_eyes
from tests.gateway.approvals.test_approval_holds import operator as operator
from tests.gateway.cli.control_operator import Operator
from tests.gateway.cli.resolving import Hand
from tests.gateway.people.test_passkeys import PRESENT, VERIFIED
from tests.gateway.people.test_people_acts import site as site
from tests.gateway.people.test_people_acts import with_password


@dataclass
class House:
    """A gateway with people, and with browsers that open its console."""

    operator: Operator
    gateway: WorldGateway
    site: WebSite
    approval: WebSite
    secrets: dict[str, str] = field(default_factory=dict)

    def browser(self, one: Hand | None = None, language: str = "en") -> Browser:
        """A browser. If a person is given, it is signed in."""
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
    clock, gateway = four_eyes.ports.clock, WorldGateway(four_eyes)
    made = WebSite("gateway.web.console", TEXTS, gateway, "console_origin", routes(), clock.monotonic_s, clock.now_ms)
    page = WebSite(
        "gateway.web.approval_page",
        APPROVAL_TEXTS,
        gateway,
        "approval_origin",
        approval_routes(),
        clock.monotonic_s,
        clock.now_ms,
    )
    return House(four_eyes, gateway, made, page)
