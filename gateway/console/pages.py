"""The console's pages: each asks the query process or the daemon for this person, and shows the answer."""

from __future__ import annotations

import io
import re
import shlex
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from starlette.responses import Response

from gateway.console import joint_test_pages, oidc_pages, treasury_pages, work_pages
from gateway.console.code_texts import said
from gateway.control.client import Refused
from gateway.treasury.reports.forms import FORMS
from gateway.treasury.reports.table import CellKind, TableColumn, TableRow, written
from gateway.treasury.reports.written import to_csv
from gateway.web.site import PageRefused, PageVisit, WebRoute

_PAGE_ROWS = 50
_MOST_CSV_PAGES = 50
_RUN = re.compile(r"[\w-]+\.[0-9]{8}\.[\w-]+", re.ASCII)
"""A run of a pool: its name, the day and the slot."""
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
        WebRoute("POST", "/approvals/{key}/renew", renew),
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


def sign_in_form(visit: PageVisit) -> Response:
    """Name, password, code; or a passkey."""
    return visit.show("sign-in.html", why="", name="")


def sign_in(visit: PageVisit) -> Response:
    """Try to sign in."""
    given = {name: visit.form.get(name, "") for name in ("person", "password", "one_time_code")}
    try:
        said = visit.daemon.post("web", "sign-in", **given)
    except Refused as error:
        return visit.show("sign-in.html", error.status, why=str(error), name=given["person"][:40])
    visit.sign_in_with(said["token"])
    return visit.go("/")


def sign_out(visit: PageVisit) -> Response:
    """End the session, for the gateway and in the browser."""
    visit.daemon.post("web", "sign-out")
    visit.sign_out()
    return visit.go("/sign-in")


# ---- looking ----


def overview(visit: PageVisit) -> Response:
    """Money at risk, what waits, and the lanes. What a role may not see is left out."""
    found = visit.query.get("overview") if visit.may("GET /overview") else None
    waiting = visit.query.get("approvals") if visit.may("GET /approvals") else None
    machine = visit.daemon.get("lanes")
    work = visit.query.get("worklists") if visit.may("GET /worklists") else None
    return visit.show("overview.html", found=found, waiting=waiting and waiting["approvals"], lanes=machine["lanes"],
                      stop=machine["stop"], work=work)  # fmt: skip


def search(visit: PageVisit) -> Response:
    """Whatever bears an id."""
    text = visit.asked("q")
    if _RUN.fullmatch(text) and visit.may("GET /liquidity-runs/{}") and _is_run(visit, text):
        return visit.go(f"/liquidity-runs/{text}")
    found = visit.query.get("search", q=text) if text else {"payments": [], "request": None}
    if text and len(found["payments"]) == 1 and found["request"] is None:
        return visit.go(f"/payments/{found['payments'][0]['payment']}")
    return visit.show("search.html", text=text, found=found)


def _is_run(visit: PageVisit, key: str) -> bool:
    try:
        visit.query.get("liquidity-runs", key)
    except Refused as error:
        if error.status != 404:
            raise
        return False
    return True


def payments(visit: PageVisit) -> Response:
    """Payments, newest first, by state."""
    state, after = visit.asked("state"), visit.asked("after")
    batch, sender = visit.asked("batch"), visit.asked("sender")
    found = visit.query.get("orders", state=state or None, after=after or None, batch=batch or None,
                            sender=sender or None, limit=_PAGE_ROWS)  # fmt: skip
    return visit.show("payments.html", found=found, state=state, batch=batch, sender=sender)


def payment(visit: PageVisit) -> Response:
    """One payment with all that happened."""
    return _payment(visit)


def reveal(visit: PageVisit) -> Response:
    """The same with account numbers and names; the daemon notes who looked."""
    return _payment(visit, visit.daemon.post("web", "orders", visit.part("key"), "reveal"))


def _payment(visit: PageVisit, clear: Mapping[str, Any] | None = None) -> Response:
    return _shown_payment(visit, visit.query.get("orders", visit.part("key")), clear, messages=False)


def _shown_payment(visit: PageVisit, found: Any, clear: Mapping[str, Any] | None, *, messages: bool) -> Response:
    if "payment" not in found:
        raise PageRefused(404, "no_page")
    requests: list[Any] = []
    if visit.may("GET /approvals"):
        for subject in {found["id"], found.get("batch")} - {None}:
            requests += visit.query.get("approvals", all="yes", sender=found["sender"], subject=subject)["approvals"]
    told = [one for one in found["timeline"] if one["what"] == "told"]
    return visit.show("payment.html", found=found, clear=clear, messages=messages, requests=requests, told=told)


def payment_bytes(visit: PageVisit) -> Response:
    """The bytes that went and came: only the daemon knows a lane's passwords, and cuts them out."""
    return _shown_payment(visit, visit.daemon.get("orders", visit.part("key")), None, messages=True)


def approvals(visit: PageVisit) -> Response:
    """What waits for approval, or all requests."""
    every = visit.asked("all") == "yes"
    found = visit.query.get("approvals", all="yes" if every else None, after=visit.asked("after") or None)
    return visit.show("approvals.html", found=found, every=every)


def approval(visit: PageVisit) -> Response:
    """One request, and the way to the page on which it is decided."""
    return visit.show("approval.html", one=_request(visit), words=None)


def approval_words(visit: PageVisit) -> Response:
    """The words of a request; the daemon notes who looked. What is signed is shown by the approval page alone."""
    said = visit.daemon.get("approvals", visit.part("key"))
    return visit.show("approval.html", one=said, words=said["words"][visit.language])


def renew(visit: PageVisit) -> Response:
    """Ask anew about a request that expired."""
    made = visit.daemon.post("approvals", visit.part("key"), "renew")
    return visit.go(f"/approvals/{made['request']}")


def _request(visit: PageVisit) -> Any:
    found = visit.query.get("approvals", all="yes", request=visit.part("key"))["approvals"]
    if not found:
        raise PageRefused(404, "no_page")
    return found[0]


def positions(visit: PageVisit) -> Response:
    """Own accounts as the register's tree with subtotals and what is known to come; then by company, bank and
    currency, with the day's entries."""
    found, nodes = visit.query.get("today"), visit.query.get("positions")
    ahead = [(one["currency"], one["forecast"]) for one in nodes["totals"]
             if (one["company"], one["bank"]) == ("*", "*") and one["forecast"]]  # fmt: skip
    tree: dict[str, dict[tuple[str, str], list[Any]]] = {}
    for one in found["accounts"]:
        tree.setdefault(one["company"], {}).setdefault((one["bank"], one["currency"]), []).append(one)
    return visit.show("positions.html", tree=tree, totals=found["totals"], nodes=nodes, ahead=ahead, said=said)


def reconciliation_accounts(visit: PageVisit) -> Response:
    """The accounts that can be reconciled."""
    return visit.show("reconciliation-accounts.html", accounts=visit.query.get("accounts")["accounts"])


def reconciliation(visit: PageVisit) -> Response:
    """One account's open rows side by side, with the difference of the two sides, and of the rows that are ticked."""
    found = visit.query.get("reconciliation", visit.part("ref"))
    sides = {name: _sides(*map(Decimal, one["open_sums"])) for name, one in found["matchings"].items()}
    ticked = {name: _ticked(name, one, set(visit.asked_all(name))) for name, one in found["matchings"].items()}
    return visit.show("reconciliation.html", found=found, sides=sides, ticked=ticked)


def _sides(ours: Decimal, banks: Decimal) -> Mapping[str, Decimal]:
    return {"ours": ours, "banks": banks, "difference": ours - banks}


def _ticked(name: str, one: Mapping[str, Any], asked: set[str]) -> Mapping[str, Any] | None:
    """The open rows that are ticked and the difference of the two sides' sums; None without any. Where both sides
    agree, the command that confirms them: ids are an ERP's or a bank's words, and quoted for a shell."""
    entries, lines = ([row for row in one[side] if row["id"] in asked] for side in ("open_entries", "open_lines"))
    if not entries and not lines:
        return None
    sums = _sides(_signed_sum(entries), _signed_sum(lines))
    ids = [*(f"--entry={row['id']}" for row in entries), *(f"--line={row['id']}" for row in lines)]
    words = ["bankgw", "reconcile", "confirm", "ACCOUNT", "--matching", name, *ids]
    agree = entries and lines and not sums["difference"]
    return {**sums, "rows": {row["id"] for row in (*entries, *lines)}, "command": shlex.join(words) if agree else ""}


def _signed_sum(rows: Sequence[Mapping[str, Any]]) -> Decimal:
    """Money paid is negative."""
    return sum((Decimal(row["amount"]) * (-1 if row["direction"] == "debit" else 1) for row in rows), Decimal())


# ---- reports ----


def reports(visit: PageVisit) -> Response:
    """The reports there are."""
    forms = [(form.name, form.title(visit.language), form.about(visit.language)) for form in FORMS.values()]
    return visit.show("reports.html", forms=forms)


def report(visit: PageVisit) -> Response:
    """A page of one report, as a table."""
    form = FORMS.get(visit.part("name"))
    if form is None:
        raise PageRefused(404, "no_page")
    asked = {name: visit.asked(name) or None for name in ("from", "to", "after")}
    page = visit.query.get("reports", form.name, **asked, limit=_PAGE_ROWS)
    rows = [[_cell(column, row, visit) for column in form.columns] for row in page["rows"]]
    return visit.show(
        "report.html", form=form, title=form.title(visit.language), about=form.about(visit.language), page=page,
        heads=[(column.heading(visit.language), column.kind in _RIGHT) for column in form.columns], rows=rows,
    )  # fmt: skip


def _cell(column: TableColumn, row: TableRow, visit: PageVisit) -> tuple[str, str]:
    """A cell's text and class. A reason is the gateway's, and has a word, or the bank's, and is shown as a code."""
    text = written(column, row, visit.language)
    if column.key != "reason":
        return text, "number" if column.kind in _RIGHT else ""
    reasons = [visit.word("hold", one) for one in text.split(", ")]
    known = all(f"hold_{one}" in visit.site.texts for one in text.split(", "))
    return (", ".join(reasons), "") if known else (text, "code")


def report_csv(visit: PageVisit) -> Response:
    """The report as CSV, masked as on the page. No cell is a formula. The daemon notes who took it."""
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
    # The mark of the byte order tells spreadsheets that this is UTF-8.
    return Response("\ufeff" + out.getvalue(), media_type="text/csv; charset=utf-8",
                    headers={"Content-Disposition": f'attachment; filename="{form.name}.csv"'})  # fmt: skip


# ---- people ----


def people(visit: PageVisit) -> Response:
    """Who has which roles, and the policy in force."""
    said = visit.query.get("roles") if visit.may("GET /roles") else None
    policies = visit.query.get("policy")["policies"]
    given = visit.query.get("delegations")["delegations"]
    return visit.show("people.html", said=said, policy=policies[0] if policies else None, delegations=given)


def audit(visit: PageVisit) -> Response:
    """The audit trail, newest first."""
    about, actor, after = (visit.asked(name) for name in ("object", "actor", "after"))
    found = visit.query.get("audit", object=about or None, actor=actor or None, after=after or None)
    return visit.show("audit.html", found=found, object=about, actor=actor)

