"""Settings: every mistake in the files is reported as one line with file, key and remedy."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.settings import BadSettings, BandSettings, Mistake, band_gaps, is_loopback, load, read_settings, socket_of

MAIN = """
state_dir = "state"
[broker]
password = { file = "broker" }
[journal]
vault_key = { file = "vault" }
[[accounts]]
number = "0000000000000000017"
name = "示例甲公司"
company = "jia"
bank = "pab"
[senders.erp]
users = ["erp"]
operations = ["payment.submit"]
"""
BANK = """
[banks.pab]
protocol = "pab"
[banks.pab.lanes.main]
host = "127.0.0.1"
ports = { business = 7070 }
plaintext = "loopback"
"""

RATE = '[[positions.rates]]\ncurrency = "USD"\nrate = "7.1"\nday = 2026-01-01\n'
ANOTHER = """
[[accounts]]
number = "0000000000000000025"
name = "示例甲公司"
company = "jia"
bank = "pab"
"""

PUSHES = """
[banks.pab.pushes]
port = 3001
certificate = "a"
key = { file = "b" }
ca_file = "c"
client_pins = ["x"]
"""
BOC = """
[banks.boc.options]
terminal = "E127000000001"
customer = "1"
operator = "2"
branch = "40000"
probe_account = "0000000000000017"
"""


def own(more: str) -> str:
    """MAIN with further settings of its account."""
    return MAIN.replace('bank = "pab"', f'bank = "pab"\n{more}')


@pytest.fixture
def site(tmp_path: Path) -> Callable[..., Path]:
    """`site(main, bank, more)`: write the files, return the main one."""

    def write(main: str = MAIN, bank: str = BANK, **more: str) -> Path:
        (tmp_path / "conf.d").mkdir(exist_ok=True)
        (tmp_path / "bankgw.toml").write_text(main, "utf-8")
        (tmp_path / "conf.d" / "pab.toml").write_text(bank, "utf-8")
        for name, text in more.items():
            (tmp_path / "conf.d" / f"{name}.toml").write_text(text, "utf-8")
        return tmp_path / "bankgw.toml"

    return write


def mistakes(path: Path, environment: dict[str, str] | None = None) -> tuple[Mistake, ...]:
    with pytest.raises(BadSettings) as caught:
        load(path, environment)
    assert str(caught.value) == "\n".join(f"{one.file}: {one.key}: {one.remedy}" for one in caught.value.mistakes)
    return caught.value.mistakes


def test_good_settings(site: Callable[..., Path], tmp_path: Path) -> None:
    settings = load(site())
    assert settings.mode == "development"
    assert settings.state_dir == tmp_path / "state"
    assert settings.broker.password is not None
    assert settings.broker.password.path() == tmp_path / "broker"
    assert settings.control_socket() == tmp_path / "state" / "control.sock"
    assert settings.journal_url() == f"sqlite:///{tmp_path}/state/journal.db"
    assert settings.banks["pab"].lanes["main"].ports == {"business": 7070}


def without(text: str, line: str) -> str:
    assert line in text
    return text.replace(line, "")


# (main file, bank file, where: m or b, key, words of the remedy)
CASES: list[tuple[str, str, str, str, str, str]] = [
    ("unknown_key", MAIN + "sent_event = true", BANK, "m", "senders.erp.sent_event", "no such setting"),
    ("unknown_table", MAIN + "[brocker]\nhost = 'x'", BANK, "m", "brocker", "no such setting"),
    ("unknown_bank_key", MAIN, BANK + "hots = 'x'", "b", "banks.pab.lanes.main.hots", "no such setting"),
    ("no_broker", without(MAIN, '[broker]\npassword = { file = "broker" }'), BANK, "m", "broker", "required"),
    ("no_vault", without(MAIN, 'vault_key = { file = "vault" }'), BANK, "m", "journal.vault_key", "required"),
    ("no_host", MAIN, without(BANK, 'host = "127.0.0.1"'), "b", "banks.pab.lanes.main.host", "required"),
    (
        "two_places",
        MAIN.replace('{ file = "broker" }', '{ file = "b", credential = "b" }'),
        BANK,
        "m",
        "broker.password",
        "exactly one of `file`, `credential`, `command` and `environment`",
    ),
    (
        "vault_key_by_command",
        MAIN.replace('{ file = "vault" }', '{ command = ["/bin/cat", "vault"] }'),
        BANK,
        "m",
        "journal.vault_key.command",
        "no such setting",
    ),
    (
        "command_without_path",
        MAIN.replace('{ file = "broker" }', '{ command = ["vault", "kv", "get"] }'),
        BANK,
        "m",
        "broker.password",
        "whole path",
    ),
    (
        "command_is_text",
        MAIN.replace('{ file = "broker" }', '{ command = "/bin/cat x" }'),
        BANK,
        "m",
        "broker.password.command",
        "list",
    ),
    ("no_place", MAIN.replace('{ file = "broker" }', "{}"), BANK, "m", "broker.password", "exactly one"),
    ("secret_in_clear", MAIN.replace('{ file = "broker" }', '"hunter2"'), BANK, "m", "broker.password", "a table"),
    ("mode", 'mode = "live"\n' + MAIN, BANK, "m", "mode", "'development', 'test' or 'production'"),
    ("node", 'node = "GW 1"\n' + MAIN, BANK, "m", "node", "lower-case letters"),
    ("port_text", MAIN + '[watch]\nport = "many"', BANK, "m", "watch.port", "whole number"),
    ("port_high", MAIN + "[watch]\nport = 70000", BANK, "m", "watch.port", "at most 65535"),
    ("lane_port", MAIN, BANK.replace("7070", "0"), "b", "banks.pab.lanes.main.ports.business", "1 to 65535"),
    ("drain", "drain_s = 0\n" + MAIN, BANK, "m", "drain_s", "more than 0"),
    ("level", MAIN + '[log]\nlevel = "loud"', BANK, "m", "log.level", "'debug'"),
    ("switch", MAIN + "anonymous = 'maybe'", BANK, "m", "senders.erp.anonymous", "true or false"),
    ("not_a_list", MAIN.replace('["erp"]', '"erp"'), BANK, "m", "senders.erp.users", "list in brackets"),
    ("no_users", MAIN.replace('["erp"]', "[]"), BANK, "m", "senders.erp.users", "at least 1"),
    (
        "operation",
        MAIN.replace("payment.submit", "payment.send"),
        BANK,
        "m",
        "senders.erp.operations.0",
        "payment.submit",
    ),
    ("amount_number", MAIN + "limits = { per_day = 500 }", BANK, "m", "senders.erp.limits.per_day", "text in quotes"),
    ("amount_form", MAIN + 'limits = { per_day = "5,000" }', BANK, "m", "senders.erp.limits.per_day", "50000.00"),
    (
        "amount_currency",
        MAIN + 'limits = { per_day = "1.001" }',
        BANK,
        "m",
        "senders.erp.limits.per_day",
        "no amount of CNY",
    ),
    ("pattern", MAIN + 'reply_to = "("', BANK, "m", "senders.erp.reply_to", "regular expression"),
    ("stranger_account", MAIN + 'accounts = ["0000000000000000099"]', BANK, "m", "senders.erp.accounts", "…0099"),
    ("band_gap", MAIN + 'bands = [{ upto = "10", action = "release" }]', BANK, "m", "senders.erp.bands", "above 10.00"),
    ("number_form", MAIN.replace("0000000000000000017", "0000 17"), BANK, "m", "accounts.0.number", "without blanks"),
    (
        "currency",
        MAIN.replace('bank = "pab"', 'bank = "pab"\ncurrency = "yuan"'),
        BANK,
        "m",
        "accounts.0.currency",
        "three capital letters",
    ),
    ("bank", MAIN.replace('bank = "pab"', 'bank = "icbc"'), BANK, "m", "accounts.0.bank", "name one of pab"),
    (
        "lane",
        MAIN.replace('bank = "pab"', 'bank = "pab"\nlane = "b"'),
        BANK,
        "m",
        "accounts.0.lane",
        "name one of main",
    ),
    ("date", MAIN.replace('bank = "pab"', 'bank = "pab"\nopened = "soon"'), BANK, "m", "accounts.0.opened", "a date"),
    (
        "closed",
        MAIN.replace('bank = "pab"', 'bank = "pab"\nopened = 2026-02-01\nclosed = 2026-01-01'),
        BANK,
        "m",
        "accounts.0.closed",
        "after opened",
    ),
    ("zone", 'zone = "Asia/Pekin"\n' + MAIN, BANK, "m", "zone", "Asia/Shanghai"),
    ("plain", MAIN, without(BANK, 'plaintext = "loopback"'), "b", "banks.pab.lanes.main.tls", "add a [tls] table"),
    (
        "not_loopback",
        MAIN,
        BANK.replace("127.0.0.1", "192.0.2.7"),
        "b",
        "banks.pab.lanes.main.plaintext",
        "not loopback",
    ),
    ("no_lanes", MAIN, '[banks.pab]\nprotocol = "pab"\nlanes = {}', "b", "banks.pab.lanes", "at least one lane"),
    (
        "pin_only",
        MAIN,
        without(BANK, 'plaintext = "loopback"') + '[banks.pab.lanes.main.tls]\nca_file = "a"\n'
        'certificate = "b"\nkey = { file = "c" }\nname_check = "pin-only"',
        "b",
        "banks.pab.lanes.main.tls",
        "needs at least one pin",
    ),
    (
        "production_amqp",
        'mode = "production"\n' + MAIN.replace("[broker]", '[broker]\nhost = "mq.example"'),
        BANK,
        "m",
        "broker.tls",
        "leaves this machine",
    ),
    (
        "production_almost_here",
        'mode = "production"\n' + MAIN.replace("[broker]", '[broker]\nhost = "127.0.0.1.mq.example"'),
        BANK,
        "m",
        "broker.tls",
        "leaves this machine",
    ),
    ("host_empty", MAIN, BANK.replace("127.0.0.1", ""), "b", "banks.pab.lanes.main.host", "without scheme or port"),
    (
        "host_url",
        MAIN,
        BANK.replace("127.0.0.1", "https://x:44"),
        "b",
        "banks.pab.lanes.main.host",
        "write a host name or an IP address, without scheme or port",
    ),
    (
        "host_port",
        MAIN,
        BANK.replace("127.0.0.1", "fep.example:44"),
        "b",
        "banks.pab.lanes.main.host",
        "without scheme or port",
    ),
    ("host_blank", MAIN, BANK.replace("127.0.0.1", "a b"), "b", "banks.pab.lanes.main.host", "without scheme or port"),
    (
        "broker_host",
        MAIN.replace("[broker]", '[broker]\nhost = "amqp://mq"'),
        BANK,
        "m",
        "broker.host",
        "without scheme or port",
    ),
    ("no_user", MAIN.replace("[broker]", '[broker]\nuser = ""'), BANK, "m", "broker.user", "at least 1"),
    ("no_login", without(MAIN, 'password = { file = "broker" }'), BANK, "m", "broker.password", "certificate logs in"),
    ("production_alone", 'mode = "production"\n' + MAIN, BANK, "m", "journal.witness", "no_witness why there is none"),
    (
        "production_database",
        'mode = "production"\n' + MAIN.replace("[journal]", '[journal]\nurl = "postgresql://db/b"'),
        BANK,
        "m",
        "journal.password",
        "password's file",
    ),
    (
        "management",
        MAIN.replace("[broker]", '[broker]\nmanagement_url = "mq:15672"'),
        BANK,
        "m",
        "broker.management_url",
        "http://user",
    ),
    (
        "group",
        MAIN + "[control]\ngroup_may_open = true",
        BANK,
        "m",
        "control.socket",
        "the group cannot reach state_dir",
    ),
    ("socket", MAIN + f'[control]\nsocket = "{"s" * 120}"', BANK, "m", "control.socket", "shorter path"),
    (
        "pushes_unknown",
        MAIN.replace('"pab"', '"boc"'),
        BANK.replace("pab", "boc") + BOC + PUSHES.replace("pab", "boc"),
        "b",
        "banks.boc.pushes",
        "knows no messages of this bank's own accord",
    ),
    (
        "pushes_twice",
        MAIN,
        BANK + PUSHES + (BANK + PUSHES).replace("banks.pab", "banks.two"),
        "b",
        "banks.two.pushes.port",
        "choose another port",
    ),
    ("pushes_unpinned", MAIN, BANK + PUSHES.replace('["x"]', "[]"), "b", "banks.pab.pushes.client_pins", "at least 1"),
    (
        "number_range",
        MAIN + "[[reconciliation.numbers]]\ndigits = 4\nfirst = 1\nlast = 10000",
        BANK,
        "m",
        "reconciliation.numbers.0",
        "no number of 4 digits",
    ),
    (
        "fee_bank",
        MAIN + '[[reconciliation.fees]]\nbank = "x"\nupto = "1"\nfee = "1"',
        BANK,
        "m",
        "reconciliation.fees.0.bank",
        "name one of pab",
    ),
    (
        "fee_amount",
        MAIN + '[[reconciliation.fees]]\nbank = "pab"\nupto = "1"\nfee = "0.001"',
        BANK,
        "m",
        "reconciliation.fees.0.fee",
        "no amount of CNY",
    ),
    ("parent_unknown", own('parent = "0000999"'), BANK, "m", "accounts.0.parent", "not in the account register"),
    ("parent_itself", own('parent = "0000000000000000017"'), BANK, "m", "accounts.0.parent", "lead back to it"),
    (
        "parent_ring",
        own('parent = "0000000000000000025"') + ANOTHER + 'parent = "0000000000000000017"',
        BANK,
        "m",
        "accounts.1.parent",
        "lead back to it",
    ),
    ("opening_half", own('opening_balance = "1"'), BANK, "m", "accounts.0.opening_day", "write both or none"),
    (
        "opening_decimals",
        own('opening_balance = "-1.001"\nopening_day = 2026-01-01'),
        BANK,
        "m",
        "accounts.0.opening_balance",
        "CNY has 2 decimals",
    ),
    ("rate_to_nothing", MAIN + RATE, BANK, "m", "positions.rates.0", "no group_currency"),
    (
        "rate_of_its_own",
        MAIN + '[positions]\ngroup_currency = "USD"\n' + RATE,
        BANK,
        "m",
        "positions.rates.0.currency",
        "the group's own currency",
    ),
    (
        "rate_twice",
        MAIN + '[positions]\ngroup_currency = "CNY"\n' + RATE * 2,
        BANK,
        "m",
        "positions.rates.1.day",
        "keep one",
    ),
    (
        "rate_of_nothing",
        MAIN + '[positions]\ngroup_currency = "CNY"\n' + RATE.replace("7.1", "0"),
        BANK,
        "m",
        "positions.rates.0.rate",
        "more than 0",
    ),
    (
        "bank_name",
        MAIN.replace('"pab"', '"PAB"'),
        BANK.replace("banks.pab", "banks.PAB"),
        "b",
        "banks.PAB",
        "its name is wrong",
    ),
]


@pytest.mark.parametrize(
    ("main", "bank", "where", "key", "remedy"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_each_mistake_names_file_key_and_remedy(
    site: Callable[..., Path], main: str, bank: str, where: str, key: str, remedy: str
) -> None:
    path = site(main, bank)
    file = str(path) if where == "m" else str(path.parent / "conf.d" / "pab.toml")
    found = mistakes(path)
    assert [(one.file, one.key) for one in found if one.key == key] == [(file, key)], found
    said = next(one.remedy for one in found if one.key == key)
    assert remedy in said
    assert "\n" not in str(found[0])
    assert "hunter2" not in str(found)


def test_all_mistakes_at_once(site: Callable[..., Path]) -> None:
    main = MAIN.replace('"payment.submit"', '"payment.send"') + "[watch]\nport = 70000\n[control]\nhost = 1"
    keys = {one.key for one in mistakes(site(main, BANK.replace("plaintext", "plain")))}
    assert keys == {"senders.erp.operations.0", "watch.port", "control.host", "banks.pab.lanes.main.plain"}
    keys = {one.key for one in mistakes(site('zone = "x"\n' + MAIN.replace('bank = "pab"', 'bank = "b"'), BANK))}
    assert keys == {"zone", "accounts.0.bank"}


def test_a_user_speaks_for_one_sender(site: Callable[..., Path]) -> None:
    more = '[senders.other]\nusers = ["erp"]\noperations = ["status.query"]'
    (one,) = mistakes(site(MAIN, BANK, other=more))
    assert (one.key, Path(one.file).name) == ("senders.other.users", "other.toml")
    assert "speaks for sender 'erp' already" in one.remedy


def test_one_account_stands_once_over_all_files(site: Callable[..., Path]) -> None:
    again = '[[accounts]]\nnumber = "0000000000000000017"\nname = "乙"\ncompany = "yi"\nbank = "pab"'
    (one,) = mistakes(site(MAIN, BANK, again=again))
    assert (one.key, Path(one.file).name) == ("accounts.1.number", "again.toml")
    assert "accounts.0" in one.remedy


def test_a_key_may_stand_in_one_file_only(site: Callable[..., Path]) -> None:
    (one,) = mistakes(site(MAIN, BANK, z='state_dir = "elsewhere"'))
    assert one.key == "state_dir"
    assert Path(one.file).name == "z.toml"
    assert "bankgw.toml already; keep one" in one.remedy


def test_files_that_cannot_be_read(site: Callable[..., Path], tmp_path: Path) -> None:
    (one,) = mistakes(tmp_path / "no" / "bankgw.toml")
    assert "No such file" in one.remedy
    path = site("mode = \n[")
    (one,) = mistakes(path)
    assert (one.file, one.key) == (str(path), "line 1")
    assert "not TOML" in one.remedy
    path.write_text(MAIN, "utf-8-sig")
    (one,) = mistakes(path)
    assert (one.file, one.key) == (str(path), "line 1")
    assert one.remedy == "begins with a BOM; save the file as UTF-8 without BOM"
    path.write_bytes("node = '甲'".encode("gb18030"))
    (one,) = mistakes(path)
    assert re.fullmatch(r"byte \d+", one.key)
    assert "UTF-8" in one.remedy


def test_the_environment_overrides_plain_values(site: Callable[..., Path]) -> None:
    path = site()
    settings = load(path, {"BANKGW__WATCH__PORT": "1", "BANKGW__NODE": "gw9", "BANKGW_CONFIG": "x"})
    assert (settings.watch.port, settings.node) == (1, "gw9")
    (one,) = mistakes(path, {"BANKGW__WATCH__PORT": "low"})
    assert one.file == "environment variable BANKGW__WATCH__PORT"
    for name in ("BANKGW__BROKER", "BANKGW__STATE_DIR__X", "BANKGW__ACCOUNTS"):
        (one,) = mistakes(path, {name: "1"})
        assert one.file == f"environment variable {name}"
        assert "unset it" in one.remedy


def test_credentials_are_where_the_service_manager_puts_them(
    site: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/c")
    settings = load(site(MAIN.replace('file = "vault"', 'credential = "vault"')))
    assert settings.journal.vault_key.path() == Path("/run/c/vault")


@pytest.mark.parametrize("host", ["::1", "192.0.2.7", "fep_1.bank.example", "fep.bank.example.", "fe80::1%eth0"])
def test_a_host_is_a_name_or_an_address(host: str, site: Callable[..., Path]) -> None:
    tls = '[banks.pab.lanes.main.tls]\nca_file = "a"\ncertificate = "b"\nkey = { file = "c" }'
    bank = without(BANK, 'plaintext = "loopback"').replace("127.0.0.1", host) + tls
    main = f'environment = {{ may_dial = ["{host}"] }}\n{MAIN}'
    assert load(site(main, bank)).banks["pab"].lanes["main"].host == host


def test_limits_count_in_one_currency(site: Callable[..., Path]) -> None:
    usd = '[[accounts]]\nnumber = "0000000000000000018"\nname = "乙"\ncompany = "yi"\nbank = "pab"\ncurrency = "USD"'
    (one,) = mistakes(site(MAIN + 'limits = { per_day = "5" }', BANK, usd=usd))
    assert one.key == "senders.erp"
    assert "CNY, USD" in one.remedy
    load(site(MAIN + 'accounts = ["0000000000000000018"]\nlimits = { per_day = "5" }', BANK, usd=usd))


def test_the_socket_is_known_however_wrong_the_rest_is(site: Callable[..., Path], tmp_path: Path) -> None:
    path = site(MAIN.replace("[broker]", "[brocker]"))
    assert socket_of(path) == tmp_path / "state" / "control.sock"
    assert socket_of(site(MAIN + '[control]\nsocket = "d.sock"')) == tmp_path / "d.sock"
    assert socket_of(site(without(MAIN, 'state_dir = "state"'))) == Path("/var/lib/bankgw/control.sock")


def test_read_gives_settings_beside_their_disagreements(site: Callable[..., Path]) -> None:
    loaded = read_settings(site('zone = "x"\n' + MAIN))
    assert [one.key for one in loaded.mistakes] == ["zone"]
    assert loaded.settings.zone == "x"
    assert loaded.mistake("banks.pab.lanes.main.tls.ca_file", "r").file.endswith(os.path.join("conf.d", "pab.toml"))


@pytest.mark.parametrize(
    ("bands", "said"),
    [
        ([("0", None)], []),
        ([("0", "10"), ("10", None)], []),
        ([("10", None), ("0", "10")], []),
        ([("0", "10"), ("20", None)], ["no band covers amounts above 10.00 up to 20.00"]),
        ([("0", "20"), ("10", None)], ["two bands cover amounts above 10.00 up to 20.00"]),
        ([("5", None)], ["no band covers amounts above 0.00 up to 5.00"]),
        ([("0", "10")], ["no band covers amounts above 10.00"]),
        ([("0", None), ("10", None)], ["a band above 10.00 lies behind one without end"]),
        ([("0", "0"), ("0", None)], ["the band above 0.00 ends at or before its start"]),
    ],
)
def test_bands_cover_every_amount_once(bands: list[tuple[str, str | None]], said: list[str]) -> None:
    made = tuple(BandSettings(above=above, upto=upto, action="hold") for above, upto in bands)
    assert band_gaps(made) == said


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("LOCALHOST", True),
        ("broker.example", False),
        ("10.0.0.1", False),
        ("0.0.0.0", False),
        ("127.1", False),
        ("", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
    ],
)
def test_loopback_is_an_address_and_not_a_prefix(host: str, here: bool) -> None:
    assert is_loopback(host) is here


# ---- logins with one session ----


def boc(name: str, *lanes: str, operator: str = "200000001", window: int | None = None) -> str:
    options = (
        'terminal = "E127000000001"\ncustomer = "100000001"\nbranch = "40000"\n'
        f'probe_account = "0000000000000000017"\noperator = "{operator}"\n'
    )
    text = f'[banks.{name}]\nprotocol = "boc"\n[banks.{name}.options]\n{options}'
    for lane in lanes or ("main",):
        text += (
            f'[banks.{name}.lanes.{lane}]\nhost = "127.0.0.1"\nports = {{ business = 8080 }}\nplaintext = "loopback"\n'
        )
        text += "" if window is None else f"window = {window}\n"
    return text


def test_a_login_with_one_session_has_one_lane_of_one_exchange_in_one_bank(site: Callable[..., Path]) -> None:
    assert load(site(MAIN, BANK, one=boc("one", window=1), two=boc("two", operator="200000002"))).banks
    for key, more in (
        ("banks.one.lanes.second", {"one": boc("one", "main", "second")}),
        ("banks.one.lanes.main.window", {"one": boc("one", window=8)}),
        ("banks.two.options", {"one": boc("one"), "two": boc("two")}),
    ):
        path = site(MAIN, BANK, **{"one": "", "two": "", **more})
        (found,) = mistakes(path)
        assert found.key == key
        assert Path(found.file).name == f"{key.split('.')[1]}.toml"
        assert "operator 200000001 of customer 100000001" in found.remedy
        assert "one session" in found.remedy


def test_many_lanes_and_exchanges_are_right_where_the_bank_keeps_many_sessions(site: Callable[..., Path]) -> None:
    second = "[banks.pab.lanes.second]" + BANK.partition("[banks.pab.lanes.main]")[2]
    options = '[banks.pab.options]\nenterprise_code = "00000000000000000017"\n'
    assert load(site(MAIN, BANK + "window = 8\n" + second + options)).banks["pab"].lanes["main"].window == 8


def test_where_no_bank_can_be_made_the_check_tells_why_and_not_this(site: Callable[..., Path]) -> None:
    assert load(site(MAIN, BANK, one=boc("one", "main", "second").replace("branch", "brunch"))).banks
    assert load(
        site(MAIN, BANK, one=boc("one", "main", "second").replace('protocol = "boc"', 'protocol = "nobody"'))
    ).banks
