"""The hooks of acts' commands: extra work besides asking and printing. Each names a function of a command's module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ActHooks:
    """Hooks are written `module:function` and imported when they are needed.

    `words` shows an answer that tables and sentences cannot show; `row` changes a row before it is shown; `after`
    judges the answer and may end the command with another exit code; `prepare` changes the parameters before they are
    sent. `watch`: the command can show its answer again and again. `pages`: the list that continues on the next page.
    `default_to` is the choice that two persons sign if the parameters leave it open.
    """

    words: str = ""
    row: str = ""
    after: str = ""
    prepare: str = ""
    watch: bool = False
    pages: str = ""
    default_to: str = ""


NO_HOOKS = ActHooks()
HOOKS: Mapping[str, ActHooks] = {
    "lanes.list": ActHooks(words="lanes:show_lanes", watch=True),
    "lanes.pause": ActHooks(words="lanes:show_changed"),
    "lanes.resume": ActHooks(words="lanes:show_changed"),
    "orders.release": ActHooks(words="orders:show_changed"),
    "orders.cancel": ActHooks(words="orders:show_changed"),
    "orders.enquire": ActHooks(words="orders:show_enquired"),
    "node.stop": ActHooks(words="stop_all:show_stopped", after="stop_all:end_if_not_written"),
    "persons.admit": ActHooks(prepare="roles:in_one_way"),
    "roles.set": ActHooks(prepare="roles:in_one_way"),
    "approvals.list": ActHooks(row="approvals:in_words"),
    "policy.propose": ActHooks(prepare="policy:from_file"),
    "policy.show": ActHooks(words="policy:show_policy"),
    "pools.propose": ActHooks(prepare="liquidity:from_file"),
    "pools.run": ActHooks(default_to="liquidity:by_this_moment"),
    "reconciliation.show": ActHooks(words="reconcile:show_matching"),
    "tables.show": ActHooks(words="reconcile:show_table"),
    "receipts.list": ActHooks(pages="receipts"),
    "accounts.today": ActHooks(words="today:show_today", after="today:end_if_away"),
    "sign_in.show": ActHooks(words="login:show_session"),
    "worklists.show": ActHooks(words="worklists:show_lists"),
}
