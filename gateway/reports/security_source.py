"""The rows of the quarterly security review: access to confirm, access that ends, and changes."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, func, select

from gateway.approvals.rows import approval_policies
from gateway.kernel.sql import schema
from gateway.people.rows import delegations, persons
from gateway.people.rows.persons import Person
from gateway.reports.sources import ReportPage, ReportQuestion
from gateway.reports.table import TableRow

DORMANT_DAYS = 90
_DAY_MS = 86_400_000
_A, _D = schema.audit.c, schema.approvals.c
NEXT_STEPS = {
    "dormant": "confirm that the access is needed, or deactivate: bankgw persons deactivate",
    "to be confirmed": "confirm that roles and scope are still right, or change them: bankgw roles set",
    "waiting": "let the person in, or remove: bankgw persons admit, remove",
    "stands in": "confirm that the delegation is still needed, or end it: bankgw delegations end",
    "ends soon": "get the next certificate: bankgw certificates rotate",
    "changed": "compare with what two persons signed: bankgw policy show",
}
"""The one next step of each finding."""


def security_review(conn: Connection, asked: ReportQuestion, after: str | None) -> ReportPage:
    """Persons, delegations and certificates at present, and the policies that came into force in the period."""
    rows = [*_persons(conn, asked), *_delegations(conn, asked), *_certificates(asked), *_policies(conn, asked)]
    return ReportPage([{**row, "next_step": NEXT_STEPS.get(str(row["finding"]))} for row in rows])


def _persons(conn: Connection, asked: ReportQuestion) -> Iterator[TableRow]:
    for person in persons.everyone(conn):
        if person.deactivated:
            continue
        seen_ms = _seen(conn, person)
        quiet_ms = asked.now_ms - max(seen_ms or 0, person.at_ms)
        finding = (
            "waiting"
            if not person.enrolled
            else "dormant"
            if quiet_ms > DORMANT_DAYS * _DAY_MS
            else ("to be confirmed")
        )
        yield {
            "about": "person",
            "subject": person.name,
            "detail": person.grants.text(),
            "finding": finding,
            "since": asked.moment(person.at_ms),
            "seen": asked.moment(seen_ms),
        }


def _seen(conn: Connection, person: Person) -> int | None:
    """The time of the person's last sign-in or decision about a payment."""
    signed_in = select(func.max(_A.at_ms)).where(_A.object_id == f"person:{person.name}", _A.entry == "sign_in.done")
    decided = select(func.max(_D.at_ms)).where(_D.person == person.name)
    found = [conn.execute(one).scalar() for one in (signed_in, decided)]
    return max((int(at_ms) for at_ms in found if at_ms is not None), default=None)


def _delegations(conn: Connection, asked: ReportQuestion) -> Iterator[TableRow]:
    for row in delegations.in_force(conn, asked.now_ms):
        given = row.given
        yield {
            "about": "delegation",
            "subject": given.delegator,
            "detail": f"{given.delegate}: {row.reason}",
            "finding": "stands in",
            "since": asked.moment(given.from_ms),
            "until": asked.moment(given.until_ms),
        }


def _certificates(asked: ReportQuestion) -> Iterator[TableRow]:
    for (bank, role), ends_s in sorted(asked.certificates.items()):
        soon = ends_s * 1000 - asked.now_ms < DORMANT_DAYS * _DAY_MS
        yield {
            "about": "certificate",
            "subject": bank,
            "detail": role,
            "finding": "ends soon" if soon else "",
            "until": asked.moment(int(ends_s * 1000)),
        }


def _policies(conn: Connection, asked: ReportQuestion) -> Iterator[TableRow]:
    for row in approval_policies.listing(conn, 200):
        if asked.from_ms <= row.at_ms < asked.before_ms:
            yield {
                "about": "policy",
                "subject": str(row.policy.version),
                "detail": f"proposal {row.proposal}",
                "finding": "changed",
                "since": asked.moment(row.at_ms),
            }
