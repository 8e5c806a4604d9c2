"""200 marked secrets appear nowhere; 200 marked account numbers and names only where docs/lookup/personal-data.md says.

A real daemon runs with them: it pays, holds and refuses orders, and 99 logins are refused by their bank. Then everything
that it has left is searched, in clear, in base64 and in hexadecimal.
"""

from __future__ import annotations

import json
import re
import secrets
import signal
import tomllib
import zipfile
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pika
import pytest

from gateway.demo import site as demo_site
from tests.gateway.cli.test_live import order
from tests.gateway.cli.test_twelve_faults import Place
from tests.gateway.erp.rabbit import rabbit_for_tests
from tests.house import ROOT

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(400)]
LANES, ORDERS = 99, 200
PAGE = ROOT / "docs" / "lookup" / "personal-data.md"
ROW = re.compile(r"^\| ([a-z ]+) \| .+ \| (never|masked|clear) \|$", re.MULTILINE)


def forms(mark: str) -> tuple[bytes, ...]:
    """The forms in which a mark may occur: as it is, and in base64 at each of three offsets."""
    plain = mark.encode()
    coded = [b64encode(b"x" * shift + plain)[4:-4] for shift in range(3)]
    return plain, plain.hex().encode(), json.dumps(mark)[1:-1].encode(), *coded


def found(marks: list[str], octets: bytes) -> list[str]:
    """The marks that occur in these bytes."""
    return [mark for mark in marks if any(form in octets for form in forms(mark))]


class Marked:
    """The running site, its marks, and all places to search."""

    def __init__(self, place: Place, pid: int, secret_marks: list[str], people: list[str]) -> None:
        self.place, self.pid, self.secrets, self.people = place, pid, secret_marks, people

    def places(self) -> dict[str, bytes]:
        """The places by their names in the page's table."""
        place, state = self.place, self.place.site.state
        bundle = place.site.folder / "support.zip"
        bundle.unlink(missing_ok=True)
        code, said = place.bankgw("support-bundle", str(bundle))
        assert code == 0, said
        with zipfile.ZipFile(bundle) as packed:
            support = b"".join(packed.read(name) for name in packed.namelist())
        shown = [place.bankgw("orders", "show", f"erp:P-{n}")[1] for n in range(3)]
        clear = [place.bankgw("orders", "show", f"erp:P-{n}", "--clear")[1] for n in range(3)]
        process = Path("/proc") / str(self.pid)
        return {
            "log": place.log().encode(),
            "metrics": place.page("metrics")[1].encode(),
            "readyz": place.page("readyz")[1].encode(),
            "status": (place.bankgw("status", "--json")[1] + place.bankgw("lanes", "list", "--json")[1]).encode(),
            "environ": (process / "environ").read_bytes() + (process / "cmdline").read_bytes(),
            "database": b"".join(file.read_bytes() for file in sorted(state.glob("journal.db*"))),
            "state folder": b"".join(
                one.read_bytes()
                for one in sorted(state.rglob("*"))
                if one.is_file() and not one.name.startswith("journal.db")
            ),
            "support bundle": support,
            "orders list": place.bankgw("orders", "list", "--limit", "1000")[1].encode(),
            "orders show": "".join(shown).encode(),
            "orders show clear": "".join(clear).encode(),
        }


@contextmanager
def _running(folder: Path) -> Iterator[Marked]:
    with rabbit_for_tests("marked") as rabbit:
        place = Place.make(folder / "s", rabbit, "sample", "pab")
        try:
            place.banks()
            place.configure()
            secret_marks = _many_logins(place)
            for secret in ("broker", "vault.key"):
                octets = (place.site.folder / "secrets" / secret).read_bytes()
                secret_marks.append(octets.decode().strip() if secret == "broker" else octets.hex())
            daemon = place.daemon()
            yield Marked(place, daemon.pid, secret_marks, _orders(place))
        finally:
            place.stop()


def _many_logins(place: Place) -> list[str]:
    """Configure 99 more logins at a bank that knows none of them. Returns their names and passwords."""
    file = place.site.folder / "conf.d" / "sample.toml"
    table = tomllib.loads(file.read_text("utf-8"))["banks"]["sample"]
    marks = []
    for number in range(LANES):
        credentials = {}
        for name in ("user", "password"):
            marks.append(f"Mk{number}{name[0]}{secrets.token_hex(10)}")
            credentials[name] = demo_site._secret(place.site.folder / "secrets" / f"{name}-{number}", marks[-1])
        table["lanes"][f"l{number}"] = {
            **table["lanes"]["main"],
            "window": 1,
            "credentials": credentials,
            "trace_kib": 64,
        }
    file.write_text(demo_site.toml({"banks": {"sample": table}}), "utf-8")
    return marks


def _orders(place: Place) -> list[str]:
    """Publish orders to 100 marked payees: most are paid, some are refused. Returns the payees' account numbers and
    names."""
    marks = []
    with place.rabbit.erp() as channel:
        for number in range(ORDERS // 2):
            account, name = f"62{secrets.randbelow(10**17):017d}", f"示例{secrets.token_hex(6)}公司"
            marks += [account, name]
            body = order(f"P-{number}", f"{number + 1}.{number:02d}", "sample" if number % 2 else "pab")
            body["creditor"] |= {"account": account, "name": name}
            if number % 10 == 9:
                body["amount"] = f"{account}.999"  # it is refused, and the refusal quotes the wrong value
            properties = pika.BasicProperties(
                user_id=place.rabbit.address.user, message_id=body["id"], content_type="application/json"
            )
            channel.basic_publish("bankgw.commands", "payment.submit", json.dumps(body).encode(), properties)
    place.until(
        lambda: (
            len(
                json.loads(place.bankgw("orders", "list", "--state", "settled", "--limit", "1000", "--json")[1])[
                    "orders"
                ]
            )
            >= 60
        ),
        120,
    )
    return marks


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Marked]:
    with _running(tmp_path_factory.mktemp("marked")) as made:
        yield made


@pytest.fixture(scope="module")
def places(marked: Marked) -> dict[str, bytes]:
    """The places, searched once for all tests."""
    return marked.places()


def test_the_search_finds_a_mark_however_it_is_written() -> None:
    mark = "Mk7psecretsecret示"
    for octets in (
        mark.encode(),
        b64encode(b"a" + mark.encode() + b"b"),
        b64encode(mark.encode()),
        mark.encode().hex().encode(),
        json.dumps(mark).encode(),
    ):
        assert found([mark, "another mark"], b"before " + octets + b" after") == [mark]


def test_the_page_names_every_place_that_is_searched(places: dict[str, bytes]) -> None:
    assert sorted(place for place, _ in ROW.findall(PAGE.read_text("utf-8"))) == sorted(places)


def test_no_secret_appears_anywhere(marked: Marked, places: dict[str, bytes]) -> None:
    assert len(marked.secrets) == 2 * LANES + 2
    assert places["log"].count(b'"session.sign_on_refused"') >= LANES // 2, "the refused logins were tried"
    assert {name: seen for name, octets in places.items() if (seen := found(marked.secrets, octets))} == {}


def test_account_numbers_and_names_appear_where_the_page_says(marked: Marked, places: dict[str, bytes]) -> None:
    assert len(marked.people) == ORDERS
    for name, how in ROW.findall(PAGE.read_text("utf-8")):
        seen = found(marked.people, places[name])
        assert bool(seen) is (how == "clear"), (name, how, seen[:3])


def test_a_crash_leaves_no_core(marked: Marked) -> None:
    limits = (Path("/proc") / str(marked.pid) / "limits").read_text()
    assert re.search(r"Max core file size\s+0\s+0\s", limits), limits
    for process in marked.place.processes:
        if process.pid == marked.pid:
            process.send_signal(signal.SIGSEGV)
            assert process.wait(20) == -signal.SIGSEGV
    assert not [one for one in marked.place.site.folder.rglob("*core*") if one.is_file() and one.name[:4] == "core"]
