"""The settings for signing in to the console through a company's own identity provider (OpenID Connect)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from gateway.settings.values import SettingsPath

_URL = r"^(https://[0-9A-Za-z.-]+|http://(127\.0\.0\.1|([a-z0-9-]+\.)?localhost))(:[0-9]{1,5})?(/[0-9A-Za-z._~/-]*)?$"
ProviderAddress = Annotated[str, StringConstraints(pattern=_URL)]
EnrolledName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9._-]{0,30}$")]
ProviderSubject = Annotated[str, StringConstraints(min_length=1, max_length=255)]


class OidcSettings(BaseModel):
    """Signing in to the console through an identity provider. It opens a session to look; it signs nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: ProviderAddress = Field(description="The provider's issuer, letter by letter as its tokens say.")
    client_id: str = Field(min_length=1, max_length=255, description="The console's client: public, with PKCE (S256).")
    authorize_url: ProviderAddress = Field(description="Its authorization endpoint, to which browsers are sent.")
    token_url: ProviderAddress = Field(description="Its token endpoint, which the console asks.")
    keys_file: SettingsPath = Field(
        description="File with its public keys (JWKS), read at each sign-in. The console cannot put others in place."
    )
    algorithms: tuple[Literal["RS256", "PS256", "ES256", "EdDSA"], ...] = Field(
        ("RS256",), min_length=1, description="Algorithms that its tokens may be signed with."
    )
    acr: str | None = Field(None, description="Value that the claim `acr` must have, such as the one for two factors.")
    leeway_s: float = Field(60.0, ge=0, le=300, description="Seconds by which its clock may differ.")
    persons: Mapping[EnrolledName, ProviderSubject] = Field(
        min_length=1, description="Enrolled persons, each with the claim `sub` of the provider's tokens about them."
    )

    @model_validator(mode="after")
    def _apart(self) -> OidcSettings:
        if len(set(self.persons.values())) < len(self.persons):
            raise ValueError("two `persons` have one subject; each person needs another subject")
        return self
