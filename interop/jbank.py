"""django-jbank, an independent client of the Finnish Web Services, uses our simulated bank."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path
from typing import Any

from lxml import etree

from interop.peer import PROGRAMS, PYTHON, PeerDisagrees, must, run
from interop.samples import CUSTOMER, Samples
from interop.simulator import running
from protocols.canon.money import Money
from protocols.canon.outcome import Fate
from protocols.kit.iso20022 import account, lines, report, transfer
from protocols.kit.iso20022.account import AccountReport

KINDS = ("pain.002.001.03", "camt.054.001.02", "camt.052.001.02")
REFERENCE, MESSAGE, AMOUNT = "JBANK-E2E-1", "JBANK-MSG-1", Money(123456, "EUR")
# xmlsec's examples have a program of this name; the command of the same library signs the same template.
_SIGN = '#!/bin/sh\nexec xmlsec1 --sign --privkey-pem "$2,$3" "$1"\n'


def iban(number: int) -> str:
    """A Finnish IBAN of an account that does not exist: zeros, `number`, and right check digits."""
    digits = f"{number:014d}"
    return f"FI{98 - int(f'{digits}151800') % 97:02d}{digits}"


def check(samples: Samples) -> str:
    """Upload, list, download and user info; then the views of both sides are compared."""
    debtor, creditor = iban(17), iban(25)
    folder = samples.folder / "jbank"
    (folder / "certs").mkdir(parents=True)
    tool = folder / "sign3-sha256"
    tool.write_text(_SIGN)
    tool.chmod(0o755)
    for source, name in ((samples.pki.gateway_sign_cert, "cert.pem"), (samples.pki.gateway_sign_key, "key.pem")):
        shutil.copy(source, folder / "certs" / name)
    # The package signs the SOAP body, not the time stamp beside it.
    with running(samples, {debtor: "10000.00"}, stamp_signed=False) as bank:
        wishes = {
            "folder": str(folder),
            "tools": str(folder),
            "customer": CUSTOMER,
            "bic": "BANKFIHH",
            "url": f"https://127.0.0.1:{bank.port}/services/CorporateFileService",
            "tls_cert": str(samples.pki.client_cert),
            "tls_key": str(samples.pki.client_key),
            "tls_ca": str(samples.pki.ca_cert),
            "sign_cert": "certs/cert.pem",
            "sign_key": "certs/key.pem",
            "message": MESSAGE,
            "reference": REFERENCE,
            "amount": str(AMOUNT),
            "debtor": debtor,
            "creditor": creditor,
            "kinds": KINDS,
        }
        (folder / "wishes.json").write_text(json.dumps(wishes))
        visit = run([PYTHON, PROGRAMS / "jbank_client.py", folder / "wishes.json"], HOME=str(folder))
        said = must(visit, "django-jbank")
        _same(json.loads(said.splitlines()[-1]), debtor, bank.ledger)
    return "upload, list, download and user info over mutual TLS; its pain.001 and our pain.002 and camt read alike"


def _same(told: dict[str, Any], debtor: str, ledger: Path) -> None:
    """Compares jbank's view, our kit's reading of the same files, and the bank's books."""
    code, reference = told["upload"]
    expect("the upload's answer", code, "00")
    paid = transfer.read_transfers(etree.fromstring(told["payment"].encode()))
    expect(
        "its payment file",
        [(one.end_to_end_id, one.amount) for group in paid.groups for one in group.transfers],
        [(REFERENCE, AMOUNT)],
    )
    [[status, parent]] = told["files"]["pain.002.001.03"]
    expect("the status file's parent", parent, reference)
    expect("the status file as it reads it", told["status"], [MESSAGE, "", [[REFERENCE, "ACCP"]]])
    content = _content(told, status)
    word = report.said_of(report.read_status(etree.fromstring(content)), REFERENCE)
    expect("the status file as we read it", None if word is None else word.fate, Fate.PENDING)
    for kind in KINDS[1:]:
        [[file, _]] = told["files"][kind]
        [booked] = account.read_reports(etree.fromstring(_content(told, file)))
        said = lines.said_of(booked, REFERENCE, AMOUNT)
        expect(f"{kind} about the payment", None if said is None else said.fate, Fate.SETTLED)
        expect(f"{kind}'s account", booked.account, debtor)
        expect(f"{kind}'s findings", booked.findings, ())
        _left(booked)
    expect("its rights", ["pain.001.001.03", "Upload"] in told["rights"], True)
    executions = [row for row in map(json.loads, ledger.read_text().splitlines()) if REFERENCE in json.dumps(row)]
    expect("entries in the bank's books", bool(executions), True)


def _left(booked: AccountReport) -> None:
    book = booked.balance("ITBD")
    if book is not None:
        expect("what is left", book.amount, Money(1_000_000, "EUR") - AMOUNT)


def _content(told: dict[str, Any], reference: str) -> bytes:
    code, packed = told["contents"][reference]
    expect(f"the answer to the download of {reference}", code, "00")
    return base64.b64decode(packed)


def expect(what: str, said: object, wanted: object) -> None:
    """Raises PeerDisagrees if they differ."""
    if said != wanted:
        raise PeerDisagrees(f"{what}: {said!r}, not {wanted!r}")
