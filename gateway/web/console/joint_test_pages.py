"""The console's pages of joint tests (联调): runs, cases with their verdicts, and the evidence of each try, masked."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response

from gateway.web.shared.site import PageRequest, WebRoute


def routes() -> Sequence[WebRoute]:
    """The routes of the joint-test pages."""
    return (
        WebRoute("GET", "/joint-tests", runs),
        WebRoute("GET", "/joint-tests/{run}", run),
        WebRoute("GET", "/joint-tests/{run}/tries/{name}", one_try),
        WebRoute("GET", "/joint-tests/{run}/tries/{name}/files/{file}", evidence),
    )


def runs(visit: PageRequest) -> Response:
    """Show all runs."""
    return visit.show("joint-tests.html", found=visit.query.get("joint-tests"))


def run(visit: PageRequest) -> Response:
    """Show one run, with the standing of each case."""
    return visit.show("joint-test.html", found=visit.query.get("joint-tests", visit.part("run")))


def one_try(visit: PageRequest) -> Response:
    """Show one try of a case, with its files."""
    found = visit.query.get("joint-tests", visit.part("run"), "tries", visit.part("name"))
    return visit.show("joint-try.html", found=found, file=None)


def evidence(visit: PageRequest) -> Response:
    """Show a file of the evidence as text."""
    parts = ("joint-tests", visit.part("run"), "tries", visit.part("name"))
    found = visit.query.get(*parts)
    return visit.show("joint-try.html", found=found, file=visit.query.get(*parts, "files", visit.part("file")))
