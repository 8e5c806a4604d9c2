"""The lists of commands in `--help`: each command with its whole first sentence, those of `bankgw` itself in groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from typer.core import TyperGroup

from gateway.cli import output

GROUPS: Mapping[str, tuple[str, ...]] = {
    "Run": (
        *("run", "query", "console", "approval-page", "notices", "signer", "drain", "backup", "restore"),
        "support-bundle",
    ),
    "Look": (
        "status",
        "top",
        "today",
        "positions",
        "report",
        "worklists",
        "reconcile",
        "receipts",
        "orders",
        "lanes",
        "companies",
        "parked",
        "directory",
        "audit",
    ),
    "Decide": ("resolve", "leave-safe-mode", "stop-all", "restart-all", "payees", "liquidity", "repair"),
    "People": ("login", "logout", "whoami", "persons", "roles", "delegations", "policy", "approvals"),
    "Joint tests": ("joint-test", "send", "explain", "simulate", "demo"),
    "Set up": ("init", "check", "doctor", "banks", "topology", "certificates", "keys", "senders"),
}
"""The groups of `bankgw --help`, and the commands of each."""
_IN_CHINESE: Mapping[str, str] = {
    "Commands": "命令",
    "Run": "运行",
    "Look": "查看",
    "Decide": "裁定",
    "People": "人员",
    "Joint tests": "联调测试",
    "Set up": "配置",
}
_SUMMARY_CHARS = 1_000


class FullHelpGroup(TyperGroup):
    """A group of commands whose summaries are not cut off."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list."""
        self.format_section(formatter, "Commands", self.list_commands(ctx))

    def format_section(self, formatter: Any, heading: str, names: Sequence[str]) -> None:
        """Write one list under its heading."""
        rows = [(name, self.commands[name].get_short_help_str(_SUMMARY_CHARS)) for name in names]
        with formatter.section(output.in_language((heading, _IN_CHINESE[heading]))):
            formatter.write_dl(rows)


class GroupedCommands(FullHelpGroup):
    """The commands of `bankgw` itself, by group."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write one list for each group."""
        for heading, names in GROUPS.items():
            self.format_section(formatter, heading, names)

    def list_commands(self, ctx: Any) -> list[str]:
        """In the order of the groups."""
        return [name for names in GROUPS.values() for name in names]
