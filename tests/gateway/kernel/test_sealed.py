"""The raw database contains no name, account number or other text that identifies anybody."""

from __future__ import annotations

from pathlib import Path

from gateway.kernel.commit import audit
from gateway.kernel.commit.permit_log import PermitLog
from gateway.kernel.commit.rows import Evidence, QuestionRow, Reply
from gateway.kernel.core.states import Answered, Reject, Resolve, Silent, Source
from gateway.payments.rows import refusals
from gateway.statements.rows import questions
from protocols.canon.errors import Code
from protocols.canon.outcome import Fate, Outcome
from tests.gateway.kernel.bench import (
    CREDITOR,
    CREDITOR_NAME,
    DEBTOR,
    DEBTOR_NAME,
    NOW_MS,
    PURPOSE,
    Journal,
    attempt,
    hold,
    order,
    vault,
)

PASSWORD = "operator-password-1"
SECRETS = [DEBTOR, CREDITOR, DEBTOR_NAME, CREDITOR_NAME, PURPOSE, PASSWORD, "示例银行某支行", "INV-0931"]


def test_the_raw_files_contain_no_account_name_purpose_or_password(sqlite_url: str, tmp_path: Path) -> None:
    journal = Journal(sqlite_url, permits=PermitLog(tmp_path / "permits", vault(), "n1"))
    everything = " ".join(SECRETS)
    gbk = everything.encode("gb18030")
    row = journal.admit(dup_key=everything).row
    wire = attempt(row.payment, 1, 1, gbk + everything.encode())
    from gateway.kernel.core.states import Send

    journal.apply(row.payment, Send(NOW_MS), attempt=wire)
    outcome = Outcome(Fate.UNKNOWN, "E1", everything, "SERIAL")
    evidence = Evidence(Source.SUBMIT, gbk, Fate.UNKNOWN, "E1", everything)
    journal.apply(row.payment, Answered(NOW_MS, Fate.UNKNOWN, Source.SUBMIT), outcome=outcome, evidence=evidence)
    journal.apply(row.payment, Resolve(NOW_MS, Fate.SETTLED), epoch=None, outcome=outcome)
    held = journal.admit(order("b"), judged=hold, dup_key=everything).row
    journal.apply(held.payment, Reject(NOW_MS, Code.NOT_ALLOWED), epoch=None)
    doubt = journal.admit(order("c"), dup_key=everything).row
    journal.send(doubt)
    journal.apply(doubt.payment, Silent(NOW_MS, everything))
    body = everything.encode()
    journal.do(lambda tx: refusals.refuse(tx, "d", "erp", Code.SCHEMA, body, None, None))
    journal.do(lambda tx: questions.ask(tx, QuestionRow("q", "erp", "balance.query", body, Reply("q", None), 1, 2)))
    journal.do(lambda tx: audit.append(tx, "person:1", "note", "x", {"reason": everything}))

    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name.startswith(("journal.db", "0000"))]
    assert {path.name for path in files} >= {"journal.db", "journal.db-wal", "00000001.log"}
    # The first entry of an audit trail follows 64 zeros: with a fingerprint that begins with 25 it would look like one
    # of the sample accounts.
    raw = b"".join(path.read_bytes() for path in files).replace(b"0" * 64, b"(none)")
    assert b"AP-1" in raw, "the files are really the ones that were written"
    for secret in SECRETS:
        for charset in ("utf-8", "gb18030", "utf-16-le"):
            assert secret.encode(charset) not in raw, secret
    journal.close()
