"""A site of the signer: a journal in SQLite, the process over it, and a daemon's way to ask it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.simbank.pki import BankPki, make_pki
from tests.gateway.signer.patched_daemon import SignerSite, short_folder


@pytest.fixture(scope="session")
def signer_pki(tmp_path_factory: pytest.TempPathFactory) -> BankPki:
    """One set of keys for all sites, because making them is slow."""
    return make_pki(tmp_path_factory.mktemp("pki"), ["sample"], datetime.now(UTC))["sample"]


@pytest.fixture
def make_site(sqlite_template: bytes, signer_pki: BankPki) -> Iterator[Callable[..., SignerSite]]:
    """`make_site(**settings)`: a site in a folder of its own. Its user closes it."""
    from twisted.internet import reactor

    with short_folder() as top:
        made: list[Any] = []

        def make(**settings: Any) -> SignerSite:
            folder = top / str(len(made))
            folder.mkdir()
            (folder / "journal.db").write_bytes(sqlite_template)
            site = SignerSite(folder, reactor, f"sqlite:///{folder / 'journal.db'}", pki=signer_pki, **settings)
            made.append(site)
            return site

        yield make
