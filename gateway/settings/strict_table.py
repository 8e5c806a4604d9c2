"""The form that all tables of the settings have: a key that is not known is an error, and nothing changes them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class StrictTable(BaseModel):
    """A table of the settings."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=False)
