"""`bankgw policy`: which payments need how many approvals. Two persons put a policy in force."""

from __future__ import annotations

from typing import Any

from gateway.cli import output


def show_policy(page: Any) -> None:
    """The policy in force, and those before it."""
    none = (
        "no policy yet: nothing needs an approval, but what the settings of a sender hold",
        "尚无审批策略：除来源系统的设置规定待放行的之外，无须复核",
    )
    in_force = ("policy {version}, in force since {in_force_since}", "第 {version} 版，自 {in_force_since} 起生效")
    earlier = ("policy {version} since {in_force_since}: {text}", "第 {version} 版，自 {in_force_since}：{text}")
    if not page["policies"]:
        output.say(output.in_language(none))
        return
    first, *before = page["policies"]
    output.say(output.in_language(in_force).format_map(first))
    for line in first["lines"]:
        output.say(f"  {line}")
    for one in before:
        output.say(output.in_language(earlier).format_map(one))


def from_file(given: dict[str, Any]) -> dict[str, Any]:
    """The parameters with the policy of the file, written in the form in which it is signed."""
    from gateway.approvals.rules import approval_policy

    return {**given, "text": output.signed_text(given["text"], lambda text: approval_policy.parse(text).text())}
