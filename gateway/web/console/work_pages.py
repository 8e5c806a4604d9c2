"""The console's pages of work lists, undeliverable messages, passkeys, and signing in again for an export."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response

from gateway.control.client import Refused
from gateway.web.console.code_texts import said
from gateway.web.shared.act_pages import act_route
from gateway.web.shared.passkey_pages import PasskeyPages, given
from gateway.web.shared.site import PageRequest, WebRoute, inside

PASSKEYS = PasskeyPages("console", "/sign-in/passkey")


def routes() -> Sequence[WebRoute]:
    """The routes of the pages about work lists, parked messages and showing a factor again."""
    return (
        *PASSKEYS.routes(),
        WebRoute("GET", "/step-up", step_up_form),
        WebRoute("POST", "/step-up", step_up, sparing=True),
        WebRoute("POST", "/step-up/passkey", step_up_by_passkey, sparing=True),
        WebRoute("GET", "/worklists/{name}", worklist),
        WebRoute("GET", "/messages", messages),
        act_route("parked.replay", "/messages/{message}/replay", lambda _made: "/messages"),
    )


def worklist(visit: PageRequest) -> Response:
    """Show one work list: rows that wait for a person, each with the next step."""
    found = visit.query.get("worklists", list=visit.part("name"))
    return visit.show("worklist.html", found=found["lists"][0], at=found["at"], said=said)


def messages(visit: PageRequest) -> Response:
    """Show the messages to an ERP that the broker could not deliver."""
    found = visit.daemon.get("parked", after=visit.asked("after") or None)
    return visit.show("messages.html", found=found)


def step_up_form(visit: PageRequest) -> Response:
    """Show the form in which a person shows a factor again, as an export of a file requires."""
    return _step_up(visit, inside(visit.asked("back", "/")))


def _step_up(visit: PageRequest, back: str, status: int = 200, why: str = "") -> Response:
    # The browser returns to the file, which shows nothing; so the page of the file is linked beside it.
    page = "/receipts" if back.startswith("/receipts/") else "/reports"
    return visit.show("step-up.html", status, back=back, page=page, why=why, asked=PASSKEYS.challenge(visit, "step_up"))


def step_up(visit: PageRequest) -> Response:
    """Check password and one-time code again."""
    shown = {name: visit.form.get(name, "") for name in ("password", "one_time_code")}
    return _stepped_up(visit, "web", "step-up", **shown)


def step_up_by_passkey(visit: PageRequest) -> Response:
    """Check a passkey of the console again."""
    return _stepped_up(visit, "web", "step-up", "passkey", page="console", **given(visit))


def _stepped_up(visit: PageRequest, *verb: str, **body: str) -> Response:
    back = inside(visit.form.get("back", "/"))
    try:
        said = visit.daemon.post(*verb, **body)
    except Refused as error:
        if error.code == "sign_in":
            raise
        return _step_up(visit, back, error.status, str(error))
    visit.keep(said["token"])
    return visit.go(back)
