"""Options, profile and code table: the message about each wrong setting, and outcomes that the table may never have."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.kernel.core.policy import Route, check
from protocols.bank import BadOptions, Replay
from protocols.banks import spdb
from protocols.banks.spdb.options import Options
from protocols.banks.spdb.profile import REFERENCE_DIGITS
from protocols.banks.spdb.table import LISTS, MONEY, meanings, reason_of
from protocols.banks.spdb.twin import FAULTS
from protocols.canon.errors import FieldCode
from protocols.canon.order import Channel, Kind, Urgency
from protocols.kit.choices import names
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.spdb.paper import (
    ASKED,
    DEBTOR,
    NOW,
    OPTIONS,
    REFERENCE,
    TODAY,
    bank,
    certificate_pem,
    context,
    order,
    steps,
)

FOLDER = Path(spdb.__file__).parent


@pytest.mark.parametrize(
    ("key", "given"),
    [
        ("master_id", ""),
        ("master_id", 2000000001),
        ("probe_account", 1),
        ("auth_master_id", "名"),
        ("authorisation", 1),
        ("bank_certificate", ""),
        ("bank_certificate", "not a certificate"),
        ("bank_certificate", "-----BEGIN CERTIFICATE-----\nQQ==\n-----END CERTIFICATE-----"),
        ("bank_certificate", 7),
        ("sha1_until", "31.12.2027"),
        ("packet_prefix", "12345"),
        ("packet_prefix", "A"),
        ("reference_prefix", "GW"),
        ("length_padding", "none"),
        ("http_path", "spdb"),
        ("host_header", "a b"),
        ("single_flag", "一"),
        ("schedule_date", "never"),
        ("own_remit_location", "2"),
        ("other_remit_location", 1),
        ("payee_address", None),
        ("payee_bank_flag", "12345"),
        ("person_purpose", "工资"),
        ("payroll_purpose", True),
        ("own_names", "浦发"),
        ("own_cnaps", ["1"]),
        ("codes", {"settled": ["X000001"]}),
        ("codes", {"refused": "X000001"}),
        ("codes", {"refused": ["X1"]}),
        ("codes", {"refused": ["AAAAAAA"]}),
        ("codes", {"refused": ["X000001"], "duplicate": ["X000001"]}),
        ("enquiry_rows", 31),
        ("enquiry_pages", 0),
        ("history_days", 0),
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
        spdb.build({**OPTIONS, key: given})
    assert caught.value.key == key
    assert caught.value.remedy


def test_what_must_be_there_and_what_must_go_together() -> None:
    for name in OPTIONS:
        with pytest.raises(BadOptions) as caught:
            spdb.build({key: value for key, value in OPTIONS.items() if key != name})
        assert caught.value.key == name
    for wrong, key in (({"authorisation": True}, "auth_master_id"), ({"sha1_until": "2027-12-31"}, "sha1_until")):
        with pytest.raises(BadOptions) as caught:
            spdb.build({**OPTIONS, **wrong})
        assert caught.value.key == key
    assert bank(sha1_until="2027-12-31", bank_certificate=certificate_pem().encode()).profile.name == "spdb"


def test_the_profile_says_what_the_page_says() -> None:
    adapter = bank()
    profile = adapter.profile
    assert profile.name == "spdb" and profile.reconstructed
    assert set(adapter.money) == {Kind.PAYMENT, Kind.TRANSFER}
    assert set(adapter.bundles) == {Kind.BATCH_ITEM}
    assert set(profile.replay) == set(adapter.money) | set(adapter.bundles)
    assert {rule.policy for rule in profile.replay.values()} == {Replay.NEVER}
    assert set(adapter.ports) == {"business", "sign"}
    assert not any(port.kept for port in adapter.ports.values())
    assert profile.signs == () and profile.limits.reference.length == 20
    # A message whose form the page does not give is not offered, so intake refuses such an order.
    questions = adapter.questions
    assert questions.lines is not None
    assert (questions.receipt, questions.directory) == (None, None)
    assert profile.past_balance_days == 0


@pytest.mark.parametrize(
    ("options", "path", "wanted"),
    [
        ({"reference_prefix": "77"}, ("profile", "limits", "reference", "prefix"), "77"),
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


def test_options_that_stand_in_the_messages() -> None:
    conversation = bank(packet_prefix="77", host_header="fep.example", http_path="/b").sessions.probe(context())
    sign, question = steps(conversation)
    assert sign.data.startswith(b"POST /b HTTP/1.1\r\nHost: fep.example\r\n")
    assert f"<packetID>77{ASKED}</packetID>".encode() in question.data


def test_two_lanes_of_one_customer_do_not_ask_under_the_same_packet_id() -> None:
    """Each lane counts its serial numbers from the beginning, and the bank takes a packetID only once a day."""

    def asked(now: datetime, serial: int) -> bytes:
        probe = bank(packet_prefix="1234").sessions.probe(context(now=now, serial=serial))
        found = re.search(rb"<packetID>([0-9]+)</packetID>", steps(probe)[1].data)
        assert found is not None and len(found.group(1)) < REFERENCE_DIGITS
        return found.group(1)

    late = NOW.replace(hour=23, minute=59, second=59, microsecond=999_999)
    times = (NOW, NOW + timedelta(milliseconds=1), NOW.replace(hour=0, minute=0), late)
    assert len({asked(now, serial) for now in times for serial in (7, 8, 99_999)}) == 12
    # The day is the bank's, whatever the zone of the time.
    assert asked(NOW.astimezone(UTC), 7) == asked(NOW, 7)


@pytest.mark.parametrize(
    "changes", [{"channel": Channel.INSTANT}, {"urgency": Urgency.URGENT}, {"channel": Channel.AUTO}]
)
def test_intake_refuses_what_the_bank_s_form_cannot_say(changes: dict[str, Any]) -> None:
    adapter, wanted = bank(), order(**changes)
    route = Route(DEBTOR, "demo", "spdb", "spdb.main", "CNY", adapter.profile.limits, frozenset(adapter.money))
    faults = [fault.code for fault in check(wanted, route, TODAY)]
    conversation = adapter.money[Kind.PAYMENT](wanted, context(REFERENCE))
    if changes == {"channel": Channel.AUTO}:
        assert not faults and len(steps(conversation)) == 2
        return
    assert faults == [FieldCode.UNSUPPORTED]
    with pytest.raises(ProtocolError):
        next(conversation)


def test_only_a_row_of_8804_settles_and_few_words_fail() -> None:
    rows = meanings({}).table.rows
    assert all(row.source for row in rows)
    assert {(row.operation, row.layer, row.code) for row in rows if row.outcome == "settled"} == {
        ("8804", "status", "4")
    }
    money = {(row.operation, row.layer, row.code) for row in rows if row.outcome == "failed" and row.operation != "*"}
    assert money == {
        ("8804", "status", "8"),
        ("8804", "status", "9"),
        *(("DO48", "package", code) for code in "234"),
        *(("EY03", "authorisation", code) for code in "234CF"),
        ("8801", "head", "EYY8998"),
        ("8801", "head", "EGG0346"),
        ("8800", "head", "EYY8998"),
    }


def test_waiting_for_an_authorisation_is_nowhere_a_success() -> None:
    table = meanings({}).table
    assert table.look_up("8804", "status", "3") == "pending"
    for code in ("5", "9"):
        assert table.look_up("DO48", "package", code) == table.look_up("EY03", "authorisation", code) == "pending"
    assert "settled" not in {row.outcome for row in table.rows if row.layer in ("package", "authorisation", "accepted")}


def test_declared_codes_speak_only_where_they_may_and_never_over_a_duplicate() -> None:
    table = meanings({"duplicate": ("D000000",), "refused": ("R000000", "EYY8990"), "empty": ("E000000",)}).table
    for money in MONEY:
        assert table.look_up(money, "head", "D000000") == "duplicate"
        assert table.look_up(money, "head", "R000000") == "failed"
        assert table.look_up(money, "head", "EYY8990") == "duplicate"
        assert table.look_up(money, "head", "E000000") is None
    for question in LISTS:
        assert table.look_up(question, "head", "E000000") == "empty"
        assert table.look_up(question, "head", "R000000") is table.look_up(question, "head", "D000000") is None


@pytest.mark.parametrize(
    ("note", "wanted"),
    [
        ("测试|<错误原因:EGG0042 处理失败[EGG0044]>", ("EGG0042", "错误原因:EGG0042 处理失败[EGG0044]")),
        ("错误原因:AAA|<错误原因:EGG0521处理失败>", ("EGG0521", "错误原因:EGG0521处理失败")),
        ("测试", ("", "")),
        ("", ("", "")),
        ("错误原因:", ("", "")),
    ],
)
def test_the_reason_in_a_note(note: str, wanted: tuple[str, str]) -> None:
    assert reason_of(note) == wanted


def test_everything_in_the_folder_is_there_for_a_reader() -> None:
    readme = (FOLDER / "README.md").read_text("utf-8")
    assert [name for name in names(Options) if f"`{name}`" not in readme] == []
    told = " ".join((FOLDER / name).read_text("utf-8") for name in ("twin.py", "twin_operations.py"))
    assert all(f'"{fault}",  # ' in told for fault in FAULTS)
    assert sorted(FOLDER.glob("dialogues/*.dlg"))


def test_the_sample_settings_build() -> None:
    root = FOLDER.parents[2]
    text = (root / "conf/conf.d/spdb.toml").read_text("utf-8")
    options = tomllib.loads(text)["banks"]["spdb"]["options"]
    assert spdb.build(options).profile.name == "spdb"
    shown = set(re.findall(r"^#? ?([a-z_]+) = ", text, re.MULTILINE))
    assert {"bank_certificate", "authorisation", "auth_master_id"} <= shown
