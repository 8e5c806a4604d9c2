"""A MariaDB database of this checkout's own: on the system's server, else on a private one."""

from __future__ import annotations

import getpass
import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

from setup import processes
from setup.machine import (
    CHECKOUT,
    LOOPBACK,
    RUN,
    WORKERS_MOST,
    ServiceMissing,
    as_root,
    free_port,
    install,
    listens,
    only_private,
    password,
    run,
    run_folder,
    say,
    wait_until,
    write_private,
)

NAME = f"bankgw_{CHECKOUT}"
SYSTEM_PORT = 3306
SERVER = "private MariaDB"
CLIENT = ("mariadb", "--no-defaults", "--batch")
# A server that resolves names sees a loopback client as `localhost`, another one as the address.
HOSTS = ("localhost", LOOPBACK)


def works(url: str) -> bool:
    """True when the SQLAlchemy URL lets us in."""
    parts = urlsplit(url)
    command = [*CLIENT, "--protocol=tcp", f"--host={parts.hostname}", f"--port={parts.port}"]
    command += [f"--user={parts.username}", parts.path[1:].partition("?")[0]]
    return run(command, stdin="select 1;", timeout_s=10, MYSQL_PWD=parts.password or "")[0]


def find_or_start() -> str:
    """The SQLAlchemy URL of our database; raises `ServiceMissing`."""
    secret = password()
    if not only_private() and _create_on_system(secret):
        return _url(SYSTEM_PORT, secret)
    if _program("mariadbd") is None or _program("mariadb-install-db") is None:
        install("mariadb-server")
    return _url(_start_private(secret), secret)


def forget() -> None:
    """Drop our databases and user from the system's server, if they exist, and remove a private one."""
    processes.stop(SERVER)
    if listens(SYSTEM_PORT):
        users = "".join(f"DROP USER IF EXISTS '{NAME}'@'{host}';\n" for host in HOSTS)
        names = (NAME, *(f"{NAME}_gw{number}" for number in range(WORKERS_MOST)))
        _as_system_admin("".join(f"DROP DATABASE IF EXISTS `{name}`;\n" for name in names) + users)
    shutil.rmtree(RUN / "mariadb", ignore_errors=True)


def _url(port: int, secret: str) -> str:
    return f"mysql+pymysql://{NAME}:{secret}@{LOOPBACK}:{port}/{NAME}?charset=utf8mb4"


def _create_on_system(secret: str) -> bool:
    return _as_system_admin(_creation(secret)) and works(_url(SYSTEM_PORT, secret))


def _as_system_admin(script: str) -> bool:
    over_tcp = [*CLIENT, "--protocol=tcp", f"--host={LOOPBACK}", f"--port={SYSTEM_PORT}", "--user=root"]
    over_socket = as_root([*CLIENT, "--user=root"])
    return any(run(command, stdin=script)[0] for command in (over_tcp, over_socket))


def _creation(secret: str) -> str:
    # The user may do everything in databases whose name begins with ours, so that tests can have one each.
    ours = NAME.replace("_", r"\_") + "%"
    lines = [f"CREATE DATABASE IF NOT EXISTS `{NAME}` CHARACTER SET utf8mb4;"]
    for host in HOSTS:
        lines += [
            f"CREATE USER IF NOT EXISTS '{NAME}'@'{host}';",
            f"ALTER USER '{NAME}'@'{host}' IDENTIFIED BY '{secret}';",
            f"GRANT ALL ON `{ours}`.* TO '{NAME}'@'{host}';",
        ]
    return "\n".join(lines) + "\n"


def _program(name: str) -> str | None:
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def _start_private(secret: str) -> int:
    """Start a server of our own with our database on it, and return its port."""
    processes.stop(SERVER)
    server_program, installer = _program("mariadbd"), _program("mariadb-install-db")
    if server_program is None or installer is None:
        raise ServiceMissing("MariaDB is installed, but its programs were not found")
    folder, port, user = run_folder("mariadb"), free_port(), getpass.getuser()
    data, log, first = folder / "data", folder / "server.log", folder / "first.sql"
    if not (data / "mysql").is_dir():
        command = [installer, "--no-defaults", f"--datadir={data}", f"--user={user}", "--skip-test-db"]
        done, output = run([*command, "--auth-root-authentication-method=normal"])
        if not done:
            raise ServiceMissing(f"mariadb-install-db failed: {output}")
    # Run by the server before it lets anybody in, so root never answers without a password.
    write_private(first, f"ALTER USER root@localhost IDENTIFIED BY '{password()}';\n{_creation(secret)}")
    command = [server_program, "--no-defaults", f"--datadir={data}", f"--user={user}", f"--port={port}"]
    command += [f"--bind-address={LOOPBACK}", f"--socket={_socket(folder)}", f"--init-file={first}"]
    command += ["--innodb-buffer-pool-size=64M", f"--pid-file={folder / 'pid'}"]
    server = processes.start(SERVER, command, os.environ, log)
    url = _url(port, secret)
    wait_until(lambda: works(url) or not processes.alive(server), limit_s=60)
    if not works(url):
        processes.stop(SERVER)
        raise ServiceMissing(f"the private MariaDB did not come up, see {log}")
    say(f"started a private MariaDB on {LOOPBACK}:{port}")
    return port


def _socket(folder: Path) -> Path:
    # The kernel takes at most 107 bytes for the path of a socket.
    inside = folder / "socket"
    return inside if len(str(inside)) < 100 else Path("/tmp") / f"bankgw-{CHECKOUT}-mariadb.socket"
