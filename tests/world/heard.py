"""Checks on real parts that each message is recorded before it is sent: no bank receives more messages than the journal
has attempts.

A bank that knows references hides a message that left before it was written down: the second one is only a duplicate.
The simulated banks therefore record every message to move money that arrives, and the journal must account for each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from sqlalchemy import Connection, text

from gateway.simbank.record import read_heard

Sends = Counter[tuple[str, str]]
"""Messages by bank and reference."""

_ATTEMPTS = text("""
SELECT p.bank, p.bank_ref, count(*) FROM payments p JOIN attempts a ON a.payment = p.payment
GROUP BY p.bank, p.bank_ref
""")
# A message with many orders has the reference of the bundle, which counts its own attempts.
_BUNDLES = text("""
SELECT DISTINCT p.bank, b.bank_ref, b.attempt FROM bundles b JOIN bundle_items i ON i.bundle = b.bundle
JOIN payments p ON p.payment = i.payment WHERE b.wire IS NOT NULL
""")


def written(conn: Connection) -> Sends:
    """The number of sends that the journal has recorded, by bank and reference."""
    found: Sends = Counter({(bank, ref): int(count) for bank, ref, count in conn.execute(_ATTEMPTS)})
    found.update({(bank, ref): int(count) for bank, ref, count in conn.execute(_BUNDLES)})
    return found


def heard(ledgers: Mapping[str, Path]) -> Sends:
    """The number of messages that the banks received, by bank and reference."""
    return Counter({(bank, ref): n for bank, file in ledgers.items() for ref, n in read_heard(file).items()})


def unwritten(arrived: Sends, attempts: Sends) -> Iterator[tuple[str, str]]:
    """Each reference under which a bank received more messages than the journal has attempts, with a sentence about
    it."""
    for (bank, ref), count in sorted(arrived.items()):
        known = attempts[bank, ref]
        if count > known:
            yield (
                ref,
                f"{bank} heard {count} messages, the journal has {known} attempts: it left before it was written down",
            )
