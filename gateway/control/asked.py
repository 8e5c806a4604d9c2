"""Reads an act's parameters from a request, and makes a verb of each answered act, at the act's path."""

from __future__ import annotations

from datetime import date
from typing import Any, cast

from gateway.act import Act, ActParam, params_of
from gateway.call import ActAnswers, Call, Denied, PlainAnswer, TypedAnswer
from gateway.control.register import REGISTER
from gateway.control.server import Verb

_MOST_TEXT = 500


def verbs_of(given: ActAnswers) -> tuple[Verb, ...]:
    """The verbs for the answered acts, each at its act's path. AssertionError for a code that is not in the
    register."""
    assert not given.keys() - REGISTER.keys(), f"no such acts: {sorted(given.keys() - REGISTER.keys())}"
    return tuple(_verb(act, given[act.code]) for act in REGISTER.values() if act.code in given)


def _verb(act: Act, answer: PlainAnswer | TypedAnswer) -> Verb:
    group = act.everybody or bool(act.roles)
    if act.params is None:
        return Verb(act.method, act.pattern, cast(PlainAnswer, answer), group, act.most_bytes)
    typed = cast(TypedAnswer, answer)

    async def asked(call: Call) -> Any:
        return await typed(call, params_from(act, call))

    return Verb(act.method, act.pattern, asked, group, act.most_bytes)


def params_from(act: Act, call: Call) -> Any:
    """The request's parameters as an instance of the act's class. Raises Denied for one that is missing or cannot be
    read.
    """
    assert act.params is not None, f"{act.code} has no parameters"
    places = dict(zip(act.path_params, call.parts, strict=True))
    return act.params(**{one.name: places[one.name] if one.in_path else _read(one, call) for one in params_of(act)})


def _read(one: ActParam, call: Call) -> Any:
    if one.form.clear:
        return call.clear
    in_query = one.wire in call.query
    given = call.query[one.wire] if in_query else call.body.get(one.wire)
    if one.type is str and one.required:
        return _text(one, given)
    if given is None and not one.required:
        return one.default
    if one.type in (int, int | None, float):
        return _number(one, given)
    if given is None:
        raise Denied(400, "missing", f"`{one.wire}` is missing")
    if one.type is bool:
        return given not in ("0", "") if in_query else _switch(one, given)
    if one.type == tuple[str, ...]:
        return _texts(one, given)
    if not isinstance(given, str):
        raise Denied(400, one.form.bad, f"`{one.wire}` must be text")
    return _day(one, given) if one.type == date | None else given


def _text(one: ActParam, given: object) -> str:
    if not isinstance(given, str) or not given.strip():
        raise Denied(400, "missing", f"`{one.wire}` is missing; give it as text: it is kept in the audit trail")
    return given.strip()[:_MOST_TEXT]


def _number(one: ActParam, given: Any) -> float | int:
    least, most = one.form.least, one.form.most
    try:
        value = float(given)
    except (TypeError, ValueError):
        raise Denied(400, "bad_number", f"`{one.wire}` must be a number") from None
    # "Not a number" is neither above nor below a limit, so it is refused here.
    above = value > 0 if least is None else value >= least
    if not above or not (most is None or value <= most) or value == float("inf"):
        lower = "more than 0" if least is None else f"{least:g} or more"
        raise Denied(
            400, "bad_number", f"`{one.wire}` must be {lower}" + ("" if most is None else f", at most {most:g}")
        )
    return value if one.type is float else int(value)


def _day(one: ActParam, given: str) -> date:
    try:
        return date.fromisoformat(given)
    except ValueError:
        raise Denied(400, "bad_day", f"`{one.wire}` is a day as 2026-11-30, not {given!r}") from None


def _switch(one: ActParam, given: object) -> bool:
    if not isinstance(given, bool):
        raise Denied(400, "bad_switch", f"`{one.wire}` must be true or false")
    return given


def _texts(one: ActParam, given: object) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given) or len(given) > 200:
        raise Denied(400, "bad_rows", f"`{one.wire}` is a list of at most 200 ids")
    return tuple(given)
