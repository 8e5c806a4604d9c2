"""The canonical form of a payment or a batch, version 1, and its SHA-256, to which an approval is bound.

The form has every fact that decides where money goes, how much, from which account, and when, so that a change of any
of them changes the digest. The bank's date is not in it, because it is known only at sending.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

FORM = "bankgw approval 1"
"""The version of the form. A new fact, or another way to write one, is another version; old ones stay readable."""
PAY = "payment.approve"
_HIDING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


class BadForm(ValueError):
    """Bytes that are not a canonical form of a version known here, or facts that cannot be written as one."""


@dataclass(frozen=True, slots=True)
class ApprovalLine:
    """One payment in a request for approval. `amount_minor` is in minor units of `currency`; bank facts are "" if not
    given."""

    order: str
    debtor_account: str
    payee_name: str
    payee_account: str
    payee_bank: str
    payee_cnaps: str
    amount_minor: int
    currency: str
    purpose: str


@dataclass(frozen=True, slots=True)
class ApprovalSubject:
    """Everything that an approval is bound to: a payment is one line, a batch has one line for each item, in order.

    `environment` is `test` or `live`, `instance` names the journal, `nonce` the request for approval. Times are
    milliseconds of UTC, None if open. `policy` is the version of the approval policy. `linked` says in words which
    other legs this approval covers.
    """

    environment: str
    instance: str
    verb: str
    nonce: str
    sender: str
    kind: str
    channel: str
    fee_bearer: str
    maker: str
    not_before_ms: int | None
    valid_until_ms: int | None
    policy: int
    lines: tuple[ApprovalLine, ...]
    linked: tuple[str, ...] = ()

    @property
    def sums(self) -> Mapping[str, int]:
        """The sum of all lines in minor units, by currency."""
        found: dict[str, int] = {}
        for line in self.lines:
            found[line.currency] = found.get(line.currency, 0) + line.amount_minor
        return found


def canonical(subject: ApprovalSubject) -> bytes:
    """The canonical form of the subject: JSON in ASCII without spaces, facts in the order of their declaration.

    Raises BadForm for a subject without lines, a line said twice, an amount that is not more than 0, and text with
    control characters, which no person could see.
    """
    if not subject.lines:
        raise BadForm("there is nothing to approve")
    if len({line.order for line in subject.lines}) != len(subject.lines):
        raise BadForm("an order is named twice")
    facts: list[object] = [FORM]
    for one in fields(subject):
        value = getattr(subject, one.name)
        facts.append([list(_facts(line)) for line in value] if one.name == "lines" else _plain(one.name, value))
    return json.dumps(facts, ensure_ascii=True, separators=(",", ":")).encode("ascii")


def digest(octets: bytes) -> str:
    """The SHA-256 of a canonical form, hex: the digest that approvers sign."""
    return hashlib.sha256(octets).hexdigest()


def parse(octets: bytes) -> ApprovalSubject:
    """Parse a canonical form. Raises BadForm unless writing its subject again gives the same bytes."""
    try:
        form, *facts = json.loads(octets)
    except (ValueError, TypeError):
        raise BadForm("not a canonical form") from None
    names = [one.name for one in fields(ApprovalSubject)]
    if form != FORM or len(facts) != len(names):
        raise BadForm(f"not of the form {FORM!r}")
    given = dict(zip(names, facts, strict=True))
    try:
        lines = tuple(ApprovalLine(*line) for line in given.pop("lines"))
        found = ApprovalSubject(**{**given, "lines": lines, "linked": tuple(given["linked"])})
        same = canonical(found) == octets
    except (TypeError, AttributeError):
        raise BadForm("not a canonical form") from None
    if not same:
        raise BadForm("the value is not written in its canonical form")
    return found


def _facts(line: ApprovalLine) -> Sequence[object]:
    if type(line.amount_minor) is not int or line.amount_minor <= 0:
        raise BadForm(f"order {line.order}: the amount is not more than 0")
    return [_plain(one.name, getattr(line, one.name)) for one in fields(line)]


def _plain(name: str, value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(name, one) for one in value]
    if isinstance(value, str):
        # Line breaks and direction marks can hide or reverse the text beside them; the signed text escapes all other
        # unprintable characters.
        if not value.isprintable() and any(unicodedata.category(one) in _HIDING for one in value):
            raise BadForm(f"{name} has characters that cannot be shown")
        return value
    if value is None or type(value) is int:
        return value
    raise BadForm(f"{name} is of a type that has no canonical form")
