"""Options, profile and code table: the message about each wrong setting, and outcomes that the table may never have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.kernel.core.policy import Route, check
from protocols.bank import BadOptions, Replay
from protocols.banks import icbc
from protocols.banks.icbc.options import Options
from protocols.banks.icbc.table import ENQUIRIES, MONEY, about_the_question, meanings
from protocols.canon.errors import FieldCode
from protocols.canon.order import Channel, Kind, Order, TransferDetail
from protocols.canon.outcome import Fate
from protocols.canon.party import AccountNumber, Name, Party
from protocols.kit import codes
from protocols.kit.choices import names
from protocols.kit.errors import ProtocolError
from protocols.kit.meanings import Meanings
from tests.protocols.banks.icbc.paper import DEBTOR, OPTIONS, PAYER, TODAY, bank, bundle, context, order, steps

FOLDER = Path(icbc.__file__).parent


def test_a_group_s_number_has_letters_and_a_hyphen_and_travels_as_it_is() -> None:
    ask = icbc.build({**OPTIONS, "cis": "00000000-5AAAAA"}).sessions.probe
    [step] = steps(ask(context("")))
    assert b"GroupCIS=00000000-5AAAAA&" in step.data and b"%3CCIS%3E00000000-5AAAAA%3C" in step.data


@pytest.mark.parametrize(
    ("key", "given"),
    [
        ("cis", ""),
        ("cis", 40009000),
        ("cis", "40009000 5ABCDE"),
        ("certificate_id", "名"),
        ("probe_account", 1),
        ("version", "0.0.0.2"),
        ("host_header", "a b"),
        ("query_prefix", ""),
        ("reference_prefix", "gw"),
        ("query_data", "zip"),
        ("language_and_zip", 1),
        ("check_signed_content", "yes"),
        ("work_date", "bank"),
        ("batch_flag", "3"),
        ("package_lines", 0),
        ("payroll", True),
        ("same_city", "0"),
        ("cities", {"北京": "北京"}),
        ("cities", {"105": ""}),
        ("own_names", "工商银行"),
        ("own_cnaps", ["1"]),
        ("codes", {"settled": ["X1"]}),
        ("codes", {"refused": "X1"}),
        ("codes", {"refused": ["0"]}),
        ("codes", {"refused": ["X1"], "duplicate": ["X1"]}),
        ("history_span_days", 0),
        ("max_amount_minor", 0),
        ("opens", "8:30"),
        ("closes", "24:00"),
        ("cut_off", ""),
        ("window", 0),
        ("first_byte_s", float("nan")),
        ("colour", "red"),
    ],
)
def test_a_wrong_option_is_named_with_its_remedy(key: str, given: object) -> None:
    with pytest.raises(BadOptions) as caught:
        icbc.build({**OPTIONS, key: given})
    assert caught.value.key == key
    assert caught.value.remedy


@pytest.mark.parametrize("key", ["cis", "certificate_id", "probe_account"])
def test_what_must_be_there(key: str) -> None:
    with pytest.raises(BadOptions) as caught:
        icbc.build({name: value for name, value in OPTIONS.items() if name != key})
    assert caught.value.key == key


def test_the_profile_says_what_the_page_says() -> None:
    adapter = bank()
    profile = adapter.profile
    assert profile.name == "icbc" and profile.reconstructed
    assert set(adapter.money) == {Kind.PAYMENT, Kind.TRANSFER}
    assert set(adapter.bundles) == {Kind.BATCH_ITEM, Kind.PAYROLL_ITEM, Kind.COLLECTION}
    assert set(profile.replay) == set(adapter.money) | set(adapter.bundles)
    assert {rule.policy for rule in profile.replay.values()} == {Replay.NEVER}
    assert set(adapter.ports) == {"business", "sign"}
    assert not any(port.kept for port in adapter.ports.values())
    assert Kind.PAYROLL_ITEM not in bank(payroll="none").bundles
    # A message whose form the page does not give is not offered, so intake refuses such an order.
    questions = adapter.questions
    assert (questions.returns, questions.receipt, questions.directory) == (None, None, None)
    assert profile.past_balance_days == 0


@pytest.mark.parametrize(
    ("options", "path", "wanted"),
    [
        ({"reference_prefix": "GW"}, ("profile", "limits", "reference", "prefix"), "GW"),
        ({"max_amount_minor": 5}, ("profile", "limits", "amount", "max_minor"), 5),
        ({"per_second": 2}, ("profile", "limits", "pace", "per_second"), 2),
        ({"opens": "08:30"}, ("profile", "limits", "hours", "opens", "hour"), 8),
        ({"cut_off": "16:30"}, ("profile", "limits", "hours", "cut_off", "minute"), 30),
        ({"window": 9}, ("sessions", "window"), 9),
    ],
)
def test_an_option_reaches_its_place(options: dict[str, Any], path: tuple[str, ...], wanted: object) -> None:
    place: Any = bank(**options)
    for name in path:
        place = getattr(place, name)
    assert place == wanted


@pytest.mark.parametrize("channel", Channel)
def test_intake_refuses_the_channels_that_the_bank_s_form_cannot_say(channel: Channel) -> None:
    adapter, wanted = bank(), order(channel=channel)
    route = Route(DEBTOR, "demo", "icbc", "icbc.main", "CNY", adapter.profile.limits, frozenset(adapter.money))
    faults = [(fault.at, fault.code) for fault in check(wanted, route, TODAY)]
    conversation = adapter.money[Kind.PAYMENT](wanted, context())
    if channel in (Channel.AUTO, Channel.SAME_BANK):
        assert not faults
        assert len(steps(conversation)) == 2
        return
    assert faults == [("/channel", FieldCode.UNSUPPORTED)]
    with pytest.raises(ProtocolError):
        next(conversation)


ELSEWHERE = Party(AccountNumber("0000021001000000009"), Name("乙公司"), "建设银行示例支行", "105100000017")


def faults_of(given: Any, **options: Any) -> list[tuple[str, FieldCode]]:
    profile = bank(**options).profile
    limits = profile.kind_limits.get(given.kind, profile.limits)
    route = Route(DEBTOR, "demo", "icbc", "icbc.main", "CNY", limits, frozenset(Kind))
    return [(fault.at, fault.code) for fault in check(given, route, TODAY)]


@pytest.mark.parametrize(
    ("changes", "cities", "code"),
    [
        ({}, {}, FieldCode.PATTERN),
        ({}, {"1041": "乙市"}, FieldCode.PATTERN),
        ({}, {"105100": "甲市"}, None),
        ({"cnaps": None}, {"105100": "甲市"}, FieldCode.REQUIRED),
        ({"cnaps": "10510000001"}, {"105100": "甲市"}, FieldCode.PATTERN),
        ({"cnaps": None, "bank_name": "工行示例支行"}, {}, None),
        ({"cnaps": "102100000017"}, {}, None),
        ({"bank_name": "工行示例支行"}, {}, FieldCode.PATTERN),
    ],
)
def test_intake_refuses_a_payee_whose_bank_s_city_nobody_could_name(
    changes: dict[str, Any], cities: dict[str, str], code: FieldCode | None
) -> None:
    given = order(creditor=replace(ELSEWHERE, **changes))
    options = {"default_city": "", "cities": cities}
    assert faults_of(given, **options) == ([] if code is None else [("/creditor/cnaps", code)])
    # An order that intake accepts can be sent, and one that it refuses could not.
    if code is None:
        assert len(steps(bank(**options).money[Kind.PAYMENT](given, context()))) == 2
    elif changes.get("cnaps") != "10510000001":
        with pytest.raises(ProtocolError):
            next(bank(**options).money[Kind.PAYMENT](given, context()))
    if changes.get("cnaps") != "10510000001":
        assert faults_of(given) == [], "with default_city every city has a name"


def test_transfers_and_collections_need_no_city_where_they_name_no_other_bank() -> None:
    bare = replace(ELSEWHERE, bank_name=None, cnaps=None)
    transfer = Order("T1", PAYER, bare, order().amount, TransferDetail())
    assert faults_of(transfer, default_city="") == []
    assert faults_of(replace(transfer, creditor=ELSEWHERE), default_city="") == [("/creditor/cnaps", FieldCode.PATTERN)]
    dues = bundle(Kind.COLLECTION).items[0].order
    assert faults_of(dues, default_city="") == []


def test_the_table_settles_by_result_only_and_no_code_of_a_package_fails_by_itself() -> None:
    rows = meanings({}).table.rows
    assert all(row.source for row in rows)
    decisive = [row for row in rows if row.outcome in ("settled", "failed")]
    assert {(row.layer, row.code, row.outcome) for row in decisive} == {
        ("result", "7", "settled"),
        ("result", "6", "failed"),
        ("result", "8", "failed"),
    }


def test_declared_codes_speak_only_where_they_may() -> None:
    table = meanings({"duplicate": ("D",), "not_found": ("N",), "refused": ("R",), "empty": ("E",)}).table
    for money in MONEY:
        assert table.look_up(money, "package", "D") == table.look_up(money, "line", "D") == "duplicate"
        assert table.look_up(money, "package", "R") == "failed"
        assert table.look_up(money, "line", "R") is table.look_up(money, "package", "N") is None
    for enquiry in ENQUIRIES:
        assert table.look_up(enquiry, "package", "N") == table.look_up(enquiry, "line", "N") == "not_found"
        assert table.look_up(enquiry, "package", "R") is table.look_up(enquiry, "package", "D") is None
    assert table.look_up("QPD", "package", "E") == table.look_up("QHISD", "package", "E") == "empty"
    assert table.look_up("QACCBAL", "package", "E") is None


@pytest.mark.parametrize("outcome", ["failed", "settled", "duplicate", "pending"])
def test_a_row_about_an_enquiry_could_not_decide_about_a_payment_whatever_it_said(outcome: str) -> None:
    row = f'[[code]]\noperation="QPAYENT"\nlayer="package"\ncode="X"\noutcome="{outcome}"\nsource="s"\n'
    assert about_the_question(Meanings(codes.load(row)), "QPAYENT", "package", "X").fate is Fate.UNKNOWN


def test_everything_in_the_folder_is_there_for_a_reader() -> None:
    readme = (FOLDER / "README.md").read_text("utf-8")
    assert [name for name in names(Options) if f"`{name}`" not in readme] == []
    assert sorted(FOLDER.glob("dialogues/*.dlg"))
