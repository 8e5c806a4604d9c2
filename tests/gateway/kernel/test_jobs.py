from __future__ import annotations

from datetime import date

from gateway.kernel.cluster import jobs
from tests.gateway.kernel.bench import NOW_MS, Journal

DAY = date(2026, 11, 18)


def test_a_job_is_claimed_once_per_bank_and_date_whoever_asks(journal: Journal) -> None:
    other = Journal(journal.url, "n2")
    assert journal.do(lambda tx: jobs.claim(tx, "statement", "sample", DAY))
    assert not other.do(lambda tx: jobs.claim(tx, "statement", "sample", DAY))
    assert not journal.do(lambda tx: jobs.claim(tx, "statement", "sample", DAY)), "not even its own node again"
    assert other.do(lambda tx: jobs.claim(tx, "statement", "sample", date(2026, 11, 19)))
    assert other.do(lambda tx: jobs.claim(tx, "statement", "pab", DAY))
    assert other.do(lambda tx: jobs.claim(tx, "receipts", "sample", DAY))
    other.close()


def test_only_its_node_finishes_a_job_and_only_once(journal: Journal) -> None:
    other = Journal(journal.url, "n2")
    journal.do(lambda tx: jobs.claim(tx, "statement", "sample", DAY))
    assert not other.do(lambda tx: jobs.finish(tx, "statement", "sample", DAY))
    assert journal.do(lambda tx: jobs.finish(tx, "statement", "sample", DAY))
    assert not journal.do(lambda tx: jobs.finish(tx, "statement", "sample", DAY))
    found = journal.read(lambda conn: jobs.find(conn, "statement", "sample", DAY))
    assert found == jobs.Job("statement", "sample", DAY, "n1", NOW_MS, NOW_MS)
    other.close()


def test_a_job_whose_node_died_is_inherited_by_one(journal: Journal) -> None:
    other = Journal(journal.url, "n2")
    journal.do(lambda tx: jobs.claim(tx, "statement", "sample", DAY))
    assert other.do(lambda tx: jobs.inherit(tx, "statement", "sample", DAY, "n1"))
    assert not other.do(lambda tx: jobs.inherit(tx, "statement", "sample", DAY, "n1")), "it is another's by now"
    assert not journal.do(lambda tx: jobs.finish(tx, "statement", "sample", DAY))
    assert other.do(lambda tx: jobs.finish(tx, "statement", "sample", DAY))
    assert not journal.do(lambda tx: jobs.inherit(tx, "statement", "sample", DAY, "n2")), "and done is done"
    other.close()
