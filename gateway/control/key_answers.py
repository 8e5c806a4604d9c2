"""Answers the acts about keys and secrets. No answer has the value of a key."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from gateway.act_ports import NodePort
from gateway.call import Call, Denied, answers
from gateway.control.acts.keys import ActivateKey
from gateway.control.key_list import KeyPort, keys_of_journal, last_sends, used_as, vault_words
from gateway.kernel.commit import vault_keys
from gateway.kernel.commit.store import Store, Tx
from gateway.kernel.commit.vault_keys import CannotActivate
from protocols.erp.news import instant


@dataclass(frozen=True, slots=True)
class KeyAnswers:
    """Answers the acts about keys and secrets."""

    store: Store
    node: NodePort
    keys: KeyPort

    @answers("keys.list")
    async def list_keys(self, call: Call) -> Any:
        """Every key and secret, and how far older values are sealed anew."""
        source = self.keys.vault()
        of_journal, vault, used = await self.store.read(
            lambda conn: (keys_of_journal(conn, source), vault_words(conn), last_sends(conn))
        )
        rows = []
        for one in (*of_journal, *self.keys.listed()):
            at_ms = used.get(used_as(one.name)) if one.purpose == "bank_signing" else None
            rows.append(asdict(one) | ({} if at_ms is None else {"used": instant(at_ms)}))
        return {"node": self.node.name, "keys": rows, "vault": [] if vault is None else [vault]}

    @answers("keys.activate")
    async def activate(self, call: Call, params: ActivateKey) -> Any:
        """Let every node seal with this vault key from now on."""
        if params.purpose != "vault":
            raise Denied(
                400, "bad_purpose", f"`{params.purpose}` is no purpose of a key that is activated; say `vault`"
            )

        def activated(tx: Tx) -> vault_keys.Activation | str:
            try:
                return vault_keys.activate(tx, params.key, call.peer.actor, params.reason)
            except CannotActivate as error:
                return str(error)

        made = await self.store.write(activated)
        if isinstance(made, str):
            raise Denied(409, "not_now", made)
        return {"key": made.key, "before": made.before, "since": instant(made.at_ms)}
