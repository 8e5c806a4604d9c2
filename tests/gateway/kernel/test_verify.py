"""Each change of the journal by other programs is found: by the chain, by the other tables, or by a witness."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from gateway.kernel.checkpoints import checkpoints, merkle, verify
from gateway.kernel.checkpoints.checkpoints import Checkpoint, LogTree, PublishedCheckpoint
from gateway.kernel.checkpoints.verify import Report
from gateway.kernel.checkpoints.witness import Witness, WitnessResult
from gateway.kernel.commit import audit, chain_check, permit_log
from gateway.kernel.commit.permit_log import PermitLog
from gateway.kernel.commit.rows import Evidence, Head
from gateway.kernel.core.states import Answered, Source
from gateway.kernel.sql import schema
from protocols.canon.outcome import Fate
from tests.gateway.kernel.bench import NOW_MS, Journal, order, vault
from tests.gateway.kernel.restored_node import copy, put_back

A, P, M, E = (table.c for table in (schema.audit, schema.payments, schema.outbox, schema.evidence))
Change = Callable[[Any], object]


class Site:
    """A node with three payments, its permit log, its signing key and a witness elsewhere."""

    def __init__(self, url: str, folder: Path) -> None:
        self.state = folder / "state"
        self.state.mkdir()
        self.key = checkpoints.load_key(self.state / "checkpoint.key")
        self.log = PermitLog(self.state / "permits", vault(), "n1")
        self.journal = Journal(url, permits=self.log)
        self.origin = checkpoints.origin_of("n1")
        self.witness = Witness(folder / "witness", (checkpoints.public_words(self.key.public_key(), self.origin),))
        self.made = LogTree()
        self.notes: list[str] = []
        for n in range(3):
            self.pay(f"a{n}")

    def pay(self, id: str) -> str:
        row = self.journal.admit(order(id)).row
        self.journal.send(row)
        evidence = Evidence(Source.SUBMIT, b"<yes/>", Fate.SETTLED)
        self.journal.apply(row.payment, Answered(NOW_MS, Fate.SETTLED, Source.SUBMIT), evidence=evidence)
        return row.payment

    def point(self) -> WitnessResult:
        """Make a checkpoint as the daemon does, and show it to the witness."""
        leaves, head = self.journal.read(lambda conn: checkpoints.entries_after(conn, "n1", self.made.head))
        after = self.made.with_leaves(leaves, head)
        point = Checkpoint(self.origin, head.seq, merkle.root(after.tree), head.hash, "2026-11-24T00:00:00Z")
        note = checkpoints.sign(point, self.key)
        word = PublishedCheckpoint(note, self.made.tree, merkle.between(self.made.head.seq, leaves))
        self.journal.do(lambda tx: checkpoints.store_checkpoint(tx, "n1", after, word))
        self.made = after
        self.notes.append(note)
        return self.witness.receive(word.octets())

    def verify(self, *, log: bool = True) -> Report:
        points, wrong = verify.believed(self.notes, {self.origin: self.key.public_key()})
        assert wrong == []
        known = permit_log.know(self.state / "permits", vault(), "n1")
        logged = verify.heads_of(known) if log else verify.NOTHING
        return self.journal.read(lambda conn: verify.whole(conn, vault(), points, logged))

    def tampered(self, change: Change, **how: bool) -> str:
        with self.journal.stranger() as conn:
            change(conn)
        return " | ".join(self.verify(**how).problems)


@pytest.fixture
def site(url: str, tmp_path: Path) -> Iterator[Site]:
    made = Site(url, tmp_path)
    report = made.verify()
    assert (report.problems, report.remarks, report.entries, report.payments) == ([], [], 9, 3)
    yield made
    made.journal.close()


def entry(seq: int, **values: object) -> Change:
    return lambda conn: conn.execute(update(schema.audit).where(A.seq == seq).values(**values))


def rechained(conn: Any, *, at: int = 0, without: tuple[int, ...] = (), **values: object) -> None:
    """Remove entries or change one, and compute every hash anew, as somebody without the key can."""
    rows = [row for row in conn.execute(select(schema.audit).order_by(A.seq)).all() if row.seq not in without]
    conn.execute(delete(schema.audit))
    prev = audit.GENESIS
    for seq, row in enumerate(rows, start=1):
        new = {**row._mapping, **(values if row.seq == at else {}), "seq": seq, "prev_hash": prev}
        header = chain_check.header("n1", seq, new["at_ms"], new["actor"], new["entry"], new["object_id"], prev)
        prev = new["hash"] = audit._digest(header, new["detail"])
        conn.execute(schema.audit.insert(), new)
    conn.execute(update(schema.units).values(audit_seq=len(rows), audit_hash=prev))


# ---- the chain ---------------------------------------------------------------------------------------------------


def test_a_flipped_bit(site: Site) -> None:
    [sealed] = site.journal.read(lambda conn: conn.execute(select(A.detail).where(A.seq == 4)).scalars().all())
    flipped = bytes([*sealed[:-1], sealed[-1] ^ 1])
    assert "entry 4 was altered" in site.tampered(entry(4, detail=flipped))


def test_a_deleted_entry(site: Site) -> None:
    assert "entry 4 is missing; 5 follows 3" in site.tampered(
        lambda c: c.execute(delete(schema.audit).where(A.seq == 4))
    )


def test_reordered_entries(site: Site) -> None:
    def swap(conn: Any) -> None:
        for old, new in ((4, 99), (5, 4), (99, 5)):
            conn.execute(update(schema.audit).where(A.seq == old).values(seq=new))

    assert "entry 4 does not continue entry 3" in site.tampered(swap)


def test_an_inserted_entry(site: Site) -> None:
    def insert(conn: Any) -> None:
        row = conn.execute(select(schema.audit).where(A.seq == 9)).one()._mapping
        new = {**row, "seq": 10, "prev_hash": row["hash"], "entry": "lane.resumed"}
        header = chain_check.header(
            new["node"], 10, new["at_ms"], new["actor"], "lane.resumed", new["object_id"], row["hash"]
        )
        new["hash"] = audit._digest(header, new["detail"])
        conn.execute(schema.audit.insert(), new)
        conn.execute(update(schema.units).values(audit_seq=10, audit_hash=new["hash"]))

    said = site.tampered(insert)
    assert (
        "entry 10 was not written by a holder" in said and "its end (table units) was not written by a holder" in said
    )


def test_a_cut_tail(site: Site) -> None:
    """The last entries are cut off and the row of `units` is changed to fit: the chain is valid, but the seal and the
    log do not match it."""
    site.point()

    def cut(conn: Any) -> None:
        row = conn.execute(select(schema.audit).where(A.seq == 5)).one()
        conn.execute(delete(schema.audit).where(A.seq > 5))
        conn.execute(update(schema.units).values(audit_seq=5, audit_hash=row.hash))

    said = site.tampered(cut)
    assert "its end (table units) was not written by a holder of the vault's key" in said
    assert "the checkpoint of 2026-11-24T00:00:00Z counted 9 entries, and there are fewer" in said
    assert "the permit log knows entry 9, which is not there" in said
    with site.journal.stranger() as conn:
        conn.execute(update(schema.units).values(seal=None, before_seq=None))
    assert "its end (table units) has no seal" in " | ".join(site.verify().problems)


def test_a_units_row_rewritten_without_the_key(site: Site) -> None:
    changes: list[dict[str, Any]] = [
        {"audit_seq": 8},
        {"audit_hash": "0" * 64},
        {"before_seq": 0},
        {"at_ms": 1},
        {"seal": "0" * 64},
    ]
    for change in changes:
        old = copy(site.journal)
        statement = update(schema.units).values(change)
        assert "(table units) was not written" in site.tampered(lambda conn, it=statement: conn.execute(it))  # type: ignore[misc]
        put_back(site.journal, old)


def test_entries_taken_out_and_every_hash_made_anew(site: Site) -> None:
    site.point()
    said = site.tampered(lambda conn: rechained(conn, without=(4, 5, 6)))
    assert "was not written by a holder" in said and "differs from what the permit log knows" not in said
    assert "the checkpoint of" in said


def test_the_checkpoint_alone_sees_a_chain_rewritten_with_the_key(site: Site) -> None:
    """An insider has the vault's key, and rewrites the past and every seal."""
    site.point()
    keys = vault()

    def rewrite(conn: Any) -> None:
        prev, head = audit.GENESIS, Head(0, audit.GENESIS)
        for row in conn.execute(select(schema.audit).order_by(A.seq)).all():
            clear = keys.open(row.detail, audit.header_of(row))
            actor = "user:innocent" if row.seq == 1 else row.actor
            header = chain_check.header("n1", row.seq, row.at_ms, actor, row.entry, row.object_id, prev)
            detail = keys.seal(clear, header)
            digest = audit._digest(header, detail)
            values = {"actor": actor, "detail": detail, "prev_hash": prev, "hash": digest}
            conn.execute(update(schema.audit).where(A.seq == row.seq).values(values))
            prev, head = digest, Head(row.seq, digest)
        unit = conn.execute(select(schema.units)).one()
        seal = audit.head_seal(keys, "n1", unit.unit, unit.at_ms, head, unit.before_seq, unit.rows_seq)
        conn.execute(update(schema.units).values(audit_hash=prev, seal=seal))

    said = site.tampered(rewrite, log=False)
    assert "its first 9 entries differ from those of the checkpoint" in said and said.count("|") == 0
    assert "differs from what the permit log knows" in " | ".join(site.verify().problems)


def test_database_and_files_rolled_back_together(site: Site, tmp_path: Path) -> None:
    """A snapshot of the whole machine, with its keys, is restored: only the witness can show that."""
    assert site.point() == WitnessResult(site.origin, 9)
    rows, made = copy(site.journal), site.made
    shutil.copytree(site.state, tmp_path / "snapshot")
    site.pay("b")
    assert site.point() == WitnessResult(site.origin, 12)
    kept = list(site.notes)
    put_back(site.journal, rows)
    shutil.rmtree(site.state)
    (tmp_path / "snapshot").rename(site.state)
    site.notes, site.made = kept[:1], made
    site.journal.close()
    site.log = PermitLog(site.state / "permits", vault(), "n1")
    site.journal = Journal(site.journal.url, permits=site.log)
    assert site.verify().problems == [], "nothing on the machine shows it"
    site.pay("c")
    site.pay("d")
    seen = site.point()
    assert seen.alarm and "it continues 9 entries, and there were 12" in seen.why
    site.notes = kept
    assert "its first 12 entries differ from those of the checkpoint" in " | ".join(site.verify().problems)


def test_a_chain_forked_by_two_nodes(site: Site) -> None:
    """Two machines continue from the same backup under the same name. Both send their checkpoints to the witness."""
    site.point()
    rows, made = copy(site.journal), site.made
    site.pay("b")
    assert not site.point().alarm
    put_back(site.journal, rows)
    site.made = made
    site.journal.close()
    site.journal = Journal(site.journal.url)
    site.pay("c")
    seen = site.point()
    assert seen.alarm and "12 entries, and there were 12 at" in seen.why
    assert "differ from those of the checkpoint" in " | ".join(site.verify(log=False).problems)


def test_a_clock_set_back(site: Site) -> None:
    """This is reported but is no contradiction, because it happens to honest machines."""
    site.journal.hands.task.advance(7_200)
    site.pay("b")
    site.journal.hands.task.rightNow -= 3_600
    site.pay("c")
    report = site.verify()
    assert report.problems == []
    assert report.remarks == ["audit of n1: entry 13 is 3600 s earlier than the one before it: the clock was set back"]


# ---- the other tables --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"state": "failed"}, "its state is failed, its last audit entry says settled"),
        ({"seq": 1}, "its seq is 1"),
        ({"version": 9}, "its version is 9"),
        ({"attempt": 0}, "its attempt is 0"),
        ({"amount_minor": 1}, "its row was altered"),
        ({"currency": "USD"}, "its row was altered"),
        ({"order_id": "x"}, "its row was altered"),
        ({"sender": "other"}, "its sender or order id differs"),
        ({"order": b"x" * 80}, "its row was altered"),
    ],
)
def test_an_altered_row_of_a_payment(site: Site, values: dict[str, Any], says: str) -> None:
    payment = site.pay("b")
    said = site.tampered(lambda conn: conn.execute(update(schema.payments).where(P.payment == payment).values(values)))
    assert says in said and payment in said


def test_the_orders_of_two_payments_changed_places(site: Site) -> None:
    one, other = site.pay("b"), site.pay("c")

    def swap(conn: Any) -> None:
        sealed = dict(conn.execute(select(P.payment, P.order)).all())
        for to, of in ((one, other), (other, one)):
            conn.execute(update(schema.payments).where(P.payment == to).values(order=sealed[of]))

    assert site.tampered(swap).count("its row was altered") == 2


def test_a_deleted_payment(site: Site) -> None:
    payment = site.pay("b")

    def gone(conn: Any) -> None:
        for table in (schema.outbox, schema.work, schema.evidence, schema.attempts, schema.payments):
            conn.execute(delete(table).where(table.c.payment == payment))

    assert f"payment {payment}: it was admitted, and its row is gone" in site.tampered(gone)


def test_a_deleted_and_an_altered_event(site: Site) -> None:
    payment = site.pay("b")
    mine = (M.payment == payment) & (M.exchange == "bankgw.events")
    last = site.journal.read(
        lambda conn: conn.execute(select(M.message_id).where(mine).order_by(M.message_id.desc())).first()
    )
    assert last is not None
    old = copy(site.journal)
    assert "its events 2 of 2 are gone" in site.tampered(
        lambda conn: conn.execute(delete(schema.outbox).where(M.message_id == last.message_id))
    )
    put_back(site.journal, old)
    assert "its events 2 of 2 are gone from the outbox, or were altered" in site.tampered(
        lambda conn: conn.execute(update(schema.outbox).where(M.message_id == last.message_id).values(body=b"x" * 60))
    )


@pytest.mark.parametrize("change", ["deleted", "altered", "moved"])
def test_evidence_that_was_tampered_with(site: Site, change: str) -> None:
    payment, other = site.pay("b"), site.pay("c")
    mine = E.payment == payment
    statement = {
        "deleted": delete(schema.evidence).where(mine),
        "altered": update(schema.evidence).where(mine).values(body=b"x" * 60),
        "moved": update(schema.evidence).where(mine).values(payment=other),
    }[change]
    said = site.tampered(lambda conn: conn.execute(statement))
    assert f"payment {payment}: evidence that an audit entry names is gone" in said


def test_a_deleted_attempt(site: Site) -> None:
    payment = site.pay("b")
    gone = delete(schema.attempts).where(schema.attempts.c.payment == payment)
    assert f"payment {payment}: it has 0 attempts in table attempts, and its row names 1" in site.tampered(
        lambda conn: conn.execute(gone)
    )
