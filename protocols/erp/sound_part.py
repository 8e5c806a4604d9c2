"""The sound part of a body that was refused for its form: the command with a stand-in for every field with a fault.

The register's checks are made on it, so that one answer reports both an unknown account and a missing field. The
command is never carried out. `may_stand` says which of the found faults are about sound fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, tzinfo
from typing import Any

from pydantic import ValidationError

from protocols.canon.errors import Fault, FieldCode, Refusal
from protocols.canon.money import BadMoney, Money
from protocols.erp import json_form, xml_form
from protocols.erp.commands import Media, media
from protocols.erp.form import Contradiction
from protocols.erp.forms import FORMS
from protocols.erp.iso import reading
from protocols.erp.json_form import Malformed
from protocols.erp.words import BATCHES, SINGLE_ORDERS, CommandType, SubmitBatch, SubmitOrder

_ORDERS = SINGLE_ORDERS | BATCHES | {CommandType.PAYMENT_VALIDATE}
_TRIES = 8
"""A stand-in can uncover a fault between fields, so the body is read anew until it is sound; this often at most."""
_PARTY = {"account": "0000", "name": "-"}
_STAND_INS: dict[str, Any] = {
    **_PARTY,
    "creditor": _PARTY,
    "debtor": _PARTY,
    "amount": "1",
    "sum": "1",
    "count": 1,
    "currency": "CNY",
}
_DECIDES_OTHERS = ("/channel", "/urgency", "/debtor/kind", "/creditor/kind", "/terms")
"""Fields whose values decide whether a bank needs other fields."""


def sound_part(
    type_: CommandType, content_type: str | None, body: bytes, zone: tzinfo = UTC
) -> SubmitOrder | SubmitBatch | None:
    """The command in a body that `parse_command` refused for its form; None if its own account is not known, or if it
    is no order."""
    medium = media(content_type, body)
    if type_ not in _ORDERS or isinstance(medium, Refusal) or (medium is Media.XML and reading.is_file(body)):
        return None
    form = FORMS[type_]
    try:
        raw = json_form.parse(body) if medium is Media.JSON else xml_form.parse(body, type_.value, form)
    except Malformed:
        return None
    own = "creditor" if type_ is CommandType.COLLECTION_SUBMIT else "debtor"
    for _ in range(_TRIES):
        if not isinstance(raw, dict):
            return None
        try:
            word = form.model_validate(raw).word()
        except Contradiction as error:
            places = [_steps(fault.at) for fault in error.faults]
        except ValidationError as error:
            places = [_fields(detail["loc"]) for detail in error.errors(include_url=False, include_input=False)]
        else:
            return word if isinstance(word, SubmitOrder | SubmitBatch) else None
        if {(own,), (own, "account")} & set(places) or not all(_mended(raw, place) for place in places):
            return None
        _add_up(raw)
    return None


def may_stand(found: Iterable[Fault], form_faults: Sequence[Fault]) -> tuple[Fault, ...]:
    """The faults of a sound part that do not depend on the values of the fields with faults of form."""
    faulty = {fault.at for fault in form_faults}
    decides = any(at.endswith(place) or f"{place}/" in at for at in faulty for place in _DECIDES_OTHERS)
    return tuple(one for one in found if not _touches(one, faulty) and not (decides and one.code is FieldCode.REQUIRED))


def _touches(fault: Fault, faulty: set[str]) -> bool:
    if fault.at.endswith(("/amount", "/sum")) and "/currency" in faulty:
        return True
    if fault.at == "/sum" and any(at.startswith("/items/") for at in faulty):
        return True
    # The whole command has the pointer "": a fault of it does not come from a field's value.
    return bool(fault.at) and any(
        at == fault.at or at.startswith(f"{fault.at}/") or fault.at.startswith(f"{at}/") for at in faulty
    )


def _fields(loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    return tuple(part for part in loc if part != "[key]")


def _steps(at: str) -> tuple[int | str, ...]:
    parts = (part.replace("~1", "/").replace("~0", "~") for part in at.split("/")[1:])
    return tuple(int(part) if part.isdecimal() else part for part in parts)


def _mended(raw: Any, place: tuple[int | str, ...]) -> bool:
    """Give this place a stand-in, or remove it if it may be absent. False if nothing can be done."""
    if not place:
        return False
    holder = raw
    for step in place[:-1]:
        try:
            holder = holder[step]
        except (LookupError, TypeError):
            return False
    name = place[-1]
    if isinstance(holder, list):
        # The place of an item is part of every pointer, so it is replaced and never removed.
        if not isinstance(name, int) or name >= len(holder):
            return False
        holder[name] = {"id": f"stand-in-{name}", "amount": "1", "creditor": dict(_PARTY), "debtor": dict(_PARTY)}
        return True
    if not isinstance(holder, dict):
        return False
    if name == "id":
        holder[name] = "-".join(["stand-in", *map(str, place[:-1])])
    elif name in _STAND_INS:
        stand_in = _STAND_INS[str(name)]
        before = holder.get(name)
        holder[name] = dict(stand_in) if isinstance(stand_in, dict) else stand_in
        if before == holder[name]:
            del holder[name]
    elif name in holder:
        del holder[name]
    else:
        return False
    return True


def _add_up(raw: dict[str, Any]) -> None:
    """Make count and sum of a batch those of its items, some of which are stand-ins."""
    items = raw.get("items")
    if not isinstance(items, list):
        return
    raw["count"] = len(items)
    try:
        amounts = [Money.parse(item["amount"], raw["currency"]) for item in items]
        raw["sum"] = str(Money(sum(one.minor for one in amounts), raw["currency"]))
    except (BadMoney, LookupError, TypeError, AttributeError):
        return
