"""Settings: typed, documented field by field, read from `bankgw.toml` and `conf.d/*.toml`, checked before all else.

Every mistake becomes one line that names file, key and remedy. Precedence, weakest first: built-in default, main
file and the `conf.d` files beside it (which may not contradict each other), environment `BANKGW__TABLE__KEY`.
Relative paths are relative to the main file's folder.
"""

from __future__ import annotations

from gateway.settings.agreement import band_gaps, dialled, host_of, is_loopback, may_dial
from gateway.settings.oidc import OidcSettings
from gateway.settings.reading import (
    BOM,
    ENVIRONMENT_PREFIX,
    BadSettings,
    Loaded,
    Mistake,
    load,
    read,
    remedy_of,
    shard_sockets,
    socket_of,
)
from gateway.settings.shards import SHARD_VARIABLE, lanes_of
from gateway.settings.tables import (
    PERMIT_LOG,
    AccountSettings,
    AttestedCase,
    BandSettings,
    BankSettings,
    Broker,
    ControlSettings,
    EnvironmentSettings,
    Journal,
    LaneSettings,
    LogSettings,
    PushSettings,
    RetentionSettings,
    Secret,
    SenderLimits,
    SenderSettings,
    Settings,
    SigningKey,
    Tls,
    WatchSettings,
    WebSettings,
)
from gateway.settings.values import Host

__all__ = [
    "BOM",
    "ENVIRONMENT_PREFIX",
    "PERMIT_LOG",
    "SHARD_VARIABLE",
    "AccountSettings",
    "AttestedCase",
    "BadSettings",
    "BandSettings",
    "BankSettings",
    "OidcSettings",
    "PushSettings",
    "RetentionSettings",
    "Broker",
    "ControlSettings",
    "EnvironmentSettings",
    "Host",
    "Journal",
    "LaneSettings",
    "Loaded",
    "LogSettings",
    "Mistake",
    "Secret",
    "SenderSettings",
    "SenderLimits",
    "Settings",
    "SigningKey",
    "Tls",
    "WatchSettings",
    "WebSettings",
    "band_gaps",
    "dialled",
    "host_of",
    "is_loopback",
    "lanes_of",
    "load",
    "may_dial",
    "read",
    "remedy_of",
    "shard_sockets",
    "socket_of",
]
