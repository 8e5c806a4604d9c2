"""The console's pages of joint tests (联调): runs, cases with their verdicts, and the evidence of each try, masked."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response

from gateway.web.site import PageVisit, WebRoute


def routes() -> Sequence[WebRoute]:
    """These pages."""
    return (
        WebRoute("GET", "/joint-tests", runs),
        WebRoute("GET", "/joint-tests/{run}", run),
        WebRoute("GET", "/joint-tests/{run}/tries/{name}", one_try),
        WebRoute("GET", "/joint-tests/{run}/tries/{name}/files/{file}", evidence),
    )


def runs(visit: PageVisit) -> Response:
    """The runs there are."""
    return visit.show("joint-tests.html", found=visit.query.get("joint-tests"))


def run(visit: PageVisit) -> Response:
    """One run: how each case stands."""
    return visit.show("joint-test.html", found=visit.query.get("joint-tests", visit.part("run")))


def one_try(visit: PageVisit) -> Response:
    """One try of a case, with its files."""
    found = visit.query.get("joint-tests", visit.part("run"), "tries", visit.part("name"))
    return visit.show("joint-try.html", found=found, file=None)


def evidence(visit: PageVisit) -> Response:
    """A file of the evidence as text."""
    parts = ("joint-tests", visit.part("run"), "tries", visit.part("name"))
    found = visit.query.get(*parts)
    return visit.show("joint-try.html", found=found, file=visit.query.get(*parts, "files", visit.part("file")))
