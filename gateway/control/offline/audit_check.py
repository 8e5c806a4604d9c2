"""Verify the audit trail of given settings while the daemon works, and give out this node's checkpoint key."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from gateway.control.offline import signature_check
from gateway.control.offline.journal_access import Access
from gateway.control.offline.signature_log import SignatureLogBroken
from gateway.kernel.checkpoints import checkpoints, verify
from gateway.kernel.checkpoints.checkpoints import BadCheckpoint
from gateway.kernel.checkpoints.verify import Report
from gateway.kernel.checkpoints.witness import Witness
from gateway.kernel.commit import permit_log
from gateway.kernel.commit.permit_log import PermitLogBroken
from gateway.kernel.commit.rows import Permit
from gateway.kernel.sql import databases, vaults
from gateway.settings import Settings, lanes_of


class NotVerified(Exception):  # noqa: N818 - an answer, not a fault
    """Nothing was verified; the text says why. `away`: the database could not be read now, and a later attempt may
    succeed."""

    def __init__(self, said: str, *, away: bool = False) -> None:
        super().__init__(said)
        self.away = away


def verified(
    settings: Settings, access: Access, files: Sequence[Path], given: Sequence[str], signer_log: Path | None = None
) -> Report:
    """Compare the journal with its audit chains, the permit log and all checkpoints.

    `files` are checkpoints that a witness kept; `given` are public keys as `bankgw audit key` prints them. `signer_log`
    is the folder of the signer's log, which is compared with the permit log too. Raises NotVerified.
    """
    try:
        return _verified(settings, access, files, given, signer_log)
    except (OSError, BadCheckpoint, SignatureLogBroken, ValueError) as error:
        raise NotVerified(f"{error}; nothing was verified") from None
    except SQLAlchemyError as error:
        raise NotVerified(f"the journal cannot be read: {str(error).splitlines()[0]}", away=True) from None


def _verified(
    settings: Settings, access: Access, files: Sequence[Path], given: Sequence[str], signer_log: Path | None
) -> Report:
    url, keys = access
    known = dict(checkpoints.read_public(words) for words in given)
    path = settings.state_dir / checkpoints.KEY_FILE
    if path.exists():
        known.setdefault(checkpoints.origin_of(settings.node), checkpoints.load_key(path).public_key())
    folder = settings.state_dir / checkpoints.FOLDER
    notes = [note for file in [*([folder] if folder.is_dir() else []), *files] for note in checkpoints.kept(file)]
    points, wrong = verify.believed(notes, known)
    lines = verify.NOTHING
    try:
        # The log is read before the database, because everything that is in the log by now is committed.
        lines = verify.heads_of(permit_log.know(settings.permit_log(), keys, settings.node))
    except PermitLogBroken as error:
        wrong.append(str(error))
    permits: list[Permit] = []
    if signer_log is not None and not wrong:
        permits = list(permit_log.read_back(settings.permit_log(), keys))
    # The signatures are read after the permits, because a signature comes before its permit.
    signed = None if signer_log is None else signature_check.signed_payments(signer_log, keys)
    engine = databases.connect(url, connections=1, writing=False)
    vaults.attach(engine, keys)
    try:
        with engine.connect() as conn:
            if conn.dialect.name != "sqlite":
                conn = conn.execution_options(isolation_level="REPEATABLE READ")
            with conn.begin():
                tabled, others = _tabled(conn, known)
                report = verify.whole(conn, keys, [*points, *tabled], lines)
                if signed is not None:
                    report.problems += signature_check.contradictions(conn, signed, permits)
    finally:
        engine.dispose()
    report.problems[:0] = wrong
    report.remarks += others
    lanes = [lane for _bank, lane in lanes_of(settings).values()]
    if signer_log is None and any(key.signer for lane in lanes for key in lane.keys.values()):
        report.remarks.append("the signer's log was not compared: name its folder with --signer-log")
    return report


def _tabled(conn: Connection, known: Any) -> tuple[list[checkpoints.Checkpoint], list[str]]:
    """The checkpoints in the database, and a sentence for each checkpoint whose key this machine does not know."""
    points: list[checkpoints.Checkpoint] = []
    others: list[str] = []
    for note in checkpoints.notes(conn):
        believed, wrong = verify.believed([note], known)
        points += believed
        others += wrong
    return points, others


def public_key(settings: Settings) -> str:
    """The public key of this node's checkpoints, as text for its witnesses. Raises NotVerified."""
    path = settings.state_dir / checkpoints.KEY_FILE
    if not path.exists():
        raise NotVerified(f"there is no key at {path}; it is made when the gateway starts")
    try:
        public = checkpoints.load_key(path).public_key()
    except (OSError, ValueError) as error:
        raise NotVerified(str(error)) from None
    return checkpoints.public_words(public, checkpoints.origin_of(settings.node))


def witness(folder: Path, keys: Sequence[str]) -> Witness:
    """A witness that keeps checkpoints in a folder. Raises NotVerified."""
    try:
        return Witness(folder, tuple(keys))
    except (BadCheckpoint, OSError) as error:
        raise NotVerified(str(error)) from None


__all__ = ["NotVerified", "Report", "public_key", "verified", "witness"]
