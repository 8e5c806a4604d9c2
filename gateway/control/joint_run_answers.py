"""Answers the acts about joint tests: the audit trail is the witness of each try that the run's own files are not.

The holder of a run's folder and signing key can write both anew. The trail is chained, sealed with the vault's key and
kept by the gateway, so a verdict or a file that was changed later disagrees with it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from gateway.call import Call, Denied, answers
from gateway.control.acts.joint_runs import ListTries, RecordTry
from gateway.kernel.commit import audit
from gateway.kernel.commit.store import Store
from gateway.kernel.sql.vaults import vault_of
from protocols.erp.news import instant

ENTRY = "joint_test.tried"
_RUN = re.compile(r"[0-9a-f]{6,32}")
_NAME = re.compile(r"R[0-9]{1,6}-[a-z0-9._-]{1,80}-[0-9]{1,6}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_WORD = re.compile(r"[a-z_]{1,32}")


@dataclass(frozen=True, slots=True)
class JointRunAnswers:
    """Answers the acts about joint tests."""

    store: Store

    @answers("joint_runs.record")
    async def record(self, call: Call, params: RecordTry) -> Any:
        """Append one entry; a later verdict on the same try is a further entry."""
        forms = ((params.run, _RUN), (params.name, _NAME), (params.files, _DIGEST), (params.verdict, _WORD))
        if not all(form.fullmatch(text) for text, form in forms):
            raise Denied(400, "bad_try", "run, name, verdict or files are not as `bankgw joint-test` writes them")
        detail = {"try": params.name, "bank": params.bank[:64], "verdict": params.verdict, "files": params.files}
        await self.store.write(lambda tx: audit.append(tx, call.peer.actor, ENTRY, _object(params.run), detail))
        return {"recorded": True}

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
        }


def _object(run: str) -> str:
    return f"joint-test:{run}"
