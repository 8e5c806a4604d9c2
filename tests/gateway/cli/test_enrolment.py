"""`bankgw certificates`: whenever the process dies, there is exactly one request. The request is stored, and it is
never sent blindly."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.x509 import load_pem_x509_certificate

from gateway.bank.connection import NoAnswer
from gateway.bank.dialer import NotConnected
from gateway.bank.handshake_errors import Reason
from gateway.cli import application, exit_codes
from gateway.cli.commands import certificates
from gateway.cli.enrolment import (
    ANSWER,
    CERTIFICATE,
    KEY,
    REQUEST,
    EnrolmentDriver,
    FolderBusy,
    KeptRequest,
    RequestFolder,
    RequestUnfinished,
)
from gateway.demo import site as demo_site
from gateway.register import adapters
from gateway.settings import read_settings
from protocols.banks import finws
from protocols.certificates import Stage
from protocols.kit.errors import ProtocolError
from tests.gateway.cli.test_application import world
from tests.protocols.banks.finws.paper import US, options, signs_as, stage
from tests.protocols.banks.finws.test_enrolment import CODE, carry
from tests.world.dialogue import BankAndTwin as Bench

ABOUT = {"bank": "op", "lane": "main", "at": "127.0.0.1:1"}


class Killed(BaseException):
    """The process was killed."""


class Office:
    """The bank's certificate service, and a connection to it that fails as the test says."""

    def __init__(self, folder: Path, **twin: Any) -> None:
        self.bench: Bench = stage(**{**signs_as("op"), **twin})
        self.office = finws.certificates(options(profile="op"))
        self.request_folder = RequestFolder(folder)
        self.arrived: list[bytes] = []
        self.late = timedelta(0)
        self.line: Callable[[bytes, Callable[[], None]], bytes] = self.good

    def driver(self) -> EnrolmentDriver:
        """A new process, which knows only the stored request."""

        async def sign(name: str, octets: bytes) -> bytes:
            assert name == "content"
            return US.sign(octets)

        return EnrolmentDriver(self.office, self.request_folder, self.now, sign)

    def now(self) -> datetime:
        return self.bench.time.now + self.late

    def good(self, data: bytes, before: Callable[[], None]) -> bytes:
        before()
        self.arrived.append(data)
        kept = self.request_folder.kept()
        assert kept is not None and kept.request.stage is Stage.ASKED, "written down before it leaves"
        return carry(self.bench, kept.request)

    def silent(self, data: bytes, before: Callable[[], None]) -> bytes:
        self.good(data, before)
        raise NoAnswer("no_answer", written=True)

    def killed(self, data: bytes, before: Callable[[], None]) -> bytes:
        self.good(data, before)
        raise Killed

    def shut(self, data: bytes, before: Callable[[], None]) -> bytes:
        raise NotConnected("127.0.0.1:1", Reason.REFUSED, "refused")

    async def exchange(self, data: bytes, before: Callable[[], None]) -> bytes:
        return self.line(data, before)

    async def first(self, code: str | None = CODE) -> KeptRequest:
        driver = self.driver()
        await driver.prepare("示例甲公司", "FI", code, ABOUT)
        return await driver.carry_on(self.exchange)

    async def again(self) -> KeptRequest:
        return await self.driver().carry_on(self.exchange)


@pytest.fixture
def made(tmp_path: Path) -> Office:
    folder = tmp_path / "drawer"
    folder.mkdir(mode=0o700)
    return Office(folder)


def key_of(folder: Path) -> bytes:
    return (folder / KEY).read_bytes()


async def test_a_certificate_comes_with_its_key_and_its_history(made: Office) -> None:
    kept = await made.first()
    assert kept.request.stage is Stage.ISSUED and [what.partition(":")[0] for _, what in kept.steps] == [
        "prepared",
        "sent",
        "issued",
    ]
    certificate = load_pem_x509_certificate((made.request_folder.folder / CERTIFICATE).read_bytes())
    assert "示例甲公司" in certificate.subject.rfc4514_string()
    assert made.request_folder.kept() == kept
    modes = {file.name: file.stat().st_mode & 0o777 for file in made.request_folder.folder.iterdir()}
    assert modes == dict.fromkeys((KEY, REQUEST, CERTIFICATE, ANSWER % 1), 0o600)
    assert await made.again() == kept and len(made.arrived) == 1, "what is done is not done again"
    place = made.request_folder.put_away(kept)
    assert made.request_folder.kept() is None and made.request_folder.latest() == (place, kept) and key_of(place)


async def test_silence_and_then_the_same_bytes_and_then_a_person(made: Office) -> None:
    made.line = made.silent
    kept = await made.first()
    assert kept.request.stage is Stage.ASKED
    key = key_of(made.request_folder.folder)
    made.line = made.good
    again = await made.again()
    assert (again.request.stage, again.request.code) == (Stage.ARRIVED, "31"), "the first copy had arrived"
    assert made.arrived[0] == made.arrived[1]
    assert await made.again() == again and len(made.arrived) == 2, "from here on a person"
    with pytest.raises(RequestUnfinished):
        await made.first()
    assert key_of(made.request_folder.folder) == key, "the key of a request in doubt is not overwritten"
    place = made.driver().abandon("the bank cancelled it")
    assert key_of(place) == key and made.request_folder.kept() is None
    assert "abandoned: the bank cancelled it" in (place / REQUEST).read_text()


async def test_after_ten_minutes_nothing_is_sent(made: Office) -> None:
    made.line = made.silent
    await made.first()
    made.late = timedelta(minutes=11)
    await made.again()
    assert len(made.arrived) == 1


async def test_a_repeat_does_not_begin_the_ten_minutes_anew(made: Office) -> None:
    made.line = made.silent
    await made.first()
    made.late = timedelta(minutes=6)
    await made.again()
    made.late = timedelta(minutes=11)
    assert (await made.again()).request.stage is Stage.ASKED
    assert len(made.arrived) == 2, "eleven minutes after the first, nothing leaves"


async def test_killed_between_the_bytes_and_the_answer(made: Office) -> None:
    made.line = made.killed
    with pytest.raises(Killed):
        await made.first()
    kept = made.request_folder.kept()
    assert kept is not None and kept.request.stage is Stage.ASKED
    made.line = made.good
    assert (await made.again()).request.stage is Stage.ARRIVED
    assert made.arrived[0] == made.arrived[1]


async def test_killed_before_the_bytes_left_nothing_is_lost(made: Office) -> None:
    driver = made.driver()
    await driver.prepare("示例甲公司", "FI", CODE, ABOUT)
    kept = await made.again()
    assert kept.request.stage is Stage.ISSUED and len(made.arrived) == 1


@contextmanager
def full_disk() -> Iterator[None]:
    """Limit files to 100 bytes: a longer file is written in part, and further writes fail."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_leaves_nothing_half_and_sends_nothing(made: Office) -> None:
    await made.driver().prepare("示例甲公司", "FI", CODE, ABOUT)
    whole, key = (made.request_folder.folder / REQUEST).read_bytes(), key_of(made.request_folder.folder)
    with full_disk(), pytest.raises(OSError, match="too large"):
        await made.again()
    assert made.arrived == []
    assert (made.request_folder.folder / REQUEST).read_bytes() == whole
    with full_disk(), pytest.raises(OSError, match="too large"):
        made.request_folder.put(KEY, b"x" * 1000)
    assert key_of(made.request_folder.folder) == key
    assert (await made.again()).request.stage is Stage.ISSUED


async def test_not_connected_leaves_it_unsent(made: Office) -> None:
    made.line = made.shut
    with pytest.raises(NotConnected):
        await made.first()
    kept = made.request_folder.kept()
    assert kept is not None and kept.request.stage is Stage.PREPARED and kept.request.asked_at is None
    made.late = timedelta(hours=2)
    made.line = made.good
    assert (await made.again()).request.stage is Stage.ISSUED, "what never left may leave later"


async def test_an_answer_that_is_none_is_doubt_and_kept(made: Office) -> None:
    def nonsense(data: bytes, before: Callable[[], None]) -> bytes:
        made.good(data, before)
        return b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n<a/>"

    made.line = nonsense
    kept = await made.first()
    assert kept.request.stage is Stage.ASKED and kept.steps[-1][1].startswith("not an answer")
    assert (made.request_folder.folder / (ANSWER % 1)).read_bytes().endswith(b"<a/>")


async def test_a_refusal_ends_it_and_makes_room(made: Office) -> None:
    kept = await made.first(code="0" * 16)
    assert (kept.request.stage, kept.request.code) == (Stage.REFUSED, "30")
    second = await made.first()
    assert second.request.stage is Stage.ISSUED
    assert (made.request_folder.folder / kept.request.request_id / KEY).exists()


async def test_a_renewal_is_signed_with_the_key_before(made: Office) -> None:
    kept = await made.first(code=None)
    assert kept.request.stage is Stage.ISSUED and CODE.encode() not in kept.request.wire


async def test_two_commands_do_not_work_in_one_folder(made: Office) -> None:
    with made.request_folder.locked(), pytest.raises(FolderBusy), RequestFolder(made.request_folder.folder).locked():
        pass


async def test_a_bank_without_an_office_makes_no_request(tmp_path: Path) -> None:
    office: Any = finws.certificates(options())
    without = replace(office, wire=replace(office.wire, variant=replace(office.wire.variant, enrolment="none")))
    driver = EnrolmentDriver(without, RequestFolder(tmp_path), datetime.now().astimezone, made_nothing)
    with pytest.raises(ProtocolError, match="another way"):
        await driver.prepare("x", "FI", CODE, ABOUT)
    assert driver.request_folder.kept() is None


async def made_nothing(_name: str, _octets: bytes) -> bytes:
    raise AssertionError("nothing to sign")


# ---- the command, against the simulated bank ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A simulated Finnish bank over mutual TLS, and settings for it."""
    plan = demo_site.BankPlan("finws", options={"profile": "op"}, twin_options=signs_as("op"))
    made = demo_site.prepare(tmp_path_factory.mktemp("certificates") / "site", (plan,))
    bank = subprocess.Popen(
        [sys.executable, "-m", "gateway", "simulate", str(made.simulator("finws"))],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until_s = time.monotonic() + 30
        while not made.ready_file("finws").exists():
            assert bank.poll() is None and time.monotonic() < until_s
            time.sleep(0.05)
        broker = {"host": "127.0.0.1", "port": 1, "vhost": "x", "users": {"bankgw": {"user": "x", "password": "x"}}}
        demo_site.configure(
            made, broker, {"erp": {"users": ["erp"], "operations": ["status.query"], "reply_to": "erp"}}
        )
        yield made.settings
    finally:
        bank.send_signal(signal.SIGTERM)
        bank.wait(10)


def bankgw(*words: str, given: str = "") -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "certificates", *words, "--json"],
        input=given,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.stdout, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, said


def test_the_command_gets_a_certificate_and_renews_it(site: Path) -> None:
    about = ("finws", "--config", str(site))
    code, said = bankgw("request", *about, "--name", "示例甲公司", given=f"{CODE}\n")
    assert (code, said["stage"], said["next"]) == (exit_codes.OK, "issued", "done")
    load_pem_x509_certificate(Path(said["certificate"]).read_bytes())
    code, renewed = bankgw("renew", *about, "--name", "示例甲公司")
    assert (code, renewed["stage"]) == (exit_codes.OK, "issued")
    # The settings may name the files of the certificate before, so these stay in their places.
    old, new = (load_pem_x509_certificate(Path(one["certificate"]).read_bytes()) for one in (said, renewed))
    assert old.public_key() != new.public_key() and Path(said["key"]).exists() and Path(renewed["key"]).exists()
    code, shown = bankgw("show", *about)
    assert (code, shown) == (exit_codes.OK, renewed)


def test_the_settings_say_where(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert application.main(world(), ["certificates", "show", "nobody", "--config", str(site)]) == exit_codes.FAILED
    assert application.main(world(), ["certificates", "continue", "nobody", "--config", str(site)]) == exit_codes.CONFIG
    assert "no lane nobody.main" in capsys.readouterr().err
    table = read_settings(site, os.environ).settings.banks["finws"]
    assert adapters.load_office(table) is not None
    assert (
        adapters.load_office(table.model_copy(update={"protocol": "sample", "options": {}, "option_files": {}})) is None
    )


@pytest.mark.parametrize(
    "octets", [CODE.encode("utf-16"), CODE.encode("utf-16-le"), "密".encode("gbk"), f"{CODE}\n{CODE}\n".encode()]
)
def test_a_code_that_is_not_one_line_of_text_is_not_used_up(
    octets: bytes, site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "code").write_bytes(octets)
    words = (
        "certificates",
        "request",
        "finws",
        "--name",
        "X",
        "--config",
        str(site),
        "--folder",
        str(tmp_path / "kept"),
        "--code-file",
        str(tmp_path / "code"),
    )
    assert application.main(world(), words) == exit_codes.USAGE
    said = capsys.readouterr().err
    assert said == (
        f"{tmp_path / 'code'} is not one line of text in UTF-8; save the code alone, in UTF-8. Nothing was sent\n"
    )
    assert not (tmp_path / "kept" / REQUEST).exists()


def test_a_mark_that_an_editor_puts_before_the_code_is_no_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "code").write_text(f"{CODE}\r\n", "utf-8-sig")
    assert certificates._code(tmp_path / "code") == CODE
