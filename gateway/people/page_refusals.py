"""What a web page refuses by itself, before it asks the gateway: the kinds that it may tell the daemon of."""

from __future__ import annotations

from typing import Final

PAGE_REFUSALS: Final = (
    "form_is_old", "other_host", "too_many", "too_large", "no_form", "no_page", "digest_differs", "oidc_not_begun",
)  # fmt: skip
"""Forms of other sites or of other sessions, another host's name, too fast, too large, no form, no such address, a file
that was changed, a sign-in that nobody began here. Names only: who asked for what is not told."""
REFUSALS_MOST: Final = 1_000_000
TELL_EVERY_S: Final = 60.0
"""One note of a page in so many seconds, however many refusals it is about."""
