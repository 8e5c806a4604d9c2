"""The console's pages: each asks the query process or the daemon for this person, and shows the answer."""

from __future__ import annotations

import io
import re
import shlex
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from starlette.responses import Response

from gateway.control.client import Refused
from gateway.reports.forms import FORMS
from gateway.reports.table import CellKind, TableColumn, TableRow, written
from gateway.reports.written import to_csv
from gateway.web.console import joint_test_pages, oidc_pages, treasury_pages, work_pages
from gateway.web.console.code_texts import said
from gateway.web.shared.act_pages import act_route
from gateway.web.shared.site import PageRefused, PageRequest, WebRoute

_PAGE_ROWS = 50
_MOST_CSV_PAGES = 50
_RUN = re.compile(r"[\w-]+\.[0-9]{8}\.[\w-]+", re.ASCII)
"""The parts of a run's name: pool, day and slot."""
_RIGHT = frozenset({CellKind.MONEY, CellKind.COUNT, CellKind.PERCENT, CellKind.SECONDS})


def routes() -> Sequence[WebRoute]:
    """Every page."""
    return (
        WebRoute("GET", "/sign-in", sign_in_form, open=True),
        WebRoute("POST", "/sign-in", sign_in, open=True, sparing=True),
        WebRoute("POST", "/sign-out", sign_out),
        WebRoute("GET", "/", overview),
        WebRoute("GET", "/search", search),
        WebRoute("GET", "/payments", payments),
        WebRoute("GET", "/payments/{key}", payment),
        WebRoute("POST", "/payments/{key}/reveal", reveal),
        WebRoute("GET", "/payments/{key}/bytes", payment_bytes),
        WebRoute("GET", "/approvals", approvals),
        WebRoute("GET", "/approvals/{key}", approval),
        WebRoute("POST", "/approvals/{key}/words", approval_words),
        act_route("approvals.renew", "/approvals/{request}/renew", lambda made: f"/approvals/{made['request']}"),
        WebRoute("GET", "/positions", positions),
        WebRoute("GET", "/reconciliation", reconciliation_accounts),
        WebRoute("GET", "/reconciliation/{ref}", reconciliation),
        WebRoute("GET", "/reports", reports),
        WebRoute("GET", "/reports/{name}", report),
        WebRoute("GET", "/reports/{name}/csv", report_csv, sparing=True),
        WebRoute("GET", "/people", people),
        WebRoute("GET", "/audit", audit),
        *oidc_pages.routes(),
        *treasury_pages.routes(),
        *joint_test_pages.routes(),
        *work_pages.routes(),
    )


# ---- sign in ----


def sign_in_form(visit: PageRequest) -> Response:
    """Show the form for signing in, with name, password and one-time code, or with a passkey."""
    return visit.show("sign-in.html", why="", name="")


def sign_in(visit: PageRequest) -> Response:
    """Try to sign in."""
    given = {name: visit.form.get(name, "") for name in ("person", "password", "one_time_code")}
    try:
        said = visit.daemon.post("web", "sign-in", **given)
    except Refused as error:
        return visit.show("sign-in.html", error.status, why=str(error), name=given["person"][:40])
    visit.sign_in_with(said["token"])
    return visit.go("/")


def sign_out(visit: PageRequest) -> Response:
    """End the session, at the gateway and in the browser."""
    visit.daemon.post("web", "sign-out")
    visit.sign_out()
    return visit.go("/sign-in")


# ---- looking ----


def overview(visit: PageRequest) -> Response:
    """Show money at risk, waiting payments, and the lanes. Parts that the person's role may not see are left out."""
    found = visit.query.get("overview") if visit.may("GET /overview") else None
    waiting = visit.query.get("approvals") if visit.may("GET /approvals") else None
    machine = visit.daemon.get("lanes")
    work = visit.query.get("worklists") if visit.may("GET /worklists") else None
    return visit.show(
        "overview.html",
        found=found,
        waiting=waiting and waiting["approvals"],
        lanes=machine["lanes"],
        stop=machine["stop"],
        work=work,
    )


def search(visit: PageRequest) -> Response:
    """Show everything that has the given id."""
    text = visit.asked("q")
    if _RUN.fullmatch(text) and visit.may("GET /liquidity-runs/{}") and _is_run(visit, text):
        return visit.go(f"/liquidity-runs/{text}")
    found = visit.query.get("search", q=text) if text else {"payments": [], "request": None}
    if text and len(found["payments"]) == 1 and found["request"] is None:
        return visit.go(f"/payments/{found['payments'][0]['payment']}")
    return visit.show("search.html", text=text, found=found)


def _is_run(visit: PageRequest, key: str) -> bool:
    try:
        visit.query.get("liquidity-runs", key)
    except Refused as error:
        if error.status != 404:
            raise
        return False
    return True


def payments(visit: PageRequest) -> Response:
    """Show payments by state, newest first."""
    state, after = visit.asked("state"), visit.asked("after")
    batch, sender = visit.asked("batch"), visit.asked("sender")
    found = visit.query.get(
        "orders", state=state or None, after=after or None, batch=batch or None, sender=sender or None, limit=_PAGE_ROWS
    )
    return visit.show("payments.html", found=found, state=state, batch=batch, sender=sender)


def payment(visit: PageRequest) -> Response:
    """Show one payment with its whole history."""
    return _payment(visit)


def reveal(visit: PageRequest) -> Response:
    """Show one payment with full account numbers and names. The audit trail notes who saw them."""
    return _payment(visit, visit.daemon.post("web", "orders", visit.part("key"), "reveal"))


def _payment(visit: PageRequest, clear: Mapping[str, Any] | None = None) -> Response:
    return _shown_payment(visit, visit.query.get("orders", visit.part("key")), clear, messages=False)


def _shown_payment(visit: PageRequest, found: Any, clear: Mapping[str, Any] | None, *, messages: bool) -> Response:
    if "payment" not in found:
        raise PageRefused(404, "no_page")
    requests: list[Any] = []
    if visit.may("GET /approvals"):
        for subject in {found["id"], found.get("batch")} - {None}:
            requests += visit.query.get("approvals", all="yes", sender=found["sender"], subject=subject)["approvals"]
    told = [one for one in found["timeline"] if one["what"] == "told"]
    return visit.show("payment.html", found=found, clear=clear, messages=messages, requests=requests, told=told)


def payment_bytes(visit: PageRequest) -> Response:
    """Show the bytes sent to and received from the bank. They come from the daemon, because only it knows a lane's
    passwords and can cut them out."""
    return _shown_payment(visit, visit.daemon.get("orders", visit.part("key")), None, messages=True)


def approvals(visit: PageRequest) -> Response:
    """Show the requests that wait for approval, or all requests."""
    every = visit.asked("all") == "yes"
    found = visit.query.get("approvals", all="yes" if every else None, after=visit.asked("after") or None)
    return visit.show("approvals.html", found=found, every=every)


def approval(visit: PageRequest) -> Response:
    """Show one request, with the link to the page on which it is decided."""
    return visit.show("approval.html", one=_request(visit), words=None)


def approval_words(visit: PageRequest) -> Response:
    """Show the text of a request for reading; the audit trail notes who saw it. Only the approval page shows the text
    that is signed."""
    said = visit.daemon.get("approvals", visit.part("key"))
    return visit.show("approval.html", one=said, words=said["words"][visit.language])


def _request(visit: PageRequest) -> Any:
    found = visit.query.get("approvals", all="yes", request=visit.part("key"))["approvals"]
    if not found:
        raise PageRefused(404, "no_page")
    return found[0]


def positions(visit: PageRequest) -> Response:
    """Show the own accounts as the register's tree, with subtotals and expected movements; then sums by company, bank
    and currency, with the day's entries."""
    found, nodes = visit.query.get("today"), visit.query.get("positions")
    ahead = [
        (one["currency"], one["forecast"])
        for one in nodes["totals"]
        if (one["company"], one["bank"]) == ("*", "*") and one["forecast"]
    ]
    tree: dict[str, dict[tuple[str, str], list[Any]]] = {}
    for one in found["accounts"]:
        tree.setdefault(one["company"], {}).setdefault((one["bank"], one["currency"]), []).append(one)
    return visit.show("positions.html", tree=tree, totals=found["totals"], nodes=nodes, ahead=ahead, said=said)


def reconciliation_accounts(visit: PageRequest) -> Response:
    """Show the accounts that can be reconciled."""
    return visit.show("reconciliation-accounts.html", accounts=visit.query.get("accounts")["accounts"])


def reconciliation(visit: PageRequest) -> Response:
    """Show one account's open rows side by side, with the difference of the two sides and of the ticked rows."""
    found = visit.query.get("reconciliation", visit.part("ref"))
    sides = {name: _sides(*map(Decimal, one["open_sums"])) for name, one in found["matchings"].items()}
    ticked = {name: _ticked(name, one, set(visit.asked_all(name))) for name, one in found["matchings"].items()}
    return visit.show("reconciliation.html", found=found, sides=sides, ticked=ticked)


def _sides(ours: Decimal, banks: Decimal) -> Mapping[str, Decimal]:
    return {"ours": ours, "banks": banks, "difference": ours - banks}


def _ticked(name: str, one: Mapping[str, Any], asked: set[str]) -> Mapping[str, Any] | None:
    """The ticked open rows, and the difference of the two sides' sums; None if no row is ticked.

    If both sides agree, it gives the command that confirms them. Ids come from an ERP or a bank, so they are quoted for
    a shell.
    """
    entries, lines = ([row for row in one[side] if row["id"] in asked] for side in ("open_entries", "open_lines"))
    if not entries and not lines:
        return None
    sums = _sides(_signed_sum(entries), _signed_sum(lines))
    ids = [*(f"--entry={row['id']}" for row in entries), *(f"--line={row['id']}" for row in lines)]
    words = ["bankgw", "reconcile", "confirm", "ACCOUNT", "--matching", name, *ids]
    agree = entries and lines and not sums["difference"]
    return {**sums, "rows": {row["id"] for row in (*entries, *lines)}, "command": shlex.join(words) if agree else ""}


def _signed_sum(rows: Sequence[Mapping[str, Any]]) -> Decimal:
    """The sum of rows; money out is negative."""
    return sum((Decimal(row["amount"]) * (-1 if row["direction"] == "debit" else 1) for row in rows), Decimal())


# ---- reports ----


def reports(visit: PageRequest) -> Response:
    """Show the list of all reports."""
    forms = [(form.name, form.title(visit.language), form.about(visit.language)) for form in FORMS.values()]
    return visit.show("reports.html", forms=forms)


def report(visit: PageRequest) -> Response:
    """Show a page of one report as a table."""
    form = FORMS.get(visit.part("name"))
    if form is None:
        raise PageRefused(404, "no_page")
    asked = {name: visit.asked(name) or None for name in ("from", "to", "after")}
    page = visit.query.get("reports", form.name, **asked, limit=_PAGE_ROWS)
    rows = [[_cell(column, row, visit) for column in form.columns] for row in page["rows"]]
    return visit.show(
        "report.html",
        form=form,
        title=form.title(visit.language),
        about=form.about(visit.language),
        page=page,
        heads=[(column.heading(visit.language), column.kind in _RIGHT) for column in form.columns],
        rows=rows,
    )


def _cell(column: TableColumn, row: TableRow, visit: PageRequest) -> tuple[str, str]:
    """A cell's text and class. A reason of the gateway has a text; a reason of the bank is shown as a code."""
    text = written(column, row, visit.language)
    if column.key != "reason":
        return text, "number" if column.kind in _RIGHT else ""
    reasons = [visit.word("hold", one) for one in text.split(", ")]
    known = all(f"hold_{one}" in visit.site.texts for one in text.split(", "))
    return (", ".join(reasons), "") if known else (text, "code")


def report_csv(visit: PageRequest) -> Response:
    """The report as CSV, masked as on the page, without formulas. The audit trail notes who exported it."""
    form = FORMS.get(visit.part("name"))
    if form is None:
        raise PageRefused(404, "no_page")
    rows: list[Any] = []
    asked = {name: visit.asked(name) or None for name in ("from", "to")}
    visit.daemon.post("web", "exports", "reports", form.name, **{name: value for name, value in asked.items() if value})
    after: str | None = None
    for _ in range(_MOST_CSV_PAGES):
        page = visit.query.get("reports", form.name, **asked, after=after)
        rows += page["rows"]
        after = page["next"]
        if after is None:
            break
    else:
        raise PageRefused(413, "too_large")
    out = io.StringIO(newline="")
    to_csv(form, rows, visit.language, out)
    # The byte order mark tells spreadsheets that this is UTF-8.
    return Response(
        "\ufeff" + out.getvalue(),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{form.name}.csv"'},
    )


# ---- people ----


def people(visit: PageRequest) -> Response:
    """Show persons with their roles, and the policy in force."""
    said = visit.query.get("roles") if visit.may("GET /roles") else None
    policies = visit.query.get("policy")["policies"]
    given = visit.query.get("delegations")["delegations"]
    return visit.show("people.html", said=said, policy=policies[0] if policies else None, delegations=given)


def audit(visit: PageRequest) -> Response:
    """Show the audit trail, newest first."""
    about, actor, after = (visit.asked(name) for name in ("object", "actor", "after"))
    found = visit.query.get("audit", object=about or None, actor=actor or None, after=after or None)
    return visit.show("audit.html", found=found, object=about, actor=actor)
