"""Notes in the audit trail the refusals of web pages: counts by kind, once a minute at most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.call import Call, Denied, answers
from gateway.kernel.clock import Clock
from gateway.kernel.commit import audit
from gateway.kernel.commit.store import Store
from gateway.people.rules.page_refusals import PAGE_REFUSALS, REFUSALS_MOST, TELL_EVERY_S
from gateway.people.rules.web_tokens import WebPage

ENTRY = "page.refused"
_EARLY_S = 5.0
"""So much earlier than after a minute a note is taken: two clocks need not agree."""


@dataclass(slots=True)
class PageRefusalAnswers:
    """Answers the act that notes refusals. The caller has no session and can write only counts of known kinds."""

    store: Store
    clock: Clock
    _taken_s: dict[WebPage, float] = field(default_factory=dict, init=False)

    @answers("web.page_refusals")
    async def note(self, call: Call) -> Any:
        """Note how often a page has refused each kind of request since its last note."""
        page, counts = _page(call), _counts(call)
        now_s = self.clock.monotonic_s()
        if now_s - self._taken_s.get(page, -TELL_EVERY_S) < TELL_EVERY_S - _EARLY_S:
            raise Denied(429, "too_many", "a page may report its refusals once a minute; keep counting")
        self._taken_s[page] = now_s
        actor = f"page:{page.value}"
        await self.store.write(lambda tx: audit.append(tx, actor, ENTRY, actor, counts))
        return {"noted": True}


def _page(call: Call) -> WebPage:
    try:
        return WebPage(call.text("page"))
    except ValueError:
        raise Denied(400, "no_such_page", f"`page` is one of {', '.join(WebPage)}") from None


def _counts(call: Call) -> dict[str, int]:
    given: Any = call.body.get("counts")
    counts = dict(given) if isinstance(given, Mapping) else {}
    good = (
        counts
        and counts.keys() <= set(PAGE_REFUSALS)
        and all(type(one) is int and 0 < one <= REFUSALS_MOST for one in counts.values())
    )
    if not good:
        raise Denied(
            400,
            "bad_counts",
            f"`counts` must map names to whole numbers up to {REFUSALS_MOST}; the names are {', '.join(PAGE_REFUSALS)}",
        )
    return counts
