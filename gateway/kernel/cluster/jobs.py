"""Scheduled jobs: each runs once per bank and business date, on the node that claims it first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, bindparam, select, update

from gateway.kernel.commit import audit
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from gateway.kernel.sql.databases import insert_new

RUNNING, DONE = "running", "done"
_C = schema.jobs.c
_MINE = (_C.job == bindparam("b_job"), _C.bank == bindparam("b_bank"), _C.business_date == bindparam("b_date"))
_FINISH = (
    update(schema.jobs)
    .where(*_MINE, _C.node == bindparam("b_node"), _C.state == RUNNING)
    .values(state=DONE, finished_ms=bindparam("b_now_ms"))
)
_INHERIT = (
    update(schema.jobs)
    .where(*_MINE, _C.state == RUNNING, _C.node == bindparam("b_dead"))
    .values(node=bindparam("b_node"), started_ms=bindparam("b_now_ms"))
)


@dataclass(frozen=True, slots=True)
class Job:
    """One run of a daily job. `finished_ms` is None while the run goes on, and if its node died."""

    job: str
    bank: str
    business_date: date
    node: str
    started_ms: int
    finished_ms: int | None


def claim(tx: Tx, job: str, bank: str, business_date: date) -> bool:
    """True if this node is the first to claim the job for this date; it then runs the job. Later claims get False."""
    row = {
        "job": job,
        "bank": bank,
        "business_date": business_date.isoformat(),
        "node": tx.node,
        "state": RUNNING,
        "started_ms": tx.now_ms,
        "finished_ms": None,
    }
    if not insert_new(tx.raw, schema.jobs, row):
        return False
    audit.append(tx, f"node:{tx.node}", "job.claimed", f"{job}/{bank}", {"business_date": business_date.isoformat()})
    return True


def finish(tx: Tx, job: str, bank: str, business_date: date) -> bool:
    """Record that this run of the job has ended. False if another node has taken over the run."""
    return (
        tx.raw.execute(_FINISH, {**_key(job, bank, business_date), "b_node": tx.node, "b_now_ms": tx.now_ms}).rowcount
        == 1
    )


def inherit(tx: Tx, job: str, bank: str, business_date: date, dead_node: str) -> bool:
    """Take over a dead node's run of the job. Only one of several nodes gets it. The job must tolerate two runs."""
    values = {**_key(job, bank, business_date), "b_node": tx.node, "b_dead": dead_node, "b_now_ms": tx.now_ms}
    if tx.raw.execute(_INHERIT, values).rowcount != 1:
        return False
    detail = {"business_date": business_date.isoformat(), "was": dead_node}
    audit.append(tx, f"node:{tx.node}", "job.inherited", f"{job}/{bank}", detail)
    return True


def find(conn: Connection, job: str, bank: str, business_date: date) -> Job | None:
    """The committed run of this job for this date."""
    row = conn.execute(select(schema.jobs).where(*_MINE), _key(job, bank, business_date)).first()
    if row is None:
        return None
    return Job(row.job, row.bank, date.fromisoformat(row.business_date), row.node, row.started_ms, row.finished_ms)


def _key(job: str, bank: str, business_date: date) -> dict[str, str]:
    return {"b_job": job, "b_bank": bank, "b_date": business_date.isoformat()}
