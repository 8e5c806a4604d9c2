"""Settings of secrets and keys: where each one is kept. A secret itself is never written in a settings file."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from gateway.settings.secret_command import run_secret_command
from gateway.settings.strict_table import StrictTable as _Table
from gateway.settings.values import Host, SettingsPath

_Word = Annotated[str, StringConstraints(min_length=1, max_length=1_000)]


class KeyPlace(_Table):
    """The place of a key that is read as a file: a file or a credential."""

    file: SettingsPath | None = Field(None, description="File holding the secret, mode 0600 or narrower.")
    credential: str | None = Field(None, description="Name of a systemd credential (`LoadCredential=`).")

    @model_validator(mode="after")
    def _one_place(self) -> KeyPlace:
        if (self.file is None) == (self.credential is None):
            raise ValueError("give exactly one of `file` and `credential`")
        return self

    def path(self) -> Path:
        """The file of the key."""
        if self.file is not None:
            return self.file
        assert self.credential is not None
        return credential_path(self.credential)

    def secret_bytes(self) -> bytes:
        """The key's bytes without a trailing newline. Raises OSError."""
        return self.path().read_bytes().rstrip(b"\r\n")

    def source(self) -> str:
        """The place in words, without the secret."""
        return f"file {self.file}" if self.file is not None else f"systemd credential {self.credential}"


class Secret(_Table):
    """The place of a secret: a file, a credential, a program that prints it, or an environment variable. The secret
    itself is never written in a settings file."""

    file: SettingsPath | None = Field(None, description="File holding the secret, mode 0600 or narrower.")
    credential: str | None = Field(None, description="Name of a systemd credential (`LoadCredential=`).")
    command: tuple[_Word, ...] | None = Field(
        None,
        description="Program, by its whole path, and its words: it prints the secret on its standard output, as "
        "clients of Vault and of a KMS do. It runs without a shell, for 5 seconds at most; its output is never logged.",
    )
    environment: str | None = Field(
        None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="Name of an environment variable. Whoever may see the process's environment sees the secret.",
    )

    @model_validator(mode="after")
    def _one_place(self) -> Secret:
        given = [one for one in (self.file, self.credential, self.command, self.environment) if one is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of `file`, `credential`, `command` and `environment`")
        if self.command is not None and not (self.command and self.command[0].startswith("/")):
            raise ValueError("`command` begins with the whole path of a program")
        return self

    def path(self) -> Path | None:
        """The file of the secret; None if it is in none."""
        if self.file is not None:
            return self.file
        return None if self.credential is None else credential_path(self.credential)

    def secret_bytes(self) -> bytes:
        """The secret's bytes without a trailing newline. Raises OSError, whose text never has the secret."""
        if self.command is not None:
            return run_secret_command(self.command).rstrip(b"\r\n")
        if self.environment is not None:
            value = os.environb.get(self.environment.encode("ascii"))
            if value is None:
                raise OSError(errno.ENOENT, f"environment variable {self.environment} is not set")
            return value
        path = self.path()
        assert path is not None
        return path.read_bytes().rstrip(b"\r\n")

    def source(self) -> str:
        """The place in words, without the secret."""
        if self.file is not None:
            return f"file {self.file}"
        if self.credential is not None:
            return f"systemd credential {self.credential}"
        return f"command {self.command[0]}" if self.command else f"environment variable {self.environment}"


def credential_path(name: str) -> Path:
    """The file in which systemd keeps a credential of this service."""
    return Path(os.environ.get("CREDENTIALS_DIRECTORY", "/run/credentials/bankgw.service")) / name


class Tls(_Table):
    """Mutual TLS towards one peer. Trust comes from `ca_file` alone, never from the system store."""

    ca_file: SettingsPath = Field(description="PEM file of the only certificate authorities trusted for this peer.")
    certificate: SettingsPath = Field(description="PEM file of our client certificate and its chain.")
    key: KeyPlace = Field(description="Our client certificate's private key, PEM.")
    server_name: str | None = Field(
        None, description="DNS name or IP address the peer's SAN must carry; default: the host."
    )
    name_check: Literal["san", "pin-only"] = Field(
        "san", description="`pin-only` skips the name check and needs `pins`."
    )
    pins: tuple[str, ...] = Field(
        (), description="Base64 SHA-256 of the peer's public key (SPKI): the current one and the next."
    )
    min_version: Literal["1.2", "1.3"] = Field("1.2", description="Lowest TLS version spoken.")
    max_version: Literal["1.2", "1.3"] | None = Field(
        None, description="Highest TLS version; `1.2` suits short connections."
    )
    crl_file: SettingsPath | None = Field(
        None, description="PEM file of the CA's revocation list; a stale list refuses the peer."
    )

    @model_validator(mode="after")
    def _pins(self) -> Tls:
        if self.name_check == "pin-only" and not self.pins:
            raise ValueError('name_check = "pin-only" needs at least one pin')
        return self


class TokenKeySettings(_Table):
    """A private key in a PKCS#11 token: a smart card, a USB key, an HSM. It never leaves the token."""

    module: SettingsPath = Field(description="The vendor's PKCS#11 library.")
    token: str = Field(min_length=1, max_length=32, description="Label of the token.")
    label: str = Field("", max_length=255, description="Label of the private key; `label`, `id` or both find it.")
    id: str = Field("", pattern=r"^([0-9a-f]{2})*$", description="Id of the private key, in lower-case hexadecimal.")
    pin: Secret = Field(description="The user's PIN. A wrong one is tried once, not again until a reload.")
    timeout_s: float = Field(5.0, gt=0, le=60, description="Seconds a signature may take.")

    @model_validator(mode="after")
    def _named(self) -> TokenKeySettings:
        if not self.label and not self.id:
            raise ValueError("give `label` or `id` of the private key")
        return self


class RemoteKeySettings(_Table):
    """A private key behind a signing service: HTTPS with mutual TLS, in the form of docs/do/keys.md."""

    host: Host = Field(description="The service's host.")
    port: int = Field(443, ge=1, le=65535, description="Its TCP port.")
    path: str = Field("/v1/sign", pattern=r"^/[A-Za-z0-9._~/-]*$", description="Path of the request.")
    name: str = Field(min_length=1, max_length=200, description="The service's own name of the key.")
    tls: Tls = Field(description="Mutual TLS to the service.")
    timeout_s: float = Field(5.0, gt=0, le=60, description="Seconds a signature may take.")


class SignerKeySettings(_Table):
    """A private key that the signer process alone holds: `bankgw signer`, a process of its own on this machine."""

    socket: SettingsPath = Field(description="The signer's UNIX socket.")
    name: str = Field(
        min_length=1, max_length=200, description="Name of the key in the signer's own settings, `signer.toml`."
    )
    timeout_s: float = Field(5.0, gt=0, le=60, description="Seconds a signature may take.")


class SigningKey(_Table):
    """A private key that signs messages to the bank: in a file, in a token, behind a service, or with the signer."""

    key: KeyPlace | None = Field(None, description="Private key, PEM.")
    pkcs11: TokenKeySettings | None = Field(None, description="The key is in a PKCS#11 token.")
    remote: RemoteKeySettings | None = Field(None, description="The key is behind a signing service.")
    signer: SignerKeySettings | None = Field(None, description="The signer process has the key, and judges messages.")
    certificate: SettingsPath = Field(description="Certificate of that key as registered with the bank, PEM.")
    digest: Literal["sha1", "sha256", "sha384", "sha512"] = Field(
        "sha256", description="Digest signed; `sha1` only where a bank takes nothing better."
    )

    @model_validator(mode="after")
    def _one_source(self) -> SigningKey:
        if sum(one is not None for one in (self.key, self.pkcs11, self.remote, self.signer)) != 1:
            raise ValueError("give exactly one of `key`, `pkcs11`, `remote` and `signer`")
        return self

    def source(self) -> str:
        """The place of the key in words."""
        if self.pkcs11 is not None:
            return f"PKCS#11 token {self.pkcs11.token}, key {self.pkcs11.label or self.pkcs11.id}"
        if self.remote is not None:
            return f"signing service {self.remote.host}:{self.remote.port}, key {self.remote.name}"
        if self.signer is not None:
            return f"signer process {self.signer.socket}, key {self.signer.name}"
        assert self.key is not None
        return self.key.source()
