from __future__ import annotations

from gateway.kernel.commit.attempts import StoredEvidence
from gateway.kernel.commit.audit import AuditEntry
from gateway.kernel.commit.rows import AttemptRow, Evidence, OutboxRow
from gateway.kernel.core.states import Answered, Source
from gateway.payments.rows.timeline import timeline
from protocols.canon.outcome import Fate
from tests.gateway.kernel.bench import Journal, order


def test_the_file_of_a_payment_tells_its_story_in_order(journal: Journal) -> None:
    journal.admit(order("another"))
    row = journal.admit().row
    journal.hands.task.advance(1)
    journal.send(row)
    journal.hands.task.advance(1)
    answered = Answered(journal.hands.now_ms(), Fate.SETTLED, Source.SUBMIT)
    journal.apply(row.payment, answered, evidence=Evidence(Source.SUBMIT, b"<ok/>", Fate.SETTLED))
    told = []
    for moment in journal.read(lambda conn: timeline(conn, row.payment)):
        what = moment.what
        if isinstance(what, AuditEntry):
            told.append(what.entry)
        elif isinstance(what, AttemptRow):
            told.append(f"sent {what.wire!r}")
        elif isinstance(what, StoredEvidence):
            told.append(f"evidence {what.content.body!r}")
        else:
            assert isinstance(what, OutboxRow)
            told.append(f"mail {what.routing_key}")
    assert told == [
        "payment.admitted",
        "mail payment.accepted.sample.erp",
        "mail erp.replies",
        "payment.send",
        "sent b'<pay/>'",
        "payment.sent_settled",
        "evidence b'<ok/>'",
        "mail payment.settled.sample.erp",
    ]


def test_nothing_is_known_of_an_unknown_payment(small: Journal) -> None:
    assert small.read(lambda conn: timeline(conn, "nope")) == []
