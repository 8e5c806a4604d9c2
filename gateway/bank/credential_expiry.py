"""When the passwords and UKeys of logins end, by the settings. No bank sends these dates."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from gateway.settings import Settings

CredentialEnds = Mapping[tuple[str, str], float]
"""The end in seconds since 1970, by lane and credential."""


def credential_ends(settings: Settings) -> CredentialEnds:
    """The end of each last day that `expires` of a lane names, in the zone of the settings."""
    zone = ZoneInfo(settings.zone)
    return {
        (f"{bank_name}.{lane_name}", credential): datetime.combine(last + timedelta(days=1), time(), zone).timestamp()
        for bank_name, bank in settings.banks.items()
        for lane_name, lane in bank.lanes.items()
        for credential, last in lane.expires.items()
    }
