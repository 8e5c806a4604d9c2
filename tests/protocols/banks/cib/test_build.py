"""Options, profile, limits: the message about each wrong setting; intake and adapter refuse the same orders."""

from __future__ import annotations

import tomllib
from datetime import time, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.kernel.core.policy import Route, check
from protocols.bank import BadOptions, Replay
from protocols.banks import cib
from protocols.canon.errors import FieldCode
from protocols.canon.limits import Hours
from protocols.canon.order import Channel, Kind
from protocols.canon.party import AccountNumber, Name, Party
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.cib.paper import BASE, CREDITOR, DEBTOR, TODAY, bank, context, payment

FOLDER = Path(cib.__file__).parent
ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize(
    ("key", "given"),
    [
        ("customer", ""),
        ("customer", 1100000001),
        ("probe_account", "a b"),
        ("path", "fox"),
        ("replay", "always"),
        ("own_names", "兴业银行"),
        ("own_cnaps", ["12"]),
        ("cities", {"x": "福州"}),
        ("cities", {"1": "a<b"}),
        ("city", "长" * 16),
        ("city", "𬭎"),
        ("opens", "1:00"),
        ("closes", "24:00"),
        ("payment_mode", "FAST"),
        ("fast_pay", 1),
        ("fund_account", "0" * 19),
        ("batch", "sync"),
        ("batch_title", "a|b"),
        ("firm_code", "12345"),
        ("collection_days", 4),
        ("lines", "8922"),
        ("statement_version", "1.0"),
        ("statement_reference", "bizref"),
        ("file_lines", 150),
        ("receipt_path", "/receipt"),
        ("max_purpose_bytes", 61),
        ("window", 0),
        ("first_byte_s", "60"),
        ("first_byte_s", float("nan")),
        ("reference_prefix", "gw"),
        ("colour", "red"),
    ],
)
def test_a_wrong_option_is_named_with_its_remedy(key: str, given: object) -> None:
    with pytest.raises(BadOptions) as caught:
        cib.build({**BASE, key: given})
    assert caught.value.key == key
    assert caught.value.remedy


@pytest.mark.parametrize("key", ["customer", "probe_account"])
def test_what_must_be_there(key: str) -> None:
    with pytest.raises(BadOptions) as caught:
        cib.build({name: value for name, value in BASE.items() if name != key})
    assert caught.value.key == key


@pytest.mark.parametrize(("given", "missing"), [("firm_code", "collection_code"), ("collection_code", "firm_code")])
def test_collections_need_both_codes(given: str, missing: str) -> None:
    with pytest.raises(BadOptions) as caught:
        cib.build({**BASE, given: "0001" if given == "firm_code" else "00100"})
    assert caught.value.key == missing


def test_the_profile_says_what_the_page_says() -> None:
    adapter = bank()
    profile = adapter.profile
    assert (profile.name, profile.title_zh) == ("cib", "兴业银行")
    assert set(adapter.money) == {Kind.PAYMENT, Kind.TRANSFER}
    single = profile.replay[Kind.PAYMENT]
    assert (single.policy, single.window, single.not_found_quarantine) == (
        Replay.REPLAY_SAFE,
        None,
        timedelta(minutes=15),
    )
    assert {profile.replay[kind].policy for kind in adapter.bundles} == {Replay.NEVER}
    assert profile.limits.pace.first_enquiry_after == profile.poll_every == timedelta(minutes=15)
    assert profile.limits.reference.length <= 30
    # A payment in a final state is not asked about again. Entries show whether it came back.
    assert profile.returns_watch == timedelta(0)
    assert profile.page_lines == 100 and bank(lines="FSTMT").profile.page_lines == 500
    assert profile.past_balance_days == 365
    assert not adapter.ports["business"].kept
    # One try at a time: several at once must not try a wrong password.
    assert adapter.sessions.window == 1 and adapter.sessions.sign_on is not None
    assert bank(replay="query_first").profile.replay[Kind.PAYMENT].policy is Replay.QUERY_FIRST


@pytest.mark.parametrize(
    ("options", "path", "wanted"),
    [
        ({"reference_prefix": "GW"}, ("profile", "limits", "reference", "prefix"), "GW"),
        ({"max_amount_minor": 5}, ("profile", "limits", "amount", "max_minor"), 5),
        ({"per_second": 3}, ("profile", "limits", "pace", "per_second"), 3),
        ({}, ("profile", "limits", "hours"), Hours(time(1), time(0), asked_outside=False)),
        ({"opens": "02:30"}, ("profile", "limits", "hours", "opens", "minute"), 30),
        ({"closes": "23:30"}, ("profile", "limits", "hours", "closes", "hour"), 23),
        ({"window": 4}, ("sessions", "window"), 4),
        ({"history_days": 30}, ("profile", "history_days"), 30),
        ({"probe_every_s": 60}, ("sessions", "probe_every_s"), 60),
    ],
)
def test_an_option_reaches_its_place(options: dict[str, Any], path: tuple[str, ...], wanted: object) -> None:
    place: Any = bank(**options)
    for name in path:
        place = getattr(place, name)
    assert place == wanted


def payee(**changes: Any) -> Party:
    given = {"account": AccountNumber(CREDITOR), "name": Name("乙公司"), "bank_name": "建行", "cnaps": "105345000001"}
    return Party(**{**given, **changes})


@pytest.mark.parametrize(
    ("changes", "at", "code"),
    [
        ({"channel": Channel.LARGE_VALUE}, "/channel", FieldCode.UNSUPPORTED),
        ({"channel": Channel.SMALL_VALUE}, "/channel", FieldCode.UNSUPPORTED),
        ({"purpose": "长" * 31}, "/purpose", FieldCode.TOO_LONG),
        ({"purpose": ""}, "/purpose", FieldCode.REQUIRED),
        ({"purpose": "a&b"}, "/purpose", FieldCode.FORBIDDEN_CHARACTER),
        ({"creditor": payee(name=Name("䶮"))}, "/creditor/name", FieldCode.CHARSET),
        ({"creditor": payee(name=Name("长" * 26))}, "/creditor/name", FieldCode.TOO_LONG),
        ({"creditor": payee(account=AccountNumber("1_2"))}, "/creditor/account", FieldCode.PATTERN),
        ({"creditor": payee(bank_name="<工行>")}, "/creditor/bank_name", FieldCode.FORBIDDEN_CHARACTER),
        ({"debtor": Party(AccountNumber("0" * 19), Name("甲公司"))}, "/debtor/account", FieldCode.TOO_LONG),
    ],
)
def test_intake_refuses_what_the_adapter_cannot_write(changes: dict[str, Any], at: str, code: FieldCode) -> None:
    adapter, wanted = bank(), payment(**changes)
    route = Route(DEBTOR, "demo", "cib", "cib.main", "CNY", adapter.profile.limits, frozenset(adapter.money))
    assert [(fault.at, fault.code) for fault in check(wanted, route, TODAY)] == [(at, code)]
    with pytest.raises(ProtocolError):
        next(adapter.money[Kind.PAYMENT](wanted, context()))
    assert not check(payment(), route, TODAY)


def test_each_kind_has_limits_of_its_own() -> None:
    limits = bank().profile.kind_limits
    by_kind = {kind: {one.at: one for one in limits[kind].fields} for kind in limits}
    assert set(by_kind) == {Kind.TRANSFER, Kind.BATCH_ITEM, Kind.PAYROLL_ITEM, Kind.COLLECTION}
    assert "|" in by_kind[Kind.BATCH_ITEM]["/creditor/name"].forbidden
    assert by_kind[Kind.PAYROLL_ITEM]["/creditor/name"].max_bytes == 20
    assert by_kind[Kind.PAYROLL_ITEM]["/creditor/account"].max_bytes == 18
    assert by_kind[Kind.COLLECTION]["/purpose"].max_bytes == 30
    assert Channel.INSTANT not in limits[Kind.BATCH_ITEM].channels


def test_the_sample_settings_build() -> None:
    table = tomllib.loads((ROOT / "conf/conf.d/cib.toml").read_text("utf-8"))["banks"]["cib"]
    assert table["protocol"] == "cib"
    assert cib.build(table["options"]).profile.name == "cib"
    [lane] = table["lanes"].values()
    assert set(lane["credentials"]) == {"user", "password"}


def test_everything_in_the_folder_is_there_for_a_reader() -> None:
    assert (FOLDER / "README.md").is_file()
    assert len(sorted(FOLDER.glob("dialogues/*.dlg"))) >= 15
