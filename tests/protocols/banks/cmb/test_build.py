"""Options, profile and code table: the message about each wrong setting, and outcomes that the table may never have."""

from __future__ import annotations

import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.kernel.core.policy import Route, check
from protocols.bank import BadOptions, Replay
from protocols.banks import cmb
from protocols.banks.cmb.options import Options
from protocols.banks.cmb.table import meanings
from protocols.canon.errors import FieldCode
from protocols.canon.limits import MONEY, QUESTION
from protocols.canon.order import Channel, Kind
from protocols.canon.party import AccountNumber, Name, Party
from protocols.kit.choices import names
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.cmb.paper import OPTIONS, OURS, THEIRS, TODAY, bank, context, first_step, order

FOLDER = Path(cmb.__file__).parent


@pytest.mark.parametrize(
    ("key", "given"),
    [
        ("login", ""),
        ("login", "用户𬭎"),
        ("login", "长" * 31),
        ("login", "a\nb"),
        ("mode", ""),
        ("branch", "7"),
        ("branch", 75),
        ("transport", "https"),
        ("http_path", "x"),
        ("branches", ["75"]),
        ("branches", {OURS: "755"}),
        ("own_names", "招商银行"),
        ("payee_address", "长" * 32),
        ("payment_code", "02031"),
        ("batch_lines", 1501),
        ("batch_lines", True),
        ("agency", "NTAGCSAL"),
        ("market", "3"),
        ("replay", "replay_safe"),
        ("not_found_quarantine_s", 299),
        ("max_amount_minor", 0),
        ("window", 51),
        ("codes", {"refused": ["SUC0000"]}),
        ("codes", {"refused": ["NCB4241"]}),
        ("codes", {"refused": ["-1"]}),
        ("codes", {"settled": ["FABZ002"]}),
        ("codes", {"refused": ["FABZ002"], "duplicate": ["FABZ002"]}),
        ("per_second", 0),
        ("first_byte_s", float("nan")),
        ("colour", "red"),
    ],
)
def test_a_wrong_option_is_named_with_its_remedy(key: str, given: object) -> None:
    with pytest.raises(BadOptions) as caught:
        cmb.build({**OPTIONS, key: given})
    assert caught.value.key == key
    assert caught.value.remedy


@pytest.mark.parametrize("key", ["login", "mode", "branch", "collection_type"])
def test_what_must_be_there_is_asked_for(key: str) -> None:
    with pytest.raises(BadOptions) as caught:
        cmb.build({name: value for name, value in OPTIONS.items() if name != key})
    assert caught.value.key == key


def test_the_profile_says_what_the_page_says() -> None:
    adapter = bank()
    profile = adapter.profile
    assert profile.name == "cmb"
    assert profile.reconstructed
    kinds = {Kind.PAYMENT, Kind.TRANSFER, Kind.BATCH_ITEM, Kind.PAYROLL_ITEM, Kind.COLLECTION}
    assert set(adapter.money) | set(adapter.bundles) == kinds == set(profile.replay)
    # The cloud documents allow to send again what no enquiry shows. The literal rule of this mode forbids it.
    assert profile.replay[Kind.PAYMENT].policy is Replay.NEVER
    assert profile.replay[Kind.PAYMENT].not_found_quarantine >= timedelta(minutes=5)
    assert {profile.replay[kind].policy for kind in adapter.bundles} == {Replay.NEVER}
    assert adapter.bundles[Kind.BATCH_ITEM].most == 1500
    limits = {one.at: one.max_bytes for one in profile.limits.fields}
    assert (limits["/purpose"], limits["/creditor/name"], limits["/creditor/bank_name"]) == (62, 200, 62)
    assert profile.limits.pace.apart_s == {MONEY: 1.0, QUESTION: 2.0}, "the bank's own figures"
    assert not adapter.ports["business"].kept
    asked_first = bank(replay="query_first")
    assert asked_first.profile.replay[Kind.PAYMENT].policy is Replay.QUERY_FIRST
    assert {asked_first.profile.replay[kind].policy for kind in asked_first.bundles} == {Replay.NEVER}


def test_payroll_and_collection_are_offered_with_their_modes_only() -> None:
    adapter = cmb.build({"login": "U", "mode": "00001", "branch": "75"})
    assert set(adapter.bundles) == {Kind.BATCH_ITEM}
    assert Kind.PAYROLL_ITEM not in adapter.profile.kind_limits


def faults(given: Any, limits: Any) -> list[tuple[str, FieldCode]]:
    adapter = bank()
    route = Route(OURS, "demo", "cmb", "cmb.main", "CNY", limits, frozenset(Kind))
    assert adapter.profile.limits.charset == "gbk"
    return [(fault.at, fault.code) for fault in check(given, route, TODAY)]


@pytest.mark.parametrize("channel", Channel)
def test_intake_refuses_the_channel_that_the_bank_cannot_write_down(channel: Channel) -> None:
    wanted, adapter = order(channel=channel), bank()
    found = faults(wanted, adapter.profile.limits)
    if channel in (Channel.AUTO, Channel.SAME_BANK):
        assert not found
        assert first_step(adapter.money[Kind.PAYMENT](wanted, context()))
        return
    assert found == [("/channel", FieldCode.UNSUPPORTED)]
    with pytest.raises(ProtocolError):
        first_step(adapter.money[Kind.PAYMENT](wanted, context()))


def test_lengths_are_bytes_and_differ_by_kind() -> None:
    profile = bank().profile
    long = Party(AccountNumber(THEIRS), Name("公" * 32), "示例银行")
    assert faults(order(creditor=long), profile.limits) == []
    assert faults(order(creditor=long), profile.kind_limits[Kind.PAYROLL_ITEM]) == [
        ("/creditor/name", FieldCode.TOO_LONG)
    ]
    assert faults(order(purpose="长" * 32), profile.limits) == [("/purpose", FieldCode.TOO_LONG)]
    assert faults(order(purpose="𬭎"), profile.limits) == [("/purpose", FieldCode.CHARSET)]


def test_the_table_never_lets_a_call_s_own_word_decide_about_money() -> None:
    table = meanings().table
    calls = [row for row in table.rows if row.layer == "retcod"]
    assert {row.outcome for row in calls if row.operation == "submit"} <= {"pending", "in_doubt", "duplicate"}
    assert all(row.outcome != "settled" for row in calls)
    assert table.look_up("submit", "errcod", "NCB4241") == "duplicate"
    failing = {row.layer for row in table.rows if row.outcome == "failed"}
    assert failing == {"retcod", "errcod", "rtnflg", "stscod", "stscod.small"}
    assert {row.operation for row in table.rows if row.layer == "errcod" and row.outcome == "failed"} == {"question"}
    assert all(row.source for row in table.rows)


def test_the_annotated_settings_build_the_bank() -> None:
    settings = tomllib.loads((FOLDER.parents[2] / "conf" / "conf.d" / "cmb.toml").read_text("utf-8"))
    assert cmb.build(settings["banks"]["cmb"]["options"]).profile.name == "cmb"


def test_every_option_stands_in_the_readme() -> None:
    readme = (FOLDER / "README.md").read_text("utf-8")
    missing = [name for name in names(Options) if f"`{name}`" not in readme]
    assert not missing
    assert sorted(FOLDER.glob("dialogues/*.dlg"))
