"""Options, profile and code table: the message about each wrong setting, and outcomes that the code table may never
have."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from gateway.kernel.core.policy import Route, check
from protocols.bank import BadOptions, Replay
from protocols.banks import boc
from protocols.banks.boc.options import Options
from protocols.banks.boc.table import meanings
from protocols.canon.errors import FieldCode
from protocols.canon.order import Channel, Kind
from protocols.canon.party import AccountNumber, Name, Party
from protocols.kit.choices import names
from tests.protocols.banks.boc.paper import OPTIONS, OURS, THEIRS, TODAY, bank, order

FOLDER = Path(boc.__file__).parent


@pytest.mark.parametrize(
    ("key", "given"),
    [
        ("terminal", "192168001010"),
        ("customer", 100000001),
        ("branch", "4000"),
        ("branches", {OURS: "1"}),
        ("version", "130"),
        ("charset", "BIG5"),
        ("http_path", "x"),
        ("sign_on_tries", 5),
        ("sign_on_tries", 0),
        ("reference_chars", 21),
        ("currency", "RMB"),
        ("person_flags", ["1"]),
        ("person_account_type", "1"),
        ("batch_lines", 1001),
        ("codes", {"refused": ["B001"]}),
        ("codes", {"refused": ["B054"]}),
        ("codes", {"empty": ["1033"]}),
        ("codes", {"failed": ["TW02"]}),
        ("not_found_quarantine_s", 1),
        ("codes", {"refused": ["TW02"], "duplicate": ["TW02"]}),
        ("colour", "red"),
    ],
)
def test_a_wrong_option_is_named_with_its_remedy(key: str, given: object) -> None:
    with pytest.raises(BadOptions) as caught:
        boc.build({**OPTIONS, key: given})
    assert caught.value.key == key
    assert caught.value.remedy


@pytest.mark.parametrize("key", ["terminal", "customer", "operator", "branch", "probe_account"])
def test_what_must_be_there_is_asked_for(key: str) -> None:
    with pytest.raises(BadOptions) as caught:
        boc.build({name: value for name, value in OPTIONS.items() if name != key})
    assert caught.value.key == key


def test_the_profile_says_what_the_page_says() -> None:
    adapter = bank()
    profile = adapter.profile
    assert (profile.name, profile.page_lines, profile.limits.reference.length) == ("boc", 50, 12)
    assert (
        set(adapter.money) | set(adapter.bundles)
        == {Kind.PAYMENT, Kind.TRANSFER, Kind.BATCH_ITEM}
        == set(profile.replay)
    )
    assert {rule.policy for rule in profile.replay.values()} == {Replay.NEVER}, "the token is in the bytes"
    limits = {one.at: one.max_bytes for one in profile.limits.fields}
    assert (limits["/purpose"], limits["/creditor/name"], limits["/creditor/account"]) == (80, 70, 35)
    assert not adapter.ports["business"].kept
    assert (adapter.sessions.window, adapter.sessions.sign_on is None) == (1, False), "one token, one owner"


def faults(given: Any, limits: Any) -> list[tuple[str, FieldCode]]:
    route = Route(OURS, "demo", "boc", "boc.main", "CNY", limits, frozenset(Kind))
    return [(fault.at, fault.code) for fault in check(given, route, TODAY)]


def test_lengths_are_gbk_bytes_also_in_utf_8_messages() -> None:
    profile = bank().profile
    assert faults(order(purpose="长" * 40), profile.limits) == []
    assert faults(order(purpose="长" * 41), profile.limits) == [("/purpose", FieldCode.TOO_LONG)]
    assert faults(order(purpose="𬭎"), profile.limits) == [("/purpose", FieldCode.CHARSET)]
    without = order(creditor=Party(AccountNumber(THEIRS), Name("乙")))
    assert faults(without, profile.limits) == [("/creditor/cnaps", FieldCode.REQUIRED)]
    assert faults(without, profile.kind_limits[Kind.TRANSFER]) == []
    assert faults(order(channel=Channel.INSTANT), profile.limits) == [("/channel", FieldCode.UNSUPPORTED)]


def test_the_table_lets_nothing_but_a_row_of_the_enquiry_decide() -> None:
    rows = meanings({}).table.rows
    final = [row for row in rows if row.outcome in ("settled", "failed", "duplicate")]
    assert [(row.operation, row.layer, row.code, row.outcome) for row in final] == [
        ("status", "row", "B001", "settled")
    ]
    assert all(row.source for row in rows)


def test_the_annotated_settings_build_the_bank() -> None:
    settings = tomllib.loads((FOLDER.parents[2] / "conf" / "conf.d" / "boc.toml").read_text("utf-8"))
    assert boc.build(settings["banks"]["boc"]["options"]).profile.name == "boc"


def test_every_option_stands_in_the_readme() -> None:
    readme = (FOLDER / "README.md").read_text("utf-8")
    assert not [name for name in names(Options) if f"`{name}`" not in readme]
