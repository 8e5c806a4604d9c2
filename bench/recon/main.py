"""`make recon`: matches generated lines, counts right and wrong matches, and decides one new day more.

Times are CPU times of one core, so that other work on the machine does not count. Ends with one line, and with 1 if a
promise does not hold.
"""

from __future__ import annotations

import argparse
import resource
import time
from dataclasses import replace
from datetime import timedelta

from bench.recon.figures import Figures, judge
from bench.recon.generator import DAYS, FIRST_DAY, INVOICES, TARIFF, account_month
from bench.recon.new_day import measure
from gateway.reconciliation.rules.increment import MatchingRegister
from gateway.reconciliation.rules.matching import decide, lend_codes
from gateway.register.match_terms import BOOK_TERMS, PAYMENT_TERMS, MatchTerms

ACCOUNT_LINES = 5_000
LAST_DAY = FIRST_DAY + timedelta(DAYS - 1)
MOST_S, MOST_MB = 60.0, 300.0
JOURNAL_LINES, JOURNAL_DAY = 20_000, 200


def main() -> int:
    """Run the measurement; returns the exit code."""
    asked = _arguments()
    figures, spent, number = Figures(), 0.0, 0
    while figures.lines < asked.lines:
        number += 1
        month = account_month(number, min(ACCOUNT_LINES, asked.lines - figures.lines), asked.seed)
        started = time.process_time()
        payment_terms, book_terms = terms(month.account)
        judge(month, payment_terms, book_terms, figures)
        spent += time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    failings = figures.failings() + _new_day(asked.seed) + measure(JOURNAL_LINES, JOURNAL_DAY)
    print(f"{number} accounts, matched in {spent:.1f} s of one core, {peak:.0f} MB")
    if spent > MOST_S * max(1.0, asked.lines / 100_000) or peak > MOST_MB:
        failings.append(f"{spent:.1f} s or {peak:.0f} MB is more than {MOST_S:.0f} s and {MOST_MB:.0f} MB")
    for one in failings:
        print(f"not held: {one}")
    print(figures.line())
    return 1 if failings else 0


def terms(account: str) -> tuple[MatchTerms, MatchTerms]:
    """The terms of the two matchings on a generated account."""
    tariffs = {account: TARIFF}
    return (replace(PAYMENT_TERMS, tariffs=tariffs), replace(BOOK_TERMS, tariffs=tariffs, numbers=(INVOICES,)))


def _new_day(seed: int) -> list[str]:
    """Put the last day of a month into registers with the other days; the result must be that of the whole month."""
    month = account_month(1, ACCOUNT_LINES, seed)
    payment_terms, book_terms = terms(month.account)
    shadows = [replace(row, shadow=True) for row in month.book]
    whole = decide([*month.payments, *shadows], month.lines, payment_terms)
    lent = lend_codes(month.lines, whole.matches, {row.id: row for row in month.payments})
    found = []
    for name, entries, lines, limits in (
        ("payments", [*month.payments, *shadows], month.lines, payment_terms),
        ("book", month.book, lent, book_terms),
    ):
        register = MatchingRegister(limits)
        register.put(*([row for row in side if row.day < LAST_DAY] for side in (entries, lines)))
        new, new_lines = ([row for row in side if row.day >= LAST_DAY] for side in (entries, lines))
        started = time.process_time()
        decided = len(register.put(new, new_lines))
        took = (time.process_time() - started) * 1000
        print(
            f"{name}: a new day of {len(new_lines)} lines, {len(new)} others: {decided} rows decided in {took:.0f} ms"
        )
        if register.decided() != decide(entries, lines, limits):
            found.append(f"{name}: the new day's decisions are not those of the whole month")
    return found


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.recon", description=__doc__)
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()
