"""Handlers of the acts about approval policies: list the policies, and put one in force after two persons have signed
it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.approvals.rows import approval_policies
from gateway.approvals.rows.approval_policies import PolicyRow
from gateway.approvals.rules import approval_policy
from gateway.approvals.rules.approval_policy import BadPolicy
from gateway.call import Call, Denied, answers
from gateway.kernel.commit import audit
from gateway.kernel.commit.store import Store, Tx
from gateway.language import bilingual, coded
from gateway.people.rows import persons
from gateway.people.rows.persons import No
from gateway.people.rows.proposals import Proposal
from gateway.people.rules.signed_text import DecisionFacts, fact
from gateway.register.registry import Registry
from protocols.erp.news import instant

_MOST_CHARACTERS = 20_000


@dataclass(frozen=True, slots=True)
class PolicyAnswers:
    """Answers the act that shows policies. A new policy is proposed with the acts about proposals."""

    store: Store

    @answers("policy.show")
    async def show(self, _call: Call) -> Any:
        """All approval policies, the one in force first."""
        found = await self.store.read(approval_policies.listing)
        return {
            "policies": [
                {
                    "version": one.policy.version,
                    "in_force_since": instant(one.at_ms),
                    "proposal": one.proposal,
                    "text": one.policy.text(),
                    "lines": list(approval_policy.lines(one.policy)),
                }
                for one in found
            ]
        }


def wanted(call: Call) -> str:
    """The request's policy in its normal form. Raises Denied for a text that is not a valid policy."""
    given = call.body.get("to")
    if not isinstance(given, str) or len(given) > _MOST_CHARACTERS:
        raise Denied(400, "bad_policy", f"`to` is the policy, {_MOST_CHARACTERS} characters at most")
    try:
        return approval_policy.parse(given).text()
    except BadPolicy as error:
        raise Denied(400, "bad_policy", f"{error}; nothing was changed") from None


def facts(tx: Tx, subject: str, to: str, register: Registry) -> DecisionFacts | No:
    """The facts that both persons sign: the policy in force, and every line of the new policy."""
    if subject != approval_policies.SUBJECT:
        return No("no_such_subject", f"the subject of a policy is {approval_policies.SUBJECT}; nothing was changed")
    present, new = approval_policies.last(tx.fresh), approval_policy.parse(to)
    if (present is None or not present.policy.altered) and _text(present) == to:
        return No("not_now", "this policy is in force already; nothing was changed")
    enrolled = {one.name for one in persons.everyone(tx.fresh) if one.enrolled}
    strangers = sorted(name for members in new.groups.values() for name in members - enrolled)
    if strangers:
        return No("no_such_person", f"nobody is enrolled as {', '.join(strangers)}; nothing was changed")
    unknown = sorted(new.maker_senders - set(register.senders))
    if unknown:
        return No("no_such_sender", f"the settings have no sender {', '.join(unknown)}; nothing was changed")
    version = 0 if present is None else present.policy.version
    said = [
        fact("from-version", "现行版本", str(version)),
        fact("to-version", "新版本", str(version + 1)),
        *(
            fact(f"line-{number}", f"第 {number} 行", line)
            for number, line in enumerate(approval_policy.bilingual_lines(new), start=1)
        ),
    ]
    effect = bilingual(
        "version {version} of the approval policy comes into force: the lines below say which payments need whose "
        "approval",
        "审批策略第 {version} 版生效：以下各行规定哪些付款须由何人复核",
        version=str(version + 1),
    )
    meant = coded(to, {approval_policy.NONE: "任何付款均无须复核"})
    return DecisionFacts(tuple(said), subject, "the approval policy", effect, meant)


def _text(present: PolicyRow | None) -> str:
    return approval_policy.NONE if present is None else present.policy.text()


def carry_out(tx: Tx, proposal: Proposal, actor: str, names: dict[str, Any]) -> No | None:
    """Put the approval policy in force."""
    policy = approval_policies.put_in_force(tx, proposal.to, proposal.proposal)
    if policy is None:
        return No(
            "stale", "another policy has just come into force; nothing was changed; look at it, then propose again"
        )
    audit.append(
        tx,
        actor,
        "policy.in_force",
        approval_policies.SUBJECT,
        {
            **names,
            "version": policy.version,
            "text": policy.text(),
            "reason": proposal.note,
            "proposal": proposal.proposal,
        },
    )
    return None
