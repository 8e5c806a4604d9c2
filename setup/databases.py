"""`python -m setup.databases up`: a PostgreSQL and a MariaDB database of this checkout's own, for the tests.

Uses the system's servers where they run and let us; else starts private ones bound to the loopback. Writes
.run/databases.json (mode 0600): a SQLAlchemy URL for `postgresql` and for `mariadb`, or null where one is not
to be had: then the tests that need it are skipped, except in CI, where it is an error.

Set BANKGW_PRIVATE=1 to leave the system's servers alone, or BANKGW_DATABASES_JSON to name your own file and
have nothing done here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

from setup import mariadb, postgresql
from setup.machine import RUN, ServiceMissing, alone, only_private, read_json, say, write_json

DESCRIPTION = RUN / "databases.json"


@dataclass(frozen=True, slots=True)
class DatabaseKind:
    """One kind of server, and the functions that get a database on it."""

    system_port: int
    works: Callable[[str], bool]
    find_or_start: Callable[[], str]
    forget: Callable[[], None]


KINDS = {
    "postgresql": DatabaseKind(postgresql.SYSTEM_PORT, postgresql.works, postgresql.find_or_start, postgresql.forget),
    "mariadb": DatabaseKind(mariadb.SYSTEM_PORT, mariadb.works, mariadb.find_or_start, mariadb.forget),
}


def up() -> int:
    """Make .run/databases.json, keeping URLs in it that still work. Returns 1 if CI misses a database, else 0."""
    old = read_json(DESCRIPTION)
    urls = {name: _settle(name, kind, old.get(name)) for name, kind in KINDS.items()}
    write_json(DESCRIPTION, urls)
    return int(None in urls.values() and os.environ.get("CI") == "true")


def _settle(name: str, kind: DatabaseKind, old: object) -> str | None:
    if isinstance(old, str) and not (only_private() and f":{kind.system_port}/" in old) and kind.works(old):
        return old
    try:
        url = kind.find_or_start()
    except ServiceMissing as problem:
        say(f"no {name}, so its tests will be skipped: {problem}")
        return None
    say(f"{name}: a database of our own on {url.rpartition('@')[2]}")
    return url


def forget() -> int:
    """Drop our databases from the system's servers, and remove the private ones."""
    for kind in KINDS.values():
        kind.forget()
    DESCRIPTION.unlink(missing_ok=True)
    return 0


def main() -> int:
    """`up` or `forget`."""
    if os.environ.get("BANKGW_DATABASES_JSON"):
        return 0
    verbs = {"up": up, "forget": forget}
    if len(sys.argv) != 2 or sys.argv[1] not in verbs:
        say("usage: python -m setup.databases up|forget")
        return 2
    with alone():
        return verbs[sys.argv[1]]()


if __name__ == "__main__":
    sys.exit(main())
