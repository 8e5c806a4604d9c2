"""Files of many payments: one file is one exchange, each payment has its own fate; and the fields that a contract
allows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pytest
from lxml import etree

from gateway.kernel.core.policy import Route, check
from protocols.bank import Replay, Submit
from protocols.banks.finws import messages
from protocols.banks.finws.files import Files
from protocols.canon.money import Money
from protocols.canon.order import Bundle, Channel, CollectionDetail, Item, Kind, Urgency
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.party import AccountNumber, Name, PartyKind
from protocols.canon.query import BundleFateQuestion, FateQuestion, LinesQuestion, SentBundle
from protocols.canon.terms import DebitTerms, Remittance, Terms
from protocols.kit.errors import ProtocolError
from protocols.kit.iso20022 import schema
from tests.protocols.banks.finws.paper import DATA, DEBTOR, REFERENCE, document_of, stage, unpacked
from tests.world.dialogue import NOON, BankAndTwin, order_of, sent_of

FILE = "FILE0000000000000001"
COLLECTS: dict[str, Any] = {"type_collection": "pain.008.001.02"}
RF = "RF18539007547034"


def items(kind: Kind, *purposes: str, **more: Any) -> tuple[Item, ...]:
    """Orders of a kind that differ only in number, reference and purpose."""
    found = []
    for number, purpose in enumerate(purposes, start=1):
        words = {"amount": f"{number}.50", "kind": kind.value, "item": str(number), "purpose": purpose}
        if kind is Kind.COLLECTION:
            words |= {"from": "0000000000000000025", "payer": "示例乙", "to": DEBTOR, "payee": "示例甲公司"}
        found.append(Item(replace(order_of(words), **more), f"LINE{number:016d}"))
    return tuple(found)


def sent_as(made: BankAndTwin, bundle: Bundle) -> SentBundle:
    sent = tuple(sent_of(one.order, one.reference, NOON.date(), made.serials) for one in bundle.items)
    return SentBundle(FILE, NOON.date(), 1, made.serials, sent)


def upload(made: BankAndTwin, bundle: Bundle) -> Mapping[str, Outcome]:
    return made.talk(made.bank.bundles[bundle.kind].word(bundle, made.context(FILE)))


def ask(made: BankAndTwin, bundle: Bundle) -> Mapping[str, Outcome]:
    question = BundleFateQuestion(sent_as(made, bundle))
    return made.talk(made.bank.bundles[bundle.kind].fate(question, made.context()))


def file_in(made: BankAndTwin) -> etree._Element:
    """The ISO 20022 file inside the first upload."""
    [request] = [one.request for one in made.said if one.money][:1]
    return etree.fromstring(unpacked(messages.unbase64(document_of(request).findtext(f"{DATA}Content") or "", "")))


def texts(root: etree._Element, name: str) -> list[str]:
    return [one.text or "" for one in root.iter(f"{{*}}{name}")]


def many(kind: Kind = Kind.BATCH_ITEM, *purposes: str, **adapter: Any) -> tuple[BankAndTwin, Bundle]:
    made = stage(adapter={**COLLECTS, **adapter}, **COLLECTS)
    return made, Bundle(kind, items(kind, *(purposes or ("货款", "货款 #refuse", "货款"))))


# ---- one file, one exchange, one fate each -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Kind.BATCH_ITEM, Kind.PAYROLL_ITEM, Kind.COLLECTION])
def test_a_file_of_many_is_one_exchange_and_each_payment_has_its_own_fate(kind: Kind) -> None:
    made, bundle = many(kind)
    told = upload(made, bundle)
    assert [one.money for one in made.said] == [True], "one file is one exchange"
    assert {one.fate for one in told.values()} == {Fate.PENDING}
    found = ask(made, bundle)
    assert [found[one.reference].fate for one in bundle.items] == [Fate.SETTLED, Fate.FAILED, Fate.SETTLED]
    assert [made.ledger.find(one.reference) is not None for one in bundle.items] == [True] * 3
    moved = sum(one.amount.minor for one in made.ledger.entries(DEBTOR, NOON.date(), NOON.date()))
    assert moved == 150 + 350


def test_the_same_file_again_moves_nothing_and_says_that_the_first_arrived() -> None:
    made, bundle = many()
    upload(made, bundle)
    first = made.said[0].request
    again = made.exchange("business", first)
    told = made.bank.bundles[Kind.BATCH_ITEM].read(sent_as(made, bundle), again)
    assert {one.fate for one in told.values()} == {Fate.DUPLICATE}
    assert len(made.ledger.executions) == 3


def test_a_file_of_many_is_never_sent_again() -> None:
    made, _ = many()
    kinds = (Kind.BATCH_ITEM, Kind.PAYROLL_ITEM, Kind.COLLECTION)
    assert {made.bank.profile.replay[kind].policy for kind in kinds} == {Replay.NEVER}
    assert made.bank.profile.replay[Kind.PAYMENT].policy is Replay.REPLAY_SAFE


def test_a_lost_answer_is_doubt_until_the_bank_s_own_files_tell_of_every_line() -> None:
    made, bundle = many()
    conversation = made.bank.bundles[Kind.BATCH_ITEM].word(bundle, made.context(FILE))
    step: Any = next(conversation)
    while not isinstance(step, Submit):
        step = conversation.send(made.signers[step.key](step.octets))
    assert {one.fate for one in ask(made, bundle).values()} == {Fate.NOT_FOUND}, "it has not come there"
    made.exchange("business", step.data)
    conversation.close()
    made.serials = step.serials
    found = ask(made, bundle)
    assert [found[one.reference].fate for one in bundle.items] == [Fate.SETTLED, Fate.FAILED, Fate.SETTLED]


def test_an_answer_about_another_file_or_sum_is_none() -> None:
    made, bundle = many()
    upload(made, bundle)
    answer = made.said[0].answer
    other = replace(sent_as(made, bundle), reference="FILE0000000000000002")
    fewer = replace(sent_as(made, bundle), items=sent_as(made, bundle).items[:2])
    for sent in (other, fewer):
        with pytest.raises(ProtocolError) as refused:
            made.bank.bundles[Kind.BATCH_ITEM].read(sent, answer)
        assert refused.value.reason == "correlation"


@pytest.mark.parametrize("booking", [True, None])
def test_one_booking_for_the_whole_file_settles_those_that_were_not_refused(booking: bool | None) -> None:
    asked: dict[str, Any] = {} if booking is None else {"batch_booking": booking}
    made, bundle = many(**asked)
    upload(made, bundle)
    assert texts(file_in(made), "BtchBookg") == (["true"] if booking else [])
    found = ask(made, bundle)
    assert [found[one.reference].fate for one in bundle.items] == [Fate.SETTLED, Fate.FAILED, Fate.SETTLED]


@pytest.mark.parametrize(
    ("old", "new", "fates"),
    [
        ("", "", [Fate.SETTLED, Fate.FAILED, Fate.SETTLED]),
        ("<NbOfTxs>2</NbOfTxs>", "<NbOfTxs>3</NbOfTxs>", [Fate.UNKNOWN, Fate.FAILED, Fate.UNKNOWN]),
        (
            'Ccy="CNY">5.00</Amt><CdtDbtInd>',
            'Ccy="CNY">5.01</Amt><CdtDbtInd>',
            [Fate.UNKNOWN, Fate.FAILED, Fate.UNKNOWN],
        ),
        (FILE, "FILE0000000000000009", [Fate.PENDING, Fate.FAILED, Fate.PENDING]),
    ],
)
def test_a_booking_without_details_counts_only_with_our_number_count_and_sum(
    old: str, new: str, fates: list[Fate], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, bundle = many(batch_booking=True)
    upload(made, bundle)
    real = Files.download

    def bare(self: Any, file: Any, turn: Any) -> Any:
        content: Any = yield from real(self, file, turn)
        if not file.kind.startswith("camt"):
            return content
        root = etree.fromstring(content)
        for one in list(root.iter("{*}TxDtls")):
            one.getparent().remove(one)  # type: ignore[union-attr]
        return etree.tostring(root, encoding="utf-8").decode().replace(old or "\0", new).encode()

    monkeypatch.setattr(Files, "download", bare)
    found = ask(made, bundle)
    assert [found[one.reference].fate for one in bundle.items] == fates


def test_a_status_of_a_stranger_makes_the_word_about_the_rest_worthless(monkeypatch: pytest.MonkeyPatch) -> None:
    """The unknown status may be about one of our payments under a number that the bank changed."""
    made, bundle = many(Kind.BATCH_ITEM, "货款", "货款")
    upload(made, bundle)
    real = Files.download

    def renamed(self: Any, file: Any, turn: Any) -> Any:
        content: Any = yield from real(self, file, turn)
        text = content.decode().replace("LINE0000000000000002", "OTHER") if file.kind.startswith("pain") else ""
        return text.replace("<GrpSts>ACCP", "<GrpSts>ACSC").encode() if text else b"<none/>"

    monkeypatch.setattr(Files, "download", renamed)
    monkeypatch.setattr("protocols.banks.finws.iso.accounts", lambda data: ())
    found = ask(made, bundle)
    assert [found[one.reference].fate for one in bundle.items] == [Fate.PENDING, Fate.PENDING]


def told_otherwise(monkeypatch: pytest.MonkeyPatch, kind: str, change: Any) -> None:
    """Replace each downloaded file of a kind by the one that `change` makes of it."""
    real = Files.download

    def other(self: Any, file: Any, turn: Any) -> Any:
        content: Any = yield from real(self, file, turn)
        return content if not file.kind.startswith(kind) else etree.tostring(change(etree.fromstring(content)))

    monkeypatch.setattr(Files, "download", other)


@pytest.mark.parametrize(("groups", "fates"), [(1, [Fate.FAILED, Fate.FAILED]), (2, [Fate.PENDING, Fate.PENDING])])
def test_a_refused_group_says_nothing_of_the_payments_of_another(
    groups: int, fates: list[Fate], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bank refuses one group as a whole, names none of its payments, and does not mention the other group."""
    made, bundle = many(Kind.BATCH_ITEM, "货款", "货款")
    second = replace(bundle.items[1], order=replace(bundle.items[1].order, urgency=Urgency.URGENT))
    bundle = replace(bundle, items=(bundle.items[0], second)) if groups == 2 else bundle
    upload(made, bundle)

    def refused(root: etree._Element) -> etree._Element:
        ns = f"{{{etree.QName(root).namespace}}}"
        found = list(root.iter(f"{ns}OrgnlPmtInfAndSts"))
        assert len(found) == groups
        for one in found[:-1]:
            one.getparent().remove(one)  # type: ignore[union-attr]
        for line in list(found[-1].iter(f"{ns}TxInfAndSts")):
            found[-1].remove(line)
        etree.SubElement(found[-1], f"{ns}PmtInfSts").text = "RJCT"
        [whole] = list(root.iter(f"{ns}GrpSts"))
        whole.text = "PART"
        return root

    told_otherwise(monkeypatch, "pain", refused)
    monkeypatch.setattr("protocols.banks.finws.iso.accounts", lambda data: ())
    found = ask(made, bundle)
    assert [found[one.reference].fate for one in bundle.items] == fates


@pytest.mark.parametrize("kind", ["pain", "camt"])
def test_another_sum_under_one_s_number_leaves_that_one_in_doubt_and_hides_no_other(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, bundle = many(Kind.BATCH_ITEM, "货款", "货款", "货款")
    upload(made, bundle)

    def other_sum(root: etree._Element) -> etree._Element:
        for one in root.iter("{*}InstdAmt", "{*}Amt"):
            if one.text == "2.50":
                one.text = "2.51"
        return root

    told_otherwise(monkeypatch, kind, other_sum)
    found = ask(made, bundle)
    assert [found[one.reference].fate for one in bundle.items] == [Fate.SETTLED, Fate.UNKNOWN, Fate.SETTLED]
    assert "2.51" in found[bundle.items[1].reference].text


@pytest.mark.parametrize(("batches", "fate"), [(True, Fate.SETTLED), (False, Fate.PENDING)])
def test_details_without_amounts_count_together_or_not_at_all(
    batches: bool, fate: Fate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is one booking for all payments, whose details have only numbers: it counts for the whole file, or not at
    all."""
    made, bundle = many(Kind.BATCH_ITEM, "货款", "货款", "货款", batch_booking=True)
    upload(made, bundle)

    def bare(root: etree._Element) -> etree._Element:
        for batch in [] if batches else list(root.iter("{*}Btch")):
            batch.getparent().remove(batch)  # type: ignore[union-attr]
        for detail in root.iter("{*}TxDtls"):
            for one in [each for each in detail if etree.QName(each).localname in ("Amt", "AmtDtls")]:
                detail.remove(one)
        return root

    told_otherwise(monkeypatch, "camt", bare)
    found = ask(made, bundle)
    assert {found[one.reference].fate for one in bundle.items} == {fate}


def test_what_does_not_fit_is_refused_before_anything_leaves() -> None:
    made, bundle = many()
    twice = replace(bundle, items=(bundle.items[0], bundle.items[0]))
    unsigned = Bundle(Kind.COLLECTION, items(Kind.COLLECTION, "会费", detail=CollectionDetail("A1", "B1", 1)))
    for wrong in (twice, unsigned):
        with pytest.raises(ProtocolError):
            upload(made, wrong)
    few, _ = many(file_payments=2)
    with pytest.raises(ProtocolError):
        upload(few, bundle)
    assert made.said == few.said == []


# ---- what a file says --------------------------------------------------------------------------------------------


def test_payroll_says_so_and_instant_payments_stand_in_a_group_of_their_own() -> None:
    made, _ = many()
    paid = items(Kind.PAYROLL_ITEM, "工资", "工资", "工资")
    fast = replace(paid[1], order=replace(paid[1].order, channel=Channel.INSTANT))
    urgent = replace(paid[2], order=replace(paid[2].order, urgency=Urgency.URGENT))
    upload(made, Bundle(Kind.PAYROLL_ITEM, (paid[0], fast, urgent)))
    root = file_in(made)
    assert texts(root, "PmtInfId") == [f"{FILE}-1", f"{FILE}-2", f"{FILE}-3"]
    assert [one.text for one in root.iterfind(".//{*}CtgyPurp/{*}Cd")] == ["SALA"] * 3
    assert [one.text for one in root.iterfind(".//{*}LclInstrm/{*}Cd")] == ["INST"]
    assert [one.text for one in root.iterfind(".//{*}SvcLvl/{*}Cd")] == ["NURG", "NURG", "URGP"]
    assert texts(root, "NbOfTxs") == ["3", "1", "1", "1"]


TERMS = Terms(
    "PAYERS-17",
    "SUPP",
    "SHAR",
    (Remittance(RF), Remittance(invoice="HT-0931", amount=Money(150))),
    Name("示例集团"),
    Name("示例丙"),
)


@pytest.mark.parametrize("form", ["pain.001.001.03", "pain.001.001.09"])
def test_the_order_s_terms_travel_and_the_file_fits_its_schema(form: str) -> None:
    made, _ = many(payment_form=form)
    bundle = Bundle(Kind.BATCH_ITEM, items(Kind.BATCH_ITEM, "货款", RF, terms=TERMS))
    upload(made, bundle)
    root = file_in(made)
    assert schema.faults(root, form) == ()
    assert texts(root, "EndToEndId") == ["PAYERS-17"] * 2
    assert texts(root, "InstrId") == [one.reference for one in bundle.items]
    assert [one.text for one in root.iterfind(".//{*}Purp/{*}Cd")] == ["SUPP"] * 2
    assert texts(root, "ChrgBr") == ["SHAR"]
    assert [one.text for one in root.iterfind(".//{*}UltmtDbtr/{*}Nm")] == ["示例集团"] * 2
    assert [one.text for one in root.iterfind(".//{*}UltmtCdtr/{*}Nm")] == ["示例丙"] * 2
    assert [one.text for one in root.iterfind(".//{*}CdtrRefInf/{*}Ref")] == [RF] * 2
    assert texts(root, "Ustrd") == ["货款"], "a text that only repeats the reference is not written twice"


def test_payments_with_the_payer_s_own_number_are_found_by_ours() -> None:
    """The payer may use a number twice. Ours is in InstrId, and in a file of its own in MsgId and PmtInfId."""
    made, _ = many()
    bundle = Bundle(Kind.BATCH_ITEM, items(Kind.BATCH_ITEM, "货款", "货款 #refuse", "货款", terms=TERMS))
    upload(made, bundle)
    found = ask(made, bundle)
    assert [found[one.reference].fate for one in bundle.items] == [Fate.SETTLED, Fate.FAILED, Fate.SETTLED]


def single(made: BankAndTwin) -> Outcome:
    order = replace(order_of({"amount": "1.50"}), terms=TERMS)
    assert made.talk(made.bank.money[Kind.PAYMENT](order, made.context(REFERENCE))).fate is Fate.PENDING
    assert made.bank.questions.fate is not None
    sent = sent_of(order, REFERENCE, NOON.date(), made.serials)
    return made.talk(made.bank.questions.fate(FateQuestion(sent), made.context()))


@pytest.mark.parametrize("left", ["InstrId", "MsgId", "PmtInfId", ""])
def test_a_payment_of_its_own_is_found_by_any_of_its_numbers_and_never_by_the_payer_s_alone(
    left: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, _ = many()
    real = Files.download

    def told(self: Any, file: Any, turn: Any) -> Any:
        content: Any = yield from real(self, file, turn)
        root = etree.fromstring(content)
        for refs in root.iter("{*}Refs"):
            instruction = refs.find("{*}InstrId")
            assert instruction is not None and instruction.text == REFERENCE
            if left:
                instruction.tag = str(instruction.tag).replace("InstrId", left)
            else:
                refs.remove(instruction)
        for line in list(root.iter("{*}OrgnlInstrId")):
            line.getparent().remove(line)  # type: ignore[union-attr]
        return etree.tostring(root)

    monkeypatch.setattr(Files, "download", told)
    assert single(made).fate is (Fate.SETTLED if left else Fate.PENDING)


def test_a_contract_may_keep_our_number_as_the_payee_s() -> None:
    made, _ = many(end_to_end="reference")
    assert single(made).fate is Fate.SETTLED
    assert texts(file_in(made), "EndToEndId") == [REFERENCE]


@pytest.mark.parametrize("form", ["pain.008.001.02", "pain.008.001.08"])
def test_direct_debits_carry_their_mandate_and_fit_their_schema(form: str) -> None:
    made, _ = many(collection_form=form, creditor_scheme="FI00ZZZ0000000000")
    first = CollectionDetail("MND-1", "B1", 1, DebitTerms("2026-01-02", "FRST", "B2B", ""))
    again = CollectionDetail("MND-2", "B1", 2, DebitTerms("2025-01-02"))
    [one, two] = items(Kind.COLLECTION, "会费", "会费")
    made_of = tuple(
        replace(item, order=replace(cast(Any, item.order), detail=detail))
        for item, detail in ((one, first), (two, again))
    )
    upload(made, Bundle(Kind.COLLECTION, made_of))
    root = file_in(made)
    assert schema.faults(root, form) == ()
    assert texts(root, "MndtId") == ["MND-1", "MND-2"] and texts(root, "DtOfSgntr") == ["2026-01-02", "2025-01-02"]
    assert texts(root, "SeqTp") == ["FRST", "RCUR"]
    assert [each.text for each in root.iterfind(".//{*}LclInstrm/{*}Cd")] == ["B2B", "CORE"]
    assert texts(root, "PmtInfId") == [f"{FILE}-1", f"{FILE}-2"]
    assert [each.text for each in root.iterfind(".//{*}CdtrSchmeId/{*}Id/{*}PrvtId/{*}Othr/{*}Id")] == [
        "FI00ZZZ0000000000"
    ] * 2


def test_without_a_contract_for_direct_debits_none_are_carried() -> None:
    assert set(stage().bank.bundles) == {Kind.BATCH_ITEM, Kind.PAYROLL_ITEM}


def test_a_person_and_a_bic_are_written_where_the_form_has_a_place() -> None:
    made, _ = many()
    [item] = items(Kind.BATCH_ITEM, "货款")
    payee = replace(item.order.creditor, kind=PartyKind.PERSON, bic="BBBBFIHH", bank_name="示例银行")
    upload(made, Bundle(Kind.BATCH_ITEM, (replace(item, order=replace(item.order, creditor=payee)),)))
    agent = file_in(made).find(".//{*}CdtrAgt")
    assert agent is not None and texts(agent, "BIC") == ["BBBBFIHH"] and texts(agent, "Nm") == []


def test_a_booking_on_another_account_is_not_this_payment_s(monkeypatch: pytest.MonkeyPatch) -> None:
    made, bundle = many()
    upload(made, bundle)
    real = Files.download

    def elsewhere(self: Any, file: Any, turn: Any) -> Any:
        content: Any = yield from real(self, file, turn)
        own = f"<Acct><Id><Othr><Id>{DEBTOR}<"
        return content.decode().replace(own, own.replace(DEBTOR, "0000000000000000033")).encode()

    monkeypatch.setattr(Files, "download", elsewhere)
    found = ask(made, bundle)
    assert [found[one.reference].fate for one in bundle.items] == [Fate.PENDING, Fate.FAILED, Fate.PENDING]


# ---- national rules ----------------------------------------------------------------------------------------------


def written(rules: str, terms: Terms, purpose: str) -> etree._Element:
    made, _ = many(
        rules=rules,
        payment_form="pain.001.001.09" if rules == "sps" else "pain.001.001.03",
        address={"country": "FI", "town": "Helsinki", "postcode": "00100", "street": "Katu", "building": "1"},
    )
    [item] = items(Kind.BATCH_ITEM, purpose, terms=terms)
    upload(made, Bundle(Kind.BATCH_ITEM, (item,)))
    return file_in(made)


@pytest.mark.parametrize(
    ("rules", "parts", "purpose", "structured", "text"),
    [
        ("iso", (RF, "HT-1"), "货款", [RF, "HT-1"], ["货款"]),
        ("sps", (RF,), "货款", [RF], ["货款"]),
        ("sps", (RF, "RF712348231"), f"{RF} RF712348231", [], [f"{RF} RF712348231"]),
        ("dk", (RF,), "", [RF], []),
        ("dk", (RF,), f"Rechnung {RF}", [], [f"Rechnung {RF}"]),
    ],
)
def test_national_rules_decide_what_stands_beside_a_reference(
    rules: str, parts: tuple[str, ...], purpose: str, structured: list[str], text: list[str]
) -> None:
    root = written(rules, Terms(remittances=tuple(Remittance(one) for one in parts)), purpose)
    assert [one.text for one in root.iterfind(".//{*}CdtrRefInf/{*}Ref")] == structured
    assert texts(root, "Ustrd") == text


@pytest.mark.parametrize(
    ("rules", "parts", "purpose"),
    [("sps", (RF, "RF712348231"), "货款"), ("dk", (RF,), "货款"), ("dk", (RF, "RF712348231"), "")],
)
def test_what_the_rules_have_no_place_for_is_not_left_out_in_silence(
    rules: str, parts: tuple[str, ...], purpose: str
) -> None:
    with pytest.raises(ProtocolError, match="rules"):
        written(rules, Terms(remittances=tuple(Remittance(one) for one in parts)), purpose)


def test_german_rules_know_lines_of_an_address_bics_and_shared_fees_only() -> None:
    root = written("dk", Terms(), "货款")
    assert texts(root, "AdrLine") == ["Katu 1", "00100 Helsinki"] and texts(root, "StrtNm") == []
    assert root.find(".//{*}CdtrAgt") is None, "a bank by its name is left out"
    assert [one.text for one in root.iterfind(".//{*}SvcLvl/{*}Cd")] == ["SEPA"]
    assert "charge_bearer" not in many(rules="dk")[0].bank.profile.limits.terms


@pytest.mark.parametrize(
    ("adapter", "told"),
    [
        ({"service_level": "SEPA"}, ["finws cannot carry it here"]),
        ({"rules": "dk"}, ["finws cannot carry it here"]),
        ({}, []),
    ],
)
def test_fees_that_are_not_shared_are_refused_by_name_where_the_rules_know_none(
    adapter: dict[str, Any], told: list[str]
) -> None:
    route = Route("1", "demo", "finws", "finws.main", "EUR", many(**adapter)[0].bank.profile.limits, frozenset(Kind))
    order = replace(order_of({"amount": "1.50"}), terms=Terms(charge_bearer="DEBT"))
    assert [one.detail for one in check(order, route, NOON.date()) if one.at == "/terms/charge_bearer"] == told


# ---- what does not fit its schema --------------------------------------------------------------------------------


def test_files_of_the_bank_that_do_not_fit_their_schema_are_read_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    made, bundle = many()
    upload(made, bundle)
    assert all(one.findings == () for one in ask(made, bundle).values()), "what the simulated bank writes fits"
    real = Files.download

    def odd(self: Any, file: Any, turn: Any) -> Any:
        content: Any = yield from real(self, file, turn)
        return content.replace(b"<CreDtTm>", b"<Odd>1</Odd><CreDtTm>", 1)

    monkeypatch.setattr(Files, "download", odd)
    found = ask(made, bundle)
    assert [found[one.reference].fate for one in bundle.items] == [Fate.SETTLED, Fate.FAILED, Fate.SETTLED]
    [finding] = found[bundle.items[1].reference].findings
    assert "does not fit the schema of pain.002.001.03" in finding and "Odd" in finding
    assert made.bank.questions.lines is not None
    question = LinesQuestion(AccountNumber(DEBTOR), NOON.date(), NOON.date())
    page = made.talk(made.bank.questions.lines(question, made.context()))
    assert len(page.lines) == 2 and any("schema of camt.052.001.02" in one for one in page.findings)
