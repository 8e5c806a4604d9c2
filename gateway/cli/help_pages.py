"""How `--help` lists commands: each with its whole first sentence, those of `bankgw` itself in groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from typer.core import TyperGroup

GROUPS: Mapping[str, tuple[str, ...]] = {
    "Run": ("run", "query", "console", "approval-page", "notices", "drain", "backup", "restore", "support-bundle"),
    "Look": ("status", "today", "positions", "report", "worklists", "reconcile", "receipts", "orders", "lanes",
             "parked", "directory", "audit"),
    "Decide": ("resolve", "leave-safe-mode", "stop-all", "restart-all", "payees", "liquidity"),
    "People": ("login", "logout", "whoami", "persons", "roles", "delegations", "policy", "approvals"),
    "Joint tests": ("joint-test", "send", "explain", "simulate", "demo"),
    "Set up": ("check", "doctor", "banks", "topology", "certificates", "senders"),
}
"""The groups of `bankgw --help`, and the commands of each."""
_SUMMARY_CHARS = 1_000


class Listing(TyperGroup):
    """A group of commands whose summaries are not cut off."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list."""
        self.format_section(formatter, "Commands", self.list_commands(ctx))

    def format_section(self, formatter: Any, heading: str, names: Sequence[str]) -> None:
        """Write one list under its heading."""
        rows = [(name, self.commands[name].get_short_help_str(_SUMMARY_CHARS)) for name in names]
        with formatter.section(heading):
            formatter.write_dl(rows)


class GroupedListing(Listing):
    """The commands of `bankgw` itself, by group."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write one list for each group."""
        for heading, names in GROUPS.items():
            self.format_section(formatter, heading, names)

    def list_commands(self, ctx: Any) -> list[str]:
        """In the order of the groups."""
        return [name for names in GROUPS.values() for name in names]
