"""Asks the identity provider's token endpoint for the token of a person who signed in there."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

TIMEOUT_S = 10.0
_MOST_BYTES = 65_536


class NoToken(Exception):  # noqa: N818 - an answer, not a fault
    """The provider gave no token. The message contains nothing of the provider's answer."""


def id_token(url: str, form: Mapping[str, str]) -> str:
    """Post `form` and return the `id_token` of the answer. Redirects are not followed. Raises NoToken."""
    split = urlsplit(url)
    host = split.hostname or ""
    if split.scheme == "https":
        line: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, split.port, timeout=TIMEOUT_S, context=ssl.create_default_context()
        )
    else:
        line = http.client.HTTPConnection(host, split.port, timeout=TIMEOUT_S)
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    try:
        line.request("POST", split.path or "/", urlencode(form).encode(), headers)
        answer = line.getresponse()
        status, octets = answer.status, answer.read(_MOST_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise NoToken(f"the token endpoint does not answer: {type(error).__name__}") from None
    finally:
        line.close()
    try:
        said = json.loads(octets)
        token = said["id_token"] if status == 200 else None
    except (ValueError, TypeError, KeyError):
        token = None
    if not isinstance(token, str):
        raise NoToken(f"the token endpoint gave no token (status {status})")
    return token
