"""Serving a site with uvicorn: loopback or TLS, no access log, bounded connections, no core dump."""

from __future__ import annotations

import resource
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from gateway.kernel import log
from gateway.web.shared.site import WebSite

_log = log.get("web")


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """The address at which a site listens. Without a certificate it serves only this machine, or a proxy on it."""

    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None


def serve(site: WebSite, door: ListenAddress, name: str) -> None:
    """Serve the site until SIGTERM or SIGINT."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    log.start("info")
    _log.info("web.started", site=name, port=door.port)
    uvicorn.run(
        site.application,
        host=door.host,
        port=door.port,
        log_config=None,
        access_log=False,
        server_header=False,
        ssl_certfile=door.certificate,
        ssl_keyfile=door.key,
        limit_concurrency=200,
        backlog=200,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=5,
        lifespan="off",
        ws="none",
        http="h11",
        loop="asyncio",
    )
