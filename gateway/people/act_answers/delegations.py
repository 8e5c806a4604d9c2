"""Handlers of the acts about delegations: for some days, a person lets another person act in the first one's roles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.call import Call, Denied, answers
from gateway.kernel.commit.store import Store
from gateway.people.acts import EndDelegation, MakeDelegation
from gateway.people.refusals import refused
from gateway.people.rows import delegations
from gateway.people.rows.delegations import DelegationRow
from gateway.people.rows.persons import No
from gateway.people.rules import scopes
from gateway.people.rules.delegations import DAY_MS, Delegation
from gateway.people.rules.roles import PersonRole
from protocols.erp.news import instant


@dataclass(frozen=True, slots=True)
class DelegationAnswers:
    """Answers the control API's acts about delegations."""

    store: Store

    @answers("delegations.list")
    async def listing(self, call: Call) -> Any:
        """All delegations, including those that ended, the newest first."""
        return {"delegations": [_shown(one) for one in await self.store.read(delegations.listing)]}

    @answers("delegations.make")
    async def make(self, call: Call, params: MakeDelegation) -> Any:
        """Delegate the caller's own roles to another person, from now on."""
        person, reason = _person(call), params.reason
        try:
            roles = frozenset(PersonRole(one) for one in params.roles.split(","))
            scope = scopes.parse(params.scope)
        except ValueError as error:
            raise Denied(400, "bad_delegation", f"{error}; roles are {', '.join(PersonRole)}") from None
        delegate, days = params.delegate, params.days

        def delegate_roles(tx: Any) -> DelegationRow | No:
            until_ms = tx.now_ms + int(days * DAY_MS)
            wanted = Delegation(person, delegate, roles, scope, tx.now_ms, until_ms)
            return delegations.delegate(tx, wanted, reason, call.peer.actor)

        return self._said(call, await self.store.write(delegate_roles))

    @answers("delegations.end")
    async def end(self, call: Call, params: EndDelegation) -> Any:
        """End a delegation, at the request of either of its two persons."""
        person, reason, key = _person(call), params.reason, params.delegation
        return self._said(
            call, await self.store.write(lambda tx: delegations.end(tx, key, person, reason, call.peer.actor))
        )

    def _said(self, call: Call, said: DelegationRow | No) -> Any:
        if isinstance(said, No):
            raise refused(said, actor=call.peer.actor)
        return _shown(said)


def _person(call: Call) -> str:
    if call.person is None:
        raise Denied(403, "not_a_person", "root and the daemon's own user are not persons and have no roles")
    return call.person


def _shown(row: DelegationRow) -> dict[str, Any]:
    given = row.given
    return {
        "delegation": row.delegation,
        "delegator": given.delegator,
        "delegate": given.delegate,
        "roles": ",".join(sorted(given.roles)),
        "scope": given.scope.text(),
        "from": instant(given.from_ms),
        "until": instant(given.until_ms),
        "reason": row.reason,
    }
