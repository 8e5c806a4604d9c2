"""The control API's verbs about delegation: for some days a person lets another act in roles of theirs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.control.daemon_handle import DaemonHandle
from gateway.control.persons import refused
from gateway.control.server import Call, Denied, Verb
from gateway.journal.people import delegations
from gateway.journal.people.delegations import DelegationRow
from gateway.journal.people.persons import No
from gateway.people import scopes
from gateway.people.delegations import DAY_MS, MOST_DAYS, Delegation
from gateway.people.roles import PersonRole
from protocols.erp.news import instant


def verbs(daemon_handle: DaemonHandle) -> Sequence[Verb]:
    """What can be asked about delegations."""
    acts = _Acts(daemon_handle)
    return (
        Verb("GET", "/delegations", acts.listing),
        Verb("POST", "/delegations", acts.make),
        Verb("POST", "/delegations/([^/]+)/end", acts.end),
    )


class _Acts:
    def __init__(self, daemon_handle: DaemonHandle) -> None:
        self._daemon_handle = daemon_handle

    async def listing(self, call: Call) -> Any:
        """Delegations, the newest first, also those that ended."""
        return {"delegations": [_shown(one) for one in await self._daemon_handle.store.read(delegations.listing)]}

    async def make(self, call: Call) -> Any:
        """The caller delegates own roles to another person, from now on."""
        person, reason = _person(call), call.text("reason")
        try:
            roles = frozenset(PersonRole(one) for one in call.text("roles").split(","))
            scope = scopes.parse(call.text("scope"))
        except ValueError as error:
            raise Denied(400, "bad_delegation", f"{error}; roles are {', '.join(PersonRole)}") from None
        delegate, days = call.text("delegate"), call.number("days", 1, MOST_DAYS)

        def unit(tx: Any) -> DelegationRow | No:
            until_ms = tx.now_ms + int(days * DAY_MS)
            wanted = Delegation(person, delegate, roles, scope, tx.now_ms, until_ms)
            return delegations.delegate(tx, wanted, reason, call.peer.actor)

        return self._said(call, await self._daemon_handle.store.write(unit))

    async def end(self, call: Call) -> Any:
        """One of the two ends a delegation."""
        person, reason, key = _person(call), call.text("reason"), call.parts[0]
        return self._said(call, await self._daemon_handle.store.write(
            lambda tx: delegations.end(tx, key, person, reason, call.peer.actor)
        ))  # fmt: skip

    def _said(self, call: Call, said: DelegationRow | No) -> Any:
        if isinstance(said, No):
            raise refused(said, actor=call.peer.actor)
        return _shown(said)


def _person(call: Call) -> str:
    if call.person is None:
        raise Denied(403, "not_a_person", "root and the daemon's own user are no persons, and have no roles")
    return call.person


def _shown(row: DelegationRow) -> dict[str, Any]:
    given = row.given
    return {
        "delegation": row.delegation, "delegator": given.delegator, "delegate": given.delegate,
        "roles": ",".join(sorted(given.roles)), "scope": given.scope.text(), "from": instant(given.from_ms),
        "until": instant(given.until_ms), "reason": row.reason,
    }  # fmt: skip
