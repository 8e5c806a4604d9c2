"""The kinds of requests that a web page refuses by itself and may report to the daemon."""

from __future__ import annotations

from typing import Final

PAGE_REFUSALS: Final = (
    "form_is_old",
    "other_host",
    "too_many",
    "too_large",
    "no_form",
    "no_page",
    "digest_differs",
    "oidc_not_begun",
)
"""In order: a form of another site or session, another host's name, too fast, too large, no form, no such address, a
changed file, a sign-in that nobody began here. Names only, because a page does not report who asked for what."""
REFUSALS_MOST: Final = 1_000_000
TELL_EVERY_S: Final = 60.0
"""A page reports once in so many seconds, however many refusals there were."""
