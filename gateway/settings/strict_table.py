"""The base of all settings tables: an unknown key is an error, and a table cannot be changed."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class StrictTable(BaseModel):
    """A table of the settings."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=False)
