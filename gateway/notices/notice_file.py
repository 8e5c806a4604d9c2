"""The file of notices, `notices.toml`: the destinations, the channels, and the quiet hours.

It is a separate file because the daemon must not read it: a mistake in it stops notices, never payments.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import time
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from gateway import settings as conf
from gateway.notices.kinds import KINDS_OF_ROLE, NoticeEvent, NoticeKind
from gateway.settings.values import SettingsPath, Slug

# One address, without characters that could begin another header.
_ADDRESS = r"^[0-9A-Za-z.!#$%&'*+/=?^_`{|}~-]{1,64}@[0-9A-Za-z.-]{1,255}$"
_URL = r"^https?://[0-9A-Za-z.:\[\]-]+(/[0-9A-Za-z._~/-]*)?$"
MailAddress = Annotated[str, StringConstraints(pattern=_ADDRESS)]
ToldKind = Literal[
    "security",
    "daemon_stopped",
    "contradicted",
    "trouble",
    "approval_expiring",
    "expired",
    "lane_down",
    "channel_broken",
    "doubtful",
    "returned",
    "held",
    "approval_waiting",
    "certificate_ends",
    "backup",
    "statement_missing",
    "receipt_missing",
    "report_failed",
    "upkeep",
    "over",
    "alive",
]
ToldRole = Literal["viewer", "maker", "approver", "supervisor", "system_admin", "security_admin", "audit_admin"]


class _NoticeTable(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SmtpServer(_NoticeTable):
    """The mail server."""

    host: conf.Host = Field(description="Mail server.")
    port: int = Field(465, ge=1, le=65535, description="TCP port.")
    security: Literal["tls", "starttls", "loopback"] = Field(
        "tls", description="TLS from the first byte, or by STARTTLS; `loopback` is without, to this machine only."
    )
    ca_file: SettingsPath | None = Field(None, description="PEM file of its authority; default: the system's.")
    user: str | None = Field(None, description="Login, if it asks for one.")
    password: conf.Secret | None = Field(None, description="Its password.")
    sender: MailAddress = Field(description="The address that notices come from.")

    @model_validator(mode="after")
    def _agree(self) -> SmtpServer:
        if self.security == "loopback" and not conf.is_loopback(self.host):
            raise ValueError("`loopback` is for this machine; write `tls` or `starttls`")
        if (self.user is None) != (self.password is None):
            raise ValueError("give both `user` and `password`, or neither")
        return self


class NoticeDestination(_NoticeTable):
    """A destination of notices: its address, and the kinds of notice that it gets."""

    form: Literal["email", "webhook", "wecom", "feishu", "dingtalk"] = Field(description="How it is told.")
    to: tuple[MailAddress, ...] = Field((), description="`email`: addresses.")
    url: Annotated[str, StringConstraints(pattern=_URL)] | None = Field(
        None, description="Web-hooks: where to, without its secret part; `https`, or `http` to this machine."
    )
    token: conf.Secret | None = Field(
        None, description="Chat services: the secret part of the address, which identifies the robot."
    )
    key: conf.Secret | None = Field(
        None, description="`webhook`, `feishu`, `dingtalk`: the secret by which notices are signed."
    )
    ca_file: SettingsPath | None = Field(
        None, description="Web-hooks: PEM file of the server's authority; default: the system's."
    )
    kinds: tuple[ToldKind, ...] = Field(
        tuple(kind.value for kind in NoticeKind), min_length=1, description="What is told; `security` always is."
    )
    roles: tuple[ToldRole, ...] = Field(
        (), description="Instead of `kinds`: what a person of these roles can do something about."
    )
    companies: tuple[Slug, ...] = Field(
        (),
        description="Only what is about these companies, and what is about no single company; default: all companies.",
    )
    after_s: float = Field(
        0.0,
        ge=0,
        le=604_800,
        description="For the second person: only what still lasts after so many seconds and nobody acknowledged. "
        "`security` and `alive` are told at once.",
    )
    language: Literal["zh", "en"] = Field("zh", description="Its language.")
    quiet_from: time | None = Field(
        None, description="Quiet hours, in `zone`: what is not urgent waits until `quiet_to`, and comes in one notice."
    )
    quiet_to: time | None = Field(None, description="When they end.")
    gather_s: float = Field(30.0, ge=0, le=3600, description="Seconds for which events of one kind are put together.")
    gap_s: float = Field(
        300.0, ge=0, le=86_400, description="Least seconds between two notices of one kind that is not urgent."
    )

    @model_validator(mode="after")
    def _agree(self) -> NoticeDestination:
        begin, end = self.quiet_from, self.quiet_to
        if (begin is None) != (end is None) or (begin is not None and begin == end):
            raise ValueError("give `quiet_from` and `quiet_to`, two different times, or neither")
        if self.roles and "kinds" in self.model_fields_set:
            raise ValueError("give `kinds` or `roles`, not both")
        if self.form == "email":
            return self._with(needs=("to",), never=("url", "token", "key", "ca_file"))
        if self.form == "webhook":
            return self._with(needs=("url", "key"), never=("to", "token"))._address()
        if self.form == "wecom":
            return self._with(needs=("url", "token"), never=("to", "key"))._address()
        return self._with(needs=("url", "token", "key"), never=("to",))._address()

    def _with(self, *, needs: tuple[str, ...], never: tuple[str, ...]) -> NoticeDestination:
        for name in needs:
            if not getattr(self, name):
                raise ValueError(f"`{self.form}` needs `{name}`")
        for name in never:
            if getattr(self, name):
                raise ValueError(f"`{self.form}` has no `{name}`; remove it")
        return self

    def _address(self) -> NoticeDestination:
        try:
            split = urlsplit(self.url or "")
            plain, _port = split.scheme != "https", split.port
        except ValueError:
            raise ValueError("`url` is no address") from None
        if not split.hostname or (plain and not conf.is_loopback(split.hostname)):
            raise ValueError("`url` begins with https://; http:// is for this machine only")
        return self

    def host(self) -> str:
        """The host of its address; "" for e-mail."""
        return urlsplit(self.url or "").hostname or ""

    def tells(self, kind: NoticeKind) -> bool:
        """True if this destination gets notices of this kind."""
        if kind is NoticeKind.SECURITY:
            return True
        if kind is NoticeKind.OVER and self.after_s:
            # otherwise the second person would be notified of the end of an event that somebody else has dealt with
            return False
        if self.roles:
            return kind is NoticeKind.ALIVE or any(kind in KINDS_OF_ROLE[role] for role in self.roles)
        return kind.value in self.kinds

    def concerns(self, event: NoticeEvent) -> bool:
        """True if this destination gets notices of this event: by its kind and its companies."""
        ours = not self.companies or not event.companies or not event.companies.isdisjoint(self.companies)
        return ours and self.tells(event.kind)


class NoticeFile(_NoticeTable):
    """Notices."""

    zone: str = Field("Asia/Shanghai", description="Zone of quiet hours and of times in notices.")
    poll_s: float = Field(5.0, ge=0.05, le=300, description="Seconds between two looks into the journal.")
    expires_within_s: float = Field(
        3600.0,
        ge=60,
        le=86_400,
        description="So long before its end a request for approval is told, or in its last quarter.",
    )
    alive_at: time | None = Field(
        None, description="When each destination is told once a day that notices work, so that silence is noticed."
    )
    lasting_s: float = Field(
        120.0,
        ge=0,
        le=3600,
        description="So long a lane must be down, or another condition last, before it is told; and be gone before it "
        "is over.",
    )
    daemon_silent_s: float = Field(
        60.0, ge=10, le=3600, description="So long a node must write nothing into the journal to count as stopped."
    )
    daemons: tuple[Annotated[str, StringConstraints(pattern=_URL)], ...] = Field(
        (),
        description="Addresses of the pages of the daemons whose troubles are told, such as `http://127.0.0.1:9464`; "
        "default: the daemon of these settings.",
    )
    report_late_s: float = Field(
        3600.0, ge=60, le=86_400, description="So long after its time a scheduled report that is not there has failed."
    )
    statement_late_h: float = Field(
        24.0,
        gt=0,
        le=720,
        description="So many hours after its day is over a statement that is not complete is missing.",
    )
    receipt_late_days: float = Field(
        3.0, gt=0, le=60, description="So many days after it is first asked for a receipt counts as missing."
    )
    channel_broken_s: float = Field(
        900.0,
        ge=60,
        le=86_400,
        description="So long a destination may take no notice before the others are told that it is broken.",
    )
    host: conf.Host = Field("127.0.0.1", description="Address at which metrics are served.")
    port: int = Field(9472, ge=0, le=65535, description="TCP port of the metrics; 0 serves none.")
    smtp: SmtpServer | None = Field(None, description="The mail server.")
    destinations: Mapping[Slug, NoticeDestination] = Field(min_length=1, description="Destinations by name.")

    @model_validator(mode="after")
    def _agree(self) -> NoticeFile:
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"`zone`: there is no zone {self.zone!r}; write one such as Asia/Shanghai") from None
        if self.smtp is None and any(one.form == "email" for one in self.destinations.values()):
            raise ValueError("e-mail needs a table `smtp`")
        return self


class BadNoticeFile(Exception):  # noqa: N818 - says which lines are wrong
    """The file cannot be used; `mistakes` are its lines."""

    def __init__(self, mistakes: tuple[conf.Mistake, ...]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = mistakes


def load_notice_file(path: Path, settings: conf.Settings) -> NoticeFile:
    """Read the file for a gateway of these settings. Raises BadNoticeFile with every mistake."""
    try:
        text = path.read_text("utf-8")
        if text.startswith("\ufeff"):
            raise BadNoticeFile((conf.Mistake(str(path), "line 1", conf.BOM),))
        made = NoticeFile.model_validate(tomllib.loads(text), context={"folder": path.resolve().parent})
    except OSError as error:
        wrong = f"cannot be read ({error.strerror}); create it or name another with --notices"
        raise BadNoticeFile((conf.Mistake(str(path), "-", wrong),)) from None
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise BadNoticeFile(
            tuple(conf.Mistake(str(path), ".".join(map(str, one["loc"])) or "-", _remedy(one)) for one in found)
        ) from None
    except ValueError as error:
        raise BadNoticeFile((conf.Mistake(str(path), "-", f"is not TOML in UTF-8: {error}"),)) from None
    if mistakes := tuple(conf.Mistake(str(path), key, remedy) for key, remedy in _findings(made, settings)):
        raise BadNoticeFile(mistakes)
    return made


def _remedy(one: object) -> str:
    assert isinstance(one, dict)
    pattern = one.get("ctx", {}).get("pattern")
    if pattern == _ADDRESS:
        return "write one address, such as ops@example.com, without a name or brackets"
    if pattern == _URL:
        return "write an address such as https://example.com/hook, without its secret part and without `?`"
    if one["type"].startswith("time"):
        return "write a time, such as 22:00:00"
    return conf.remedy_of(one)


def _findings(made: NoticeFile, settings: conf.Settings) -> Iterator[tuple[str, str]]:
    hosts = [("smtp.host", made.smtp.host)] if made.smtp is not None else []
    hosts += [(f"destinations.{name}.url", one.host()) for name, one in made.destinations.items() if one.url]
    for key, host in hosts:
        if not conf.may_dial(settings, host):
            yield (
                key,
                (
                    f"{settings.mode} may connect to the loopback only; list {host} in environment.may_dial of the "
                    "settings if it may be told about this environment"
                ),
            )
    for n, url in enumerate(made.daemons):
        split = urlsplit(url)
        if not split.hostname or not conf.may_dial(settings, split.hostname):
            yield (
                f"daemons.{n}",
                f"{settings.mode} may not connect to {split.hostname}; list it in environment.may_dial",
            )
    known = {account.company for account in settings.accounts}
    for name, one in made.destinations.items():
        for company in one.companies:
            if company not in known:
                named = ", ".join(sorted(known)) or "none"
                yield f"destinations.{name}.companies", f"no account is of {company}; the companies are: {named}"
    secrets = [("smtp.password", made.smtp.password if made.smtp else None)]
    for name, one in made.destinations.items():
        secrets += [(f"destinations.{name}.token", one.token), (f"destinations.{name}.key", one.key)]
    for key, secret in secrets:
        if secret is None:
            continue
        try:
            said = secret.secret_bytes().decode()
        except (OSError, UnicodeDecodeError):
            yield key, f"{secret.source()} cannot be read as text; check its owner and mode"
            continue
        # It becomes a part of an address, so it may contain nothing that ends that part.
        if not re.fullmatch(r"[\x21-\x7e]{8,512}", said) or (key.endswith(".token") and re.search(r"[/?#&%]", said)):
            yield key, f"{secret.source()} does not hold one secret of 8 to 512 characters without blanks"
