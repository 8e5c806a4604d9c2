"""Answers the acts about joint tests. The audit trail records each try, because the run's own files can be changed.

The holder of a run's folder and signing key can write both again. The trail is chained, sealed with the vault's key and
kept by the gateway, so that a verdict or a file that was changed later disagrees with it. The digests of a lane's
exchanges are made here, from the lane's own trace, because no entry about a payment has the probes and sign-ons among
them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from gateway.bank.exchange_trace import TracedEvent, TracePart
from gateway.call import Call, Denied, answers
from gateway.control.acts.joint_runs import ListTries, RecordExchanges, RecordTry
from gateway.control.exchange_traces import trace_of
from gateway.control.ports import LanePort
from gateway.kernel.commit import audit
from gateway.kernel.commit.store import Store
from gateway.kernel.sql.vaults import vault_of
from protocols.erp.news import instant

ENTRY = "joint_test.tried"
EXCHANGES = "joint_test.exchanges"
MOST_EVENTS = 50
"""An entry has the digests of no more events, so that it fits every database; the next question gets the rest."""
FIRST_EVENTS = 200
"""The first question of a run begins so many events back: the sign-ons of the present sessions came before the run."""
_RUN = re.compile(r"[0-9a-f]{6,32}")
_NAME = re.compile(r"R[0-9]{1,6}-[a-z0-9._-]{1,80}-[0-9]{1,6}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_WORD = re.compile(r"[a-z_]{1,32}")


@dataclass(frozen=True, slots=True)
class JointRunAnswers:
    """Answers the acts about joint tests."""

    store: Store
    lanes: LanePort

    @answers("joint_runs.record")
    async def record(self, call: Call, params: RecordTry) -> Any:
        """Append one entry; a later verdict on the same try is a further entry."""
        forms = ((params.run, _RUN), (params.name, _NAME), (params.files, _DIGEST), (params.verdict, _WORD))
        if not all(form.fullmatch(text) for text, form in forms):
            raise Denied(400, "bad_try", "run, name, verdict or files are not as `bankgw joint-test` writes them")
        detail = {"try": params.name, "bank": params.bank[:64], "verdict": params.verdict, "files": params.files}
        await self.store.write(lambda tx: audit.append(tx, call.peer.actor, ENTRY, _object(params.run), detail))
        return {"recorded": True}

    @answers("joint_runs.exchanges")
    async def exchanges(self, call: Call, params: RecordExchanges) -> Any:
        """Append the digests of the lane's events after the number `after`, and return them. Without a number, or after
        the trace began anew, they are those of the last events."""
        if not _RUN.fullmatch(params.run):
            raise Denied(400, "bad_try", "that is no id of a run")
        trace = trace_of(self.lanes, params.lane)
        after = params.after
        if after is None or after > trace.last:
            after = max(trace.last - FIRST_EVENTS, 0)
        digests = [event_digest(params.lane, one) for one in islice(trace.events_after(after), MOST_EVENTS)]
        if digests:
            detail = {"exchanges": digests}
            await self.store.write(lambda tx: audit.append(tx, call.peer.actor, EXCHANGES, _object(params.run), detail))
        return {"exchanges": digests, "last": digests[-1]["number"] if digests else after}

    @answers("joint_runs.list")
    async def entries(self, call: Call, params: ListTries) -> Any:
        """Every entry about the run, the oldest first."""
        if not _RUN.fullmatch(params.run):
            raise Denied(400, "bad_try", "that is no id of a run")
        found = await self.store.read(lambda conn: audit.entries_of(conn, vault_of(conn), _object(params.run)))
        return {
            "run": params.run,
            "tries": [
                {"at": instant(one.at_ms), "node": one.node, "seq": one.seq, "actor": one.actor, **one.detail}
                for one in found
                if one.entry == ENTRY
            ],
            "exchanges": [event for one in found if one.entry == EXCHANGES for event in one.detail["exchanges"]],
        }


def event_digest(lane: str, event: TracedEvent) -> Mapping[str, Any]:
    """An event of a lane with a SHA-256 in place of each part's bytes. The login's secrets are stars in what was
    hashed."""
    return {
        "lane": lane,
        "number": event.number,
        "at": instant(event.at_ms),
        "session": event.session,
        "connection": event.connection,
        "exchange": event.exchange,
        "event": event.event.value,
        "purpose": event.purpose,
        "port": event.port,
        "parts": [_part_digest(part) for part in event.parts],
    }


def _part_digest(part: TracePart) -> Mapping[str, Any]:
    cut = {"cut_after": len(part.octets)} if len(part.octets) < part.whole else {}
    return {"name": part.name, "bytes": part.whole, "sha256": hashlib.sha256(part.octets).hexdigest(), **cut}


def _object(run: str) -> str:
    return f"joint-test:{run}"
