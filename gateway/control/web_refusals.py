"""What web pages refused by themselves, noted in the audit trail: counts by kind, once a minute at most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.control.daemon_handle import DaemonHandle
from gateway.control.server import Call, Denied, Verb
from gateway.journal.commit import audit
from gateway.people.page_refusals import PAGE_REFUSALS, REFUSALS_MOST, TELL_EVERY_S
from gateway.people.web_tokens import WebPage

ENTRY = "page.refused"
_EARLY_S = 5.0
"""So much earlier than after a minute a note is taken: two clocks need not agree."""


def verbs(daemon_handle: DaemonHandle) -> Sequence[Verb]:
    """The one verb. Who asks has no session, and can write nothing but counts of known kinds."""
    taken_s: dict[WebPage, float] = {}

    async def note(call: Call) -> Any:
        """Note how often a page refused what, since its note before."""
        page, counts = _page(call), _counts(call)
        now_s = daemon_handle.clock.monotonic_s()
        if now_s - taken_s.get(page, -TELL_EVERY_S) < TELL_EVERY_S - _EARLY_S:
            raise Denied(429, "too_many", "a page tells what it refused once a minute; keep counting")
        taken_s[page] = now_s
        actor = f"page:{page.value}"
        await daemon_handle.store.write(lambda tx: audit.append(tx, actor, ENTRY, actor, counts))
        return {"noted": True}

    return (Verb("POST", "/web/page-refusals", note),)


def _page(call: Call) -> WebPage:
    try:
        return WebPage(call.text("page"))
    except ValueError:
        raise Denied(400, "no_such_page", f"`page` is one of {', '.join(WebPage)}") from None


def _counts(call: Call) -> dict[str, int]:
    given: Any = call.body.get("counts")
    counts = dict(given) if isinstance(given, Mapping) else {}
    good = counts and counts.keys() <= set(PAGE_REFUSALS) and all(
        type(one) is int and 0 < one <= REFUSALS_MOST for one in counts.values()
    )
    if not good:
        raise Denied(400, "bad_counts", f"`counts` has whole numbers up to {REFUSALS_MOST} for some of "
                     f"{', '.join(PAGE_REFUSALS)}")  # fmt: skip
    return counts
