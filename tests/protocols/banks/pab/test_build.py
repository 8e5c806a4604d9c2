"""Options, profile and code table: the message about each wrong setting, and outcomes that the table may never have."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.kernel.core.policy import Route, check
from protocols.bank import BadOptions, Replay
from protocols.banks import pab
from protocols.banks.pab.table import meanings
from protocols.canon.errors import FieldCode
from protocols.canon.order import Channel, Kind
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.pab.paper import DEBTOR, ENTERPRISE, TODAY, bank, context, first_step, order

FOLDER = Path(pab.__file__).parent


@pytest.mark.parametrize(
    ("key", "given"),
    [
        ("enterprise_code", "1"),
        ("enterprise_code", 12345678901234567890),
        ("operator", "000000"),
        ("today_lines", "4014"),
        ("page_lines", 29),
        ("page_lines", True),
        ("replay", "replay_safe"),
        ("own_names", "平安银行"),
        ("own_cnaps", ["12"]),
        ("address_flag", "3"),
        ("max_amount_minor", 0),
        ("window", 0),
        ("first_byte_s", "60"),
        ("first_byte_s", float("nan")),
        ("reference_prefix", "gw"),
        ("colour", "red"),
    ],
)
def test_a_wrong_option_is_named_with_its_remedy(key: str, given: object) -> None:
    with pytest.raises(BadOptions) as caught:
        pab.build({"enterprise_code": ENTERPRISE, key: given})
    assert caught.value.key == key
    assert caught.value.remedy


def test_the_enterprise_code_must_be_there() -> None:
    with pytest.raises(BadOptions) as caught:
        pab.build({})
    assert caught.value.key == "enterprise_code"


def test_the_profile_says_what_the_page_says() -> None:
    adapter = bank()
    profile = adapter.profile
    assert profile.name == "pab"
    assert profile.reconstructed
    assert set(adapter.money) == {Kind.PAYMENT, Kind.TRANSFER} == set(profile.replay)
    rule = profile.replay[Kind.PAYMENT]
    assert (rule.policy, rule.window) == (Replay.QUERY_FIRST, None)
    assert rule.not_found_quarantine >= timedelta(hours=24)
    assert rule.not_found_count >= 2
    assert (profile.limits.reference.length, profile.limits.charset.lower()) == (20, "gbk")
    limits = {one.at: one for one in profile.limits.fields}
    assert limits["/purpose"].max_chars == 30
    assert not adapter.ports["business"].kept
    assert bank(replay="never").profile.replay[Kind.PAYMENT].policy is Replay.NEVER


@pytest.mark.parametrize(
    ("options", "path", "wanted"),
    [
        ({"reference_prefix": "GW"}, ("profile", "limits", "reference", "prefix"), "GW"),
        ({"max_amount_minor": 5}, ("profile", "limits", "amount", "max_minor"), 5),
        ({"per_second": 2}, ("profile", "limits", "pace", "per_second"), 2),
        ({"window": 9}, ("sessions", "window"), 9),
        ({"page_lines": 30}, ("profile", "page_lines"), 30),
    ],
)
def test_an_option_reaches_its_place(options: dict[str, Any], path: tuple[str, ...], wanted: object) -> None:
    place: Any = bank(**options)
    for name in path:
        place = getattr(place, name)
    assert place == wanted


@pytest.mark.parametrize("channel", Channel)
def test_intake_refuses_the_channel_that_the_bank_cannot_write_down(channel: Channel) -> None:
    adapter, wanted = bank(), order(channel=channel)
    route = Route(DEBTOR, "demo", "pab", "pab.main", "CNY", adapter.profile.limits, frozenset(adapter.money))
    faults = [(fault.at, fault.code) for fault in check(wanted, route, TODAY)]
    if channel is not Channel.INSTANT:
        assert not faults
        assert first_step(adapter.money[Kind.PAYMENT](wanted, context()))
        return
    assert faults == [("/channel", FieldCode.UNSUPPORTED)]
    with pytest.raises(ProtocolError):
        first_step(adapter.money[Kind.PAYMENT](wanted, context()))


def test_the_table_never_lets_an_enquiry_s_own_refusal_decide_about_the_payment() -> None:
    rows = meanings({}).table.rows
    enquiry = [row for row in rows if row.operation in ("4005", "*") and row.layer == "header"]
    codes = {row.code for row in enquiry if row.code}
    told = {meanings({}).table.look_up("4005", "header", code) for code in codes}
    assert told == {"not_found", "rate_limited", "in_doubt"}
    assert all(row.outcome != "settled" for row in rows if row.layer == "header")
    assert all(row.source for row in rows)


def test_everything_in_the_folder_is_there_for_a_reader() -> None:
    assert (FOLDER / "README.md").is_file()
    assert sorted(FOLDER.glob("dialogues/*.dlg"))
