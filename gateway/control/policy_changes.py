"""Approval policies in the control API: what is in force, and the decision of two that puts another in force."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.control.daemon_handle import DaemonHandle
from gateway.control.server import Call, Denied, Verb
from gateway.journal.commit import audit
from gateway.journal.commit.store import Tx
from gateway.journal.people import approval_policies, persons
from gateway.journal.people.persons import No
from gateway.journal.people.proposals import Proposal
from gateway.people import approval_policy
from gateway.people.approval_policy import BadPolicy
from protocols.erp.news import instant

_MOST_CHARACTERS = 20_000


def verbs(daemon_handle: DaemonHandle) -> Sequence[Verb]:
    """What can be asked about policies. A new one is proposed with the verbs for proposals."""

    async def show(call: Call) -> Any:
        """The policies, the one in force first."""
        found = await daemon_handle.store.read(approval_policies.listing)
        return {"policies": [
            {"version": one.policy.version, "in_force_since": instant(one.at_ms), "proposal": one.proposal,
             "text": one.policy.text(), "lines": list(approval_policy.lines(one.policy))}
            for one in found
        ]}  # fmt: skip

    return (Verb("GET", "/policy", show),)


def wanted(call: Call) -> str:
    """The policy of the request, written in the one way. Denied for one that cannot be used."""
    given = call.body.get("to")
    if not isinstance(given, str) or len(given) > _MOST_CHARACTERS:
        raise Denied(400, "bad_policy", f"`to` is the policy, {_MOST_CHARACTERS} characters at most")
    try:
        return approval_policy.parse(given).text()
    except BadPolicy as error:
        raise Denied(400, "bad_policy", f"{error}; nothing was changed") from None


def facts(tx: Tx, subject: str, to: str) -> tuple[tuple[str, str], ...] | No:
    """What both sign: the policy in force, and every line of the new one."""
    if subject != approval_policies.SUBJECT:
        return No("no_such_subject", f"a policy is about {approval_policies.SUBJECT}; nothing was changed")
    present, new = approval_policies.last(tx.fresh), approval_policy.parse(to)
    if (approval_policy.NONE if present is None else present.policy.text()) == to:
        return No("not_now", "this policy is in force already; nothing was changed")
    enrolled = {one.name for one in persons.everyone(tx.fresh) if one.enrolled}
    strangers = sorted(name for members in new.groups.values() for name in members - enrolled)
    if strangers:
        return No("no_such_person", f"nobody is enrolled as {', '.join(strangers)}; nothing was changed")
    version = 0 if present is None else present.policy.version
    said = [("from-version", str(version)), ("to-version", str(version + 1))]
    said += [(f"line-{number}", line) for number, line in enumerate(approval_policy.lines(new), start=1)]
    return tuple(said)


def carry_out(tx: Tx, proposal: Proposal, actor: str, names: dict[str, Any]) -> No | None:
    """Put the policy in force."""
    policy = approval_policies.write(tx, proposal.to, proposal.proposal)
    if policy is None:
        return No("stale", "another policy came into force in this moment; nothing was changed")
    audit.append(tx, actor, "policy.in_force", approval_policies.SUBJECT, {
        **names, "version": policy.version, "text": policy.text(), "reason": proposal.note,
        "proposal": proposal.proposal,
    })  # fmt: skip
    return None
