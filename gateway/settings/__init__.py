"""Settings: typed, documented field by field, read from `bankgw.toml` and `conf.d/*.toml`, checked before all else.

Every mistake becomes one line that names file, key and remedy. Precedence, weakest first: built-in default, main
file and the `conf.d` files beside it (which may not contradict each other), environment `BANKGW__TABLE__KEY`.
Relative paths are relative to the main file's folder.
"""

from __future__ import annotations

from gateway.settings.agreement import band_gaps, dialled, host_of, is_loopback, may_dial
from gateway.settings.key_tables import (
    KeyPlace,
    RemoteKeySettings,
    Secret,
    SignerKeySettings,
    SigningKey,
    Tls,
    TokenKeySettings,
)
from gateway.settings.oidc import OidcSettings
from gateway.settings.reading import LoadedSettings, load, read_settings, remedy_of
from gateway.settings.shards import lanes_of
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
    SenderLimits,
    SenderSettings,
    Settings,
    WatchSettings,
    WebSettings,
)
from gateway.settings.values import Host
from gateway.settings_files import (
    BOM,
    ENVIRONMENT_PREFIX,
    SHARD_VARIABLE,
    BadSettings,
    Mistake,
    shard_sockets,
    socket_of,
)

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
    "KeyPlace",
    "LaneSettings",
    "LoadedSettings",
    "LogSettings",
    "Mistake",
    "RemoteKeySettings",
    "Secret",
    "SenderSettings",
    "SenderLimits",
    "Settings",
    "SignerKeySettings",
    "SigningKey",
    "Tls",
    "TokenKeySettings",
    "WatchSettings",
    "WebSettings",
    "band_gaps",
    "dialled",
    "host_of",
    "is_loopback",
    "lanes_of",
    "load",
    "may_dial",
    "read_settings",
    "remedy_of",
    "shard_sockets",
    "socket_of",
]
