"""Orders and bodies for the tests of this package: one good body, and strategies for orders of any kind."""

from __future__ import annotations

import json
from base64 import b64encode
from copy import deepcopy
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

from protocols.canon.money import Money
from protocols.canon.order import (
    AnyOrder,
    BatchItemDetail,
    Channel,
    CollectionDetail,
    Order,
    PaymentDetail,
    PayrollItemDetail,
    TransferDetail,
    Urgency,
)
from protocols.canon.party import AccountNumber, Name, Party, PartyKind
from protocols.erp import examples

BODY = examples.commands()["payment.submit"]


def changed(**fields: Any) -> dict[str, Any]:
    """The example order with these top-level fields replaced; `...` removes one."""
    body = deepcopy(BODY)
    for name, value in fields.items():
        if value is ...:
            del body[name]
        else:
            body[name] = value
    return body


def as_json(body: Any) -> bytes:
    """`body` in the form in which an ERP sends it."""
    return json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")


_letters = st.characters(codec="utf-8", categories=("L", "N", "P", "S"), exclude_characters="")


def _texts(max_size: int, min_size: int = 1) -> st.SearchStrategy[str]:
    return (
        st.text(_letters | st.just(" "), min_size=min_size, max_size=max_size)
        .map(str.strip)
        .filter(lambda text: len(text) >= min_size)
    )


ids = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=64)
accounts = st.from_regex(r"[0-9A-Za-z][0-9A-Za-z-]{0,39}", fullmatch=True)
tags = st.dictionaries(st.from_regex(r"[0-9A-Za-z_][0-9A-Za-z_.-]{0,20}", fullmatch=True), _texts(40, 0), max_size=20)
zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
times = st.datetimes(datetime(2001, 1, 1), datetime(2998, 1, 1), timezones=zones).map(
    lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000)
)


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    """Valid bodies of `payment.submit`, with or without each optional field, in any order."""

    def party() -> dict[str, Any]:
        return draw(
            st.fixed_dictionaries(
                {"account": accounts, "name": _texts(140)},
                optional={
                    "bank_name": _texts(140),
                    "cnaps": st.from_regex(r"[0-9]{12}", fullmatch=True),
                    "kind": st.sampled_from(["corporate", "person"]),
                },
            )
        )

    end = draw(times)
    start = end - draw(st.integers(1, 10**9).map(lambda ms: timedelta(milliseconds=ms)))
    minor = draw(st.integers(1, 10**17 - 1))
    body = draw(
        st.fixed_dictionaries(
            {"id": ids, "amount": st.just(str(Money(minor))), "currency": st.just("CNY")},
            optional={
                "purpose": _texts(200, 0),
                "urgency": st.sampled_from([u.value for u in Urgency]),
                "channel": st.sampled_from([c.value for c in Channel]),
                "valid_until": st.just(end.isoformat()),
                "not_before": st.just(start.isoformat()),
                "tags": tags,
                "maker": st.from_regex(r"[a-z][a-z0-9_.-]{0,30}", fullmatch=True),
                "maker_signature": st.binary(min_size=64, max_size=64).map(lambda octets: b64encode(octets).decode()),
            },
        )
    )
    body |= {"debtor": party(), "creditor": party()}
    names = draw(st.permutations(sorted(body)))
    return {name: body[name] for name in names}


_parties = st.builds(
    Party,
    accounts.map(AccountNumber),
    _texts(20).map(Name),
    st.none() | _texts(20),
    st.none() | st.from_regex(r"[0-9]{12}", fullmatch=True),
    st.sampled_from(PartyKind),
)
_details = st.one_of(
    st.just(PaymentDetail()),
    st.builds(TransferDetail, st.sampled_from(["transfer", "sweep", "push"])),
    st.builds(BatchItemDetail, ids, st.integers(1, 10_000)),
    st.builds(
        PayrollItemDetail,
        ids,
        st.integers(1, 10_000),
        st.none() | ids,
        st.none() | ids,
        st.none() | _texts(20).map(Name),
    ),
    st.builds(CollectionDetail, ids, st.none() | ids, st.none() | st.integers(1, 10_000)),
)
orders: st.SearchStrategy[AnyOrder] = st.builds(
    Order,
    ids,
    _parties,
    _parties,
    st.integers(1, 10**18).map(Money),
    _details,
    _texts(20, 0),
    st.sampled_from(Urgency),
    st.sampled_from(Channel),
    st.none() | times,
    st.none() | times,
    tags,
)

ORDER: AnyOrder = Order(
    "AP-1",
    Party(AccountNumber("0017"), Name("甲")),
    Party(AccountNumber("0025"), Name("乙")),
    Money(1234567),
    PaymentDetail(),
    "货款",
    valid_until=datetime(2026, 11, 24, 9, tzinfo=UTC),
)


@st.composite
def batches(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A command with many orders, by name, and a valid body of it."""
    name = draw(st.sampled_from(["batch.submit", "payroll.submit", "collection.submit"]))
    named = draw(st.lists(ids, min_size=2, max_size=7, unique=True))
    minors = draw(st.lists(st.integers(1, 10**12), min_size=len(named) - 1, max_size=len(named) - 1))
    party = st.fixed_dictionaries({"account": accounts, "name": _texts(20)}, optional={"bank_name": _texts(20)})
    theirs = "debtor" if name == "collection.submit" else "creditor"
    items = [
        {"id": id_, "amount": str(Money(minor)), theirs: draw(party)}
        | draw(st.fixed_dictionaries({}, optional={"purpose": _texts(20, 0), "tags": tags}))
        for id_, minor in zip(named[1:], minors, strict=True)
    ]
    head = {"id": named[0], "count": len(items), "sum": str(Money(sum(minors))), "currency": "CNY", "items": items}
    ours = "creditor" if name == "collection.submit" else "debtor"
    must = {ours: party} | ({"agreement": _texts(20)} if name == "collection.submit" else {})
    may = {"on_item_error": st.sampled_from(["refuse_batch", "refuse_item"]), "purpose": _texts(20, 0), "tags": tags}
    if name == "payroll.submit":
        may |= {"agreement": _texts(20), "purpose_code": _texts(8)}
    return name, draw(
        st.permutations(sorted((head | draw(st.fixed_dictionaries(must, optional=may))).items())).map(dict)
    )
