"""The scope in which a role holds: companies and own accounts."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.language import BilingualText, bilingual, coded, listed

ANY = "*"
_COMPANY = re.compile(r"[a-z][a-z0-9_]{0,30}")
_ACCOUNT = re.compile(r"[0-9A-Za-z]{4,34}")


@dataclass(frozen=True, slots=True)
class Scope:
    """A set of own accounts: those named, those of the companies named, or all (`whole`)."""

    companies: frozenset[str] = frozenset()
    accounts: frozenset[str] = frozenset()
    whole: bool = False

    def covers(self, company: str, account: str) -> bool:
        """True if this own account of this company is inside the scope."""
        return self.whole or company in self.companies or account in self.accounts

    def within(self, other: Scope) -> bool:
        """True if the scope has nothing that is outside the other. An account is inside only if the other scope names
        it or holds everything, because the company of an account can change with the settings."""
        if other.whole:
            return True
        return not self.whole and self.companies <= other.companies and self.accounts <= other.accounts

    def joined(self, other: Scope) -> Scope:
        """The accounts in at least one of the two scopes."""
        if self.whole or other.whole:
            return WHOLE
        return Scope(self.companies | other.companies, self.accounts | other.accounts)

    def common(self, other: Scope) -> Scope:
        """The accounts that both scopes name."""
        if self.whole:
            return other
        if other.whole:
            return self
        return Scope(self.companies & other.companies, self.accounts & other.accounts)

    @property
    def empty(self) -> bool:
        """True if no account can be inside the scope."""
        return not (self.whole or self.companies or self.accounts)

    def text(self) -> str:
        """The canonical text of this scope: `*`, or `company:a+company:b+account:0001`, sorted."""
        if self.whole:
            return ANY
        named = [
            *(f"company:{one}" for one in sorted(self.companies)),
            *(f"account:{one}" for one in sorted(self.accounts)),
        ]
        return "+".join(named)

    def bilingual(self) -> BilingualText | str:
        """This scope in both languages; in English as `text` writes it."""
        if self.whole:
            return coded(ANY, {ANY: "全部账户"})
        companies = [bilingual("company:{name}", "公司 {name}", name=one) for one in sorted(self.companies)]
        accounts = [bilingual("account:{number}", "账户 {number}", number=one) for one in sorted(self.accounts)]
        return listed([*companies, *accounts], ("+", "、"))


WHOLE = Scope(whole=True)
NOWHERE = Scope()


def parse(text: str) -> Scope:
    """Read what `Scope.text` writes. Raises ValueError, whose text says what is wrong."""
    if text == ANY:
        return WHOLE
    companies, accounts = set(), set()
    for part in text.split("+"):
        kind, colon, name = part.partition(":")
        if colon and kind == "company" and _COMPANY.fullmatch(name):
            companies.add(name)
        elif colon and kind == "account" and _ACCOUNT.fullmatch(name):
            accounts.add(name)
        else:
            raise ValueError(
                f"{part!r} is not a scope: write * for everything, or company:NAME and account:NUMBER joined by +"
            )
    return Scope(frozenset(companies), frozenset(accounts))
