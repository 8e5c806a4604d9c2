"""The list of keys and secrets: purpose, place, since, until, last used. Nothing here reads the value of a key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from gateway import settings as conf
from gateway.control.offline import certificate_files
from gateway.control.offline.settings_check import sources_of
from gateway.kernel.cluster import vault_rotation
from gateway.kernel.cluster.resealing import TABLES
from gateway.kernel.cluster.vault_rotation import VaultState
from gateway.kernel.commit import vault_keys
from gateway.kernel.sql import schema
from gateway.kernel.sql.vaults import vault_of
from gateway.people.rows import persons
from protocols.erp.news import instant

SENDS_READ = 10_000
"""The newest sends that are looked through for the last use of a signing key."""
VAULT_KEY = "journal.vault_key"
_S, _P = schema.attempts.c, schema.payments.c


@dataclass(frozen=True, slots=True)
class ListedKey:
    """One key or secret. `name` is its place in the settings, its key name in the vault, or its person. `state` is
    `in use`, `prepared`, `earlier`, `waiting` or another state of a person; "" where there is only one."""

    purpose: str
    name: str
    source: str
    state: str = "in use"
    since: str | None = None
    until: str | None = None
    used: str | None = None


@dataclass(frozen=True, slots=True)
class KeyPort:
    """What the settings say of keys: `listed` are all of them, `vault` is the place of the vault's keys."""

    listed: Callable[[], Sequence[ListedKey]]
    vault: Callable[[], str]


def keys_of_settings(settings: conf.Settings, now: datetime) -> list[ListedKey]:
    """Every key and secret that the settings name, with the certificates and pins by which banks are known."""
    dates = {(one.place, one.role): (one.not_before, one.not_after) for one in certificate_files.listing(settings, now)}
    found = [
        ListedKey(_purpose_of(place), place, source, "in use", *_dates(dates, place))
        for place, source in sources_of(settings)
        if place != VAULT_KEY
    ]
    for _bank, place, _host, table in certificate_files.tls_tables(settings):
        authority = dates.get((place, "ca"), (None, None))
        found.append(ListedKey("bank_authority", f"{place}.ca_file", f"file {table.ca_file}", "in use", *authority))
        found += [
            ListedKey("bank_pin", f"{place}.pins.{n}", f"settings {pin[:12]}…") for n, pin in enumerate(table.pins)
        ]
    return sorted(found, key=lambda one: (one.purpose, one.name))


def _purpose_of(place: str) -> str:
    """What a key or secret of the settings is for, by its place."""
    if place.endswith(".tls.key"):
        return "tls_client"
    if place.endswith(".pushes.key"):
        return "tls_server"
    if place.endswith(".pin"):
        return "token_pin"
    if ".keys." in place:
        return "bank_signing"
    if ".credentials." in place:
        return "bank_login"
    return "sender_hmac" if place.endswith(".hmac_key") else "secret"


def _dates(dates: Mapping[tuple[str, str], tuple[str, str]], place: str) -> tuple[str | None, str | None]:
    table = place.removesuffix(".key")
    for role in ("client", "signing", "push_server"):
        if (table, role) in dates:
            return dates[table, role]
    return None, None


def vault_words(conn: Connection) -> dict[str, Any] | None:
    """How far older values are sealed anew; None if no vault key was ever activated."""
    found = vault_rotation.state_of(conn)
    if not found.activations:
        return None
    last, work = found.activations[-1], found.rotation
    return {
        "key": last.key,
        "before": last.before,
        "since": instant(last.at_ms),
        "state": "waits" if work is None or (found.behind and work.state != "done") else work.state,
        "done": found.is_done,
        "tables": len(TABLES),
        "tables_done": 0 if work is None else work.tables_done,
        "round": 0 if work is None else work.round,
        "rows": 0 if work is None else work.resealed,
        "unopened": 0 if work is None else work.unopened,
        "node": "" if work is None else work.node,
        "at": None if work is None else instant(work.at_ms),
        "finished": None if work is None or work.finished_ms is None else instant(work.finished_ms),
        "waits_for": list(found.behind),
        "silent": list(found.silent),
    }


def keys_of_journal(conn: Connection, source: str) -> list[ListedKey]:
    """The vault's keys and the persons' keys. `source` is where the vault's keys are kept."""
    return [*_vault_keys(conn, vault_rotation.state_of(conn), source), *_person_keys(conn)]


def _vault_keys(conn: Connection, state: VaultState, source: str) -> Iterator[ListedKey]:
    vault = vault_of(conn)
    since: dict[str, str] = {}
    until: dict[str, str] = {}
    for one in state.activations:
        if one.key != one.before:
            since[one.key] = until[one.before] = instant(one.at_ms)
    current = state.activations[-1].key if state.activations else vault.current
    known = {name for node in vault_keys.told(conn).values() for name in node.keys} | set(vault.names) | since.keys()
    for name in sorted(known | until.keys()):
        if name == current:
            yield ListedKey("vault", name, source, "in use", since.get(name), None)
        else:
            word = "earlier" if name in until else "prepared"
            yield ListedKey("vault", name, source, word, since.get(name), until.get(name))


def _person_keys(conn: Connection) -> Iterator[ListedKey]:
    for one in persons.everyone(conn):
        yield ListedKey("person", one.name, "the person's own machine", one.state, instant(one.at_ms))


def last_sends(conn: Connection) -> dict[str, int]:
    """When each lane last sent with each of its signing keys (`LANE/KEY`), among the newest sends."""
    newest = (
        select(_S.payment, _S.key_id, _S.at_ms)
        .where(_S.key_id.is_not(None))
        .order_by(_S.payment.desc(), _S.attempt.desc())
        .limit(SENDS_READ)
        .subquery()
    )
    asked = (
        select(_P.lane, newest.c.key_id, func.max(newest.c.at_ms))
        .join(newest, _P.payment == newest.c.payment)
        .group_by(_P.lane, newest.c.key_id)
    )
    found: dict[str, int] = {}
    for lane, key_ids, at_ms in conn.execute(asked):
        for key_id in str(key_ids).split(","):
            found[f"{lane}/{key_id}"] = max(at_ms, found.get(f"{lane}/{key_id}", 0))
    return found


def used_as(place: str) -> str:
    """The name (`LANE/KEY`) under which sends name a signing key of the settings; "" for another key."""
    words = place.split(".")
    if len(words) >= 6 and (words[0], words[2], words[4]) == ("banks", "lanes", "keys"):
        return f"{words[1]}.{words[3]}/{words[5]}"
    return ""
