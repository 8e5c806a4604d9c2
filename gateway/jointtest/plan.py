"""The plan of a joint test: `joint-test.toml` in the folder of the run. Paths in it are relative to that file.

bank = "pab"                     # as the gateway's settings name it; `protocol` when the folder's name differs
against = "bank"                 # bank: the bank's own test environment · twin: a simulated bank
environment = "test"             # production: no case is played that moves money
scripts = "bank"                 # finance: the acceptance scripts of accountants instead of the bank's cases
sender = "joint"                 # the sender that the gateway's settings know
socket = "/run/bankgw/control.sock"
erp = "erp.toml"                 # who speaks to which broker: as for `bankgw send`
receipts_today = true            # false: the bank makes receipts (回单) of past days only
receipts_of = "payment"          # by what it finds them: payment · entry (流水) · batch_item
looks_up = "银行"                # what the bank's directory is asked for
patience_s = 30                  # how long the last word about an order is waited for
cases = "cases"                  # the folder with cases of one's own: see gateway.jointtest.case_files
payee = { account = "…", name = "…", bank_name = "…", cnaps = "…" }
[[accounts]]                     # own accounts, at least one; two for transfers
number = "…"
name = "…"
[caps]                           # most a run may move, in major units
per_order = "100.00"
per_account = "1000.00"
[caps.channels]                  # by kind of order
transfer = "500.00"
[triggers]                       # what makes the bank do something: fields of the order, as the bank tells us
refuse = { "/creditor/account" = "…" }
[versions]
front_end = "…"
[testers]
ours = "…"
bank = "…"
[twin]                           # only against a twin: its control socket and its exchange log
control = "simbank.sock"
exchanges = "simbank.exchanges.jsonl"
[relay]                          # our proxy on the line, if it stands there
control = "relay.sock"
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from gateway.jointtest.verdicts import SeenAt

FILE = "joint-test.toml"
CapAmount = Annotated[str, Field(pattern=r"^\d{1,15}\.\d{2}$")]


class BadPlan(ValueError):
    """The plan cannot be used; every mistake on a line of its own."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OwnAccount(_Table):
    """One of our own accounts at the bank."""

    number: str = Field(min_length=1)
    name: str = Field(min_length=1)


class Payee(_Table):
    """The payee. The bank says which accounts of its test environment may be paid."""

    account: str
    name: str
    bank_name: str | None = None
    cnaps: str | None = None
    kind: Literal["corporate", "person"] = "corporate"


class Caps(_Table):
    """The largest amounts that a whole run may move. An order that would exceed one is not sent."""

    per_order: CapAmount = "100.00"
    per_account: CapAmount = "10000.00"
    channels: Mapping[str, CapAmount] = Field(default_factory=dict)


class Versions(_Table):
    """The versions that were tested. The program adds the gateway's own version."""

    front_end: str = ""
    gateway: str = ""


class Testers(_Table):
    """The testers of both sides, who sign the report."""

    ours: str = ""
    bank: str = ""


class TwinAccess(_Table):
    """The paths of the simulated bank's control socket and of its log of exchanges."""

    control: str
    exchanges: str | None = None


class RelayAccess(_Table):
    """The path of the control socket of the relay between gateway and bank."""

    control: str


class _File(_Table):
    bank: str
    protocol: str | None = None
    against: Literal["bank", "twin"]
    environment: Literal["test", "production"] = "test"
    scripts: Literal["bank", "finance"] = "bank"
    sender: str
    socket: str
    erp: str = "erp.toml"
    accounts: tuple[OwnAccount, ...] = Field(min_length=1)
    payee: Payee
    caps: Caps = Caps()
    order: Mapping[str, Any] = Field(default_factory=dict)
    triggers: Mapping[str, Annotated[Mapping[str, Any], BeforeValidator(dict)]] = Field(default_factory=dict)
    versions: Versions = Versions()
    testers: Testers = Testers()
    twin: TwinAccess | None = None
    relay: RelayAccess | None = None
    patience_s: float = Field(30.0, gt=0)
    receipts_today: bool = True
    receipts_of: Literal["payment", "entry", "batch_item"] = "payment"
    looks_up: str = "银行"
    cases: str = "cases"


@dataclass(frozen=True, slots=True)
class RunPlan:
    """The plan of one run: the file's values, and the folder that its paths are relative to."""

    folder: Path
    told: _File = field(repr=False)

    @property
    def bank(self) -> str:
        """The bank's name in the gateway's settings."""
        return self.told.bank

    @property
    def protocol(self) -> str:
        """The folder of `protocols.banks` with the bank's protocol."""
        return self.told.protocol or self.told.bank

    @property
    def seen(self) -> SeenAt:
        """Whether this run observes the real bank or a twin."""
        return SeenAt(self.told.against)

    @property
    def production(self) -> bool:
        """Whether the run moves real money."""
        return self.told.environment == "production"

    def path(self, name: str) -> Path:
        """The path of a file that the plan names."""
        return self.folder / name


_EXAMPLE = """# A joint test. What each line means: docs/do/joint-test.md
bank = "{bank}"
against = "bank"
environment = "test"
scripts = "{scripts}"
sender = "{sender}"
socket = "/run/bankgw/control.sock"
erp = "/etc/bankgw/erp.toml"
receipts_today = true
patience_s = 60
payee = {{ account = "<account>", name = "<name>", bank_name = "<branch>", cnaps = "<12 digits>" }}

[[accounts]]
number = "<own account>"
name = "<holder>"

[caps]
per_order = "100.00"
per_account = "1000.00"
channels = {{ transfer = "500.00" }}

# What the bank says makes it refuse, decide later, send money back.
[triggers]
# refuse = {{ "/creditor/account" = "<account>" }}

[versions]
front_end = "<version>"

[testers]
ours = "<name>"
bank = "<name>"
"""


def example(bank: str, sender: str, scripts: str = "bank") -> str:
    """A plan with blanks to fill in."""
    return _EXAMPLE.format(bank=bank, sender=sender, scripts=scripts)


def load_plan(folder: Path) -> RunPlan:
    """The plan in this folder. Raises BadPlan with every mistake."""
    file = folder / FILE
    try:
        told = _File.model_validate(tomllib.loads(file.read_text("utf-8")))
    except OSError as error:
        raise BadPlan(f"{file}: cannot be read ({error.strerror}); `bankgw joint-test init` writes one") from None
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise BadPlan("\n".join(f"{file}: {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in found)) from None
    except ValueError as error:
        raise BadPlan(f"{file}: is not TOML in UTF-8: {error}") from None
    plan = RunPlan(folder, told)
    wrong = list(_wrong(plan))
    if wrong:
        raise BadPlan("\n".join(f"{file}: {one}" for one in wrong))
    return plan


def _wrong(plan: RunPlan) -> list[str]:
    told = plan.told
    found = []
    if told.against == "twin" and told.twin is None:
        found.append("twin: a run against a twin needs its control socket")
    if told.against == "bank" and told.twin is not None:
        found.append("twin: a run against a bank has none; nothing that a twin shows is the bank's word")
    if plan.production and told.against == "twin":
        found.append("environment: a simulated bank is no production")
    return found
