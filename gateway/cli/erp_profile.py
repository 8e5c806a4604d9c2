"""The profile file of `bankgw send`: broker address, login and sender of an ERP.

    host = "127.0.0.1"                # port = 5672, vhost = "bankgw"
    user = "erp-demo"                 # the broker user that speaks for the sender
    password = { file = "erp-demo" }  # or credential = "…"
    sender = "demo"                   # the sender's name in the gateway's settings
    queue = "erp-demo.send"           # how the queue for replies and events begins; must match the sender's reply_to
    hmac_key = { file = "erp-hmac" }  # only if the sender must sign
    [tls]                             # as [broker.tls] of the gateway

Paths are relative to the file.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway import settings as conf
from gateway.cli import output


class ErpProfile(BaseModel):
    """The broker and the login of an ERP. `queue` is the prefix of the queue that the command makes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: conf.Host = "127.0.0.1"
    port: int = Field(5672, ge=1, le=65535)
    vhost: str = "bankgw"
    user: str
    password: conf.Secret
    sender: str | None = None
    queue: str | None = None
    hmac_key: conf.Secret | None = None
    tls: conf.Tls | None = None

    @property
    def queue_prefix(self) -> str:
        """The beginning of the queue's name: as given, else the broker user's name."""
        return self.queue or f"{self.user}.send"


class BadProfile(Exception):  # noqa: N818 - says which lines are wrong
    """The profile cannot be used; `mistakes` are its lines."""

    def __init__(self, mistakes: tuple[conf.Mistake, ...]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = mistakes


def load_profile(path: Path) -> ErpProfile:
    """Read the file. Raises BadProfile with every mistake."""
    try:
        text = path.read_text("utf-8")
        if text.startswith("\ufeff"):
            raise BadProfile((conf.Mistake(str(path), "line 1", conf.BOM),))
        table = tomllib.loads(text)
        profile = ErpProfile.model_validate(table, context={"folder": path.resolve().parent})
    except OSError as error:
        wrong = f"cannot be read ({error.strerror}); create it or name another with --profile"
        raise BadProfile((conf.Mistake(str(path), "-", wrong),)) from None
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        mistakes = [
            conf.Mistake(str(path), ".".join(map(str, one["loc"])), conf.remedy_of(one, manual="bankgw send --help"))
            for one in found
        ]
        raise BadProfile(tuple(mistakes)) from None
    except ValueError as error:
        raise BadProfile((conf.Mistake(str(path), "-", f"is not TOML in UTF-8: {error}"),)) from None
    secrets = {"password": profile.password, "hmac_key": profile.hmac_key}
    if missing := tuple(filter(None, (_unreadable(path, key, one) for key, one in secrets.items() if one is not None))):
        raise BadProfile(missing)
    return profile


def _unreadable(profile: Path, key: str, secret: conf.Secret) -> conf.Mistake | None:
    """The mistake of a secret that cannot be read, or None. A command is not run here, so that it runs only once."""
    if secret.command is not None:
        return None
    try:
        secret.secret_bytes()
    except FileNotFoundError as error:
        if (file := secret.path()) is not None:
            return conf.Mistake(
                str(profile),
                key,
                f"there is no file {file}; create it or mend `{key}`",
                f"{key}：文件 {file} 不存在；请新建，或更正 {key}",
            )
        return _mistake(profile, key, secret, error)
    except OSError as error:
        return _mistake(profile, key, secret, error)
    return None


def _mistake(profile: Path, key: str, secret: conf.Secret, error: OSError) -> conf.Mistake:
    return conf.Mistake(
        str(profile),
        key,
        f"{secret.source()} cannot be read ({error.strerror}); mend `{key}`",
        f"{key}：无法读取（{output.os_reason(error)}）；请更正 {key}",
    )
