"""Options, profile and code table: the message about each wrong setting, and outcomes that the table may never have."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from gateway.kernel.core.policy import Route, check
from protocols.bank import BadOptions, Replay
from protocols.banks import citic
from protocols.banks.citic.options import Options
from protocols.banks.citic.table import meanings
from protocols.canon.errors import FieldCode
from protocols.canon.order import Channel, Kind
from protocols.canon.party import AccountNumber, Name, Party
from protocols.kit.choices import names
from tests.protocols.banks.citic.paper import OPTIONS, OURS, THEIRS, TODAY, bank, order

FOLDER = Path(citic.__file__).parent


@pytest.mark.parametrize(
    ("key", "given"),
    [
        ("login", ""),
        ("login", "用户𬭎"),
        ("login", "u" * 31),
        ("receipt_type", "7"),
        ("probe_account", 17),
        ("http_path", "x"),
        ("city_flag", "2"),
        ("own_names", "中信"),
        ("batch_lines", 10_000),
        ("payroll_message", "8"),
        ("codes", {"failed": ["TWIN001"]}),
        ("codes", {"refused": ["TWIN1"]}),
        ("codes", {"refused": ["ET00001"]}),
        ("codes", {"refused": ["EEEEEEE"]}),
        ("codes", {"refused": ["AAAAAAA"]}),
        ("codes", {"refused": ["TWIN001"], "duplicate": ["TWIN001"]}),
        ("not_found_quarantine_s", 60),
        ("probe_every_s", 3600),
        ("window", 0),
        ("colour", "red"),
        ("holidays", "2026-10-01"),
        ("holidays", ["2026-02-30"]),
        ("holidays", ["20261001"]),
        ("holidays", [1]),
    ],
)
def test_a_wrong_option_is_named_with_its_remedy(key: str, given: object) -> None:
    with pytest.raises(BadOptions) as caught:
        citic.build({**OPTIONS, key: given})
    assert caught.value.key == key
    assert caught.value.remedy


@pytest.mark.parametrize("key", ["login", "probe_account"])
def test_what_must_be_there_is_asked_for(key: str) -> None:
    with pytest.raises(BadOptions) as caught:
        citic.build({name: value for name, value in OPTIONS.items() if name != key})
    assert caught.value.key == key


def test_the_profile_says_what_the_page_says() -> None:
    adapter = bank()
    profile = adapter.profile
    assert (profile.name, profile.page_lines, profile.limits.reference.length) == ("citic", 20, 20)
    kinds = {Kind.PAYMENT, Kind.TRANSFER, Kind.BATCH_ITEM, Kind.PAYROLL_ITEM, Kind.COLLECTION}
    assert set(adapter.money) | set(adapter.bundles) == kinds == set(profile.replay)
    assert {rule.policy for rule in profile.replay.values()} == {Replay.NEVER}
    limits = {one.at: one.max_bytes for one in profile.limits.fields}
    assert (limits["/purpose"], limits["/creditor/name"], limits["/debtor/account"]) == (102, 122, 19)
    assert Channel.INSTANT not in profile.limits.channels
    assert not adapter.ports["business"].kept
    assert set(bank(collections=False).bundles) == {Kind.BATCH_ITEM, Kind.PAYROLL_ITEM}


def faults(given: Any, limits: Any) -> list[tuple[str, FieldCode]]:
    route = Route(OURS, "demo", "citic", "citic.main", "CNY", limits, frozenset(Kind))
    return [(fault.at, fault.code) for fault in check(given, route, TODAY)]


def test_lengths_are_bytes_and_differ_by_kind() -> None:
    profile = bank().profile
    assert faults(order(purpose="长" * 51), profile.limits) == []
    assert faults(order(purpose="长" * 52), profile.limits) == [("/purpose", FieldCode.TOO_LONG)]
    assert faults(order(purpose="长" * 41), profile.kind_limits[Kind.COLLECTION]) == [("/purpose", FieldCode.TOO_LONG)]
    assert faults(order(purpose="𬭎"), profile.limits) == [("/purpose", FieldCode.CHARSET)]
    assert faults(order(purpose=""), profile.limits) == [("/purpose", FieldCode.REQUIRED)]
    assert faults(order(purpose=""), profile.kind_limits[Kind.PAYROLL_ITEM]) == []
    without = order(creditor=Party(AccountNumber(THEIRS), Name("乙"), "示例银行"))
    assert faults(without, profile.limits) == [("/creditor/cnaps", FieldCode.REQUIRED)], "or people pay it by hand"
    known = order(creditor=Party(AccountNumber(THEIRS), Name("乙"), "中国工商银行某支行"))
    assert faults(known, profile.limits) == [], "the number of its head office is known"
    assert faults(without, profile.kind_limits[Kind.BATCH_ITEM]) == [("/creditor/cnaps", FieldCode.REQUIRED)]
    assert faults(order(channel=Channel.INSTANT), profile.limits) == [("/channel", FieldCode.UNSUPPORTED)]


def test_the_table_never_lets_the_answer_to_handing_in_decide() -> None:
    rows = meanings({}).table.rows
    assert {row.outcome for row in rows if row.operation == "submit"} == {"pending", "in_doubt"}
    of_money = [row for row in rows if row.operation in ("submit", "status", "batch", "collection", "*")]
    assert {row.layer for row in of_money if row.outcome in ("settled", "failed")} == {"row", "stt"}
    assert all(row.operation != "*" for row in rows if row.outcome in ("settled", "failed"))
    assert all(row.source for row in rows)


def test_the_annotated_settings_build_the_bank() -> None:
    settings = tomllib.loads((FOLDER.parents[2] / "conf" / "conf.d" / "citic.toml").read_text("utf-8"))
    assert citic.build(settings["banks"]["citic"]["options"]).profile.name == "citic"


def test_every_option_stands_in_the_readme() -> None:
    readme = (FOLDER / "README.md").read_text("utf-8")
    assert not [name for name in names(Options) if f"`{name}`" not in readme]
