"""The forms of values in the settings files: patterns, hosts, names, paths beside the settings."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, StringConstraints, ValidationInfo

SLUG = r"^[a-z][a-z0-9_]{0,30}$"
SIGNED_AMOUNT = r"^-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,4})?$"
RATE = r"^(0|[1-9][0-9]{0,8})(\.[0-9]{1,8})?$"
AMOUNT = r"^(0|[1-9][0-9]{0,14})(\.[0-9]{1,4})?$"
ACCOUNT = r"^[0-9A-Za-z]{4,34}$"
CNAPS = r"^[0-9]{12}$"
CURRENCY = r"^[A-Z]{3}$"
CLOCK = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
ORIGIN = r"^(https://[a-z0-9.-]+|http://([a-z0-9-]+\.)?localhost)(:[0-9]{1,5})?$"
"""An origin as a browser writes it. Without TLS it may only be on this machine."""
_HOST = r"[0-9A-Za-z_]([0-9A-Za-z_-]*[0-9A-Za-z_])?(\.[0-9A-Za-z_]([0-9A-Za-z_-]*[0-9A-Za-z_])?)*\.?"


def _beside_the_settings(path: Path, info: ValidationInfo) -> Path:
    return info.context["folder"] / path if info.context else path


def _a_host(host: str) -> str:
    try:
        ip_address(host)
    except ValueError:
        if not re.fullmatch(_HOST, host):
            raise ValueError("write a host name or an IP address, without scheme or port") from None
    return host


Host = Annotated[str, AfterValidator(_a_host)]
Slug = Annotated[str, StringConstraints(pattern=SLUG)]
SettingsPath = Annotated[Path, AfterValidator(_beside_the_settings)]
