"""A PostgreSQL database of this checkout's own: on the system's server, else on a private one."""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path
from urllib.parse import urlsplit

from setup import processes
from setup.machine import (
    CHECKOUT,
    LOOPBACK,
    RUN,
    ServiceMissing,
    as_user,
    free_port,
    install,
    listens,
    only_private,
    password,
    read_json,
    run,
    run_folder,
    say,
    wait_until,
    write_json,
    write_private,
)

NAME = f"bankgw_{CHECKOUT}"
SYSTEM_PORT = 5432
SERVER = "private PostgreSQL"
SECRET = RUN / "postgresql.json"
PSQL = ("psql", "--no-psqlrc", "--quiet", "--no-password", "--tuples-only", "--set=ON_ERROR_STOP=1")


def works(url: str) -> bool:
    """True when the SQLAlchemy URL lets us in."""
    parts = urlsplit(url)
    command = [*PSQL, "-h", str(parts.hostname), "-p", str(parts.port), "-U", str(parts.username)]
    return run([*command, "-c", "select 1", parts.path[1:]], timeout_s=10, PGPASSWORD=parts.password or "")[0]


def find_or_start() -> str:
    """The SQLAlchemy URL of our database; raises `ServiceMissing`."""
    secret = password()
    if not only_private() and _create_on_system(secret):
        return _url(SYSTEM_PORT, secret)
    if program("initdb") is None:
        install("postgresql")
    return _url(_start_private(secret), secret)


def forget() -> None:
    """Drop our databases and our role from the system's server, if they exist, and remove a private one.

    Databases that interrupted test runs left are dropped too.
    """
    processes.stop(SERVER)
    if listens(SYSTEM_PORT):
        dropping = f"SELECT format('DROP DATABASE %I WITH (FORCE)', datname) FROM pg_database WHERE datname ~ '^{NAME}'"
        _as_system_admin(f'{dropping} \\gexec\nDROP ROLE IF EXISTS "{NAME}";\n')
    shutil.rmtree(_folder(), ignore_errors=True)
    SECRET.unlink(missing_ok=True)


def _url(port: int, secret: str) -> str:
    return f"postgresql+psycopg://{NAME}:{secret}@{LOOPBACK}:{port}/{NAME}"


def _create_on_system(secret: str) -> bool:
    return _as_system_admin(_creation(secret)) and works(_url(SYSTEM_PORT, secret))


def _as_system_admin(script: str) -> bool:
    # First as a server that trusts the loopback, then as the server's own user over its socket.
    over_tcp = [*PSQL, "-h", LOOPBACK, "-p", str(SYSTEM_PORT), "-U", "postgres", "postgres"]
    over_socket = as_user("postgres", [*PSQL, "-p", str(SYSTEM_PORT), "postgres"])
    return any(run(command, stdin=script)[0] for command in (over_tcp, over_socket))


def _creation(secret: str) -> str:
    # The role may create databases, so that tests can have one each. The password goes through a pipe,
    # because everybody can read a command line.
    create = f"CREATE DATABASE \"{NAME}\" OWNER \"{NAME}\" ENCODING ''UTF8'' TEMPLATE template0"
    return (
        f"SELECT 'CREATE ROLE \"{NAME}\" LOGIN CREATEDB' WHERE NOT EXISTS"
        f" (SELECT FROM pg_roles WHERE rolname = '{NAME}') \\gexec\n"
        f"ALTER ROLE \"{NAME}\" LOGIN CREATEDB PASSWORD '{secret}';\n"
        f"SELECT '{create}' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{NAME}') \\gexec\n"
    )


def program(name: str) -> str | None:
    """A server program of the newest version here; Debian keeps them off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    return str(found[-1]) if found else shutil.which(name)


def _folder() -> Path:
    # The server refuses to run as root; its user cannot see into a checkout below somebody's home.
    if os.geteuid() == 0:
        return Path("/var/tmp") / f"bankgw-{CHECKOUT}-postgresql"
    return RUN / "postgresql"


def _start_private(secret: str) -> int:
    """Start a server of our own with our database on it, and return its port."""
    processes.stop(SERVER)
    folder, port = _folder(), free_port()
    admin_secret = str(read_json(SECRET).get("admin_password") or password())
    if not (folder / "PG_VERSION").exists():
        initialise(folder, admin_secret)
        write_json(SECRET, {"admin_password": admin_secret})
    command = [program("postgres") or "postgres", "-D", str(folder)]
    for setting in (f"listen_addresses={LOOPBACK}", f"port={port}", "unix_socket_directories="):
        command += ["-c", setting]
    log = run_folder() / "postgresql.log"
    # SIGINT is its "fast shutdown": it hangs up on clients instead of waiting for them.
    server = processes.start(SERVER, _as_server_user(command), os.environ, log, stop_with="SIGINT")
    admin = [*PSQL, "-h", LOOPBACK, "-p", str(port), "-U", "postgres", "postgres"]
    answers = [*admin, "-c", "select 1"]
    wait_until(lambda: run(answers, PGPASSWORD=admin_secret)[0] or not processes.alive(server), limit_s=60)
    created, output = run(admin, stdin=_creation(secret), PGPASSWORD=admin_secret)
    if not created:
        processes.stop(SERVER)
        raise ServiceMissing(f"the private PostgreSQL did not come up, see {log}: {output}")
    say(f"started a private PostgreSQL on {LOOPBACK}:{port}")
    return port


def initialise(folder: Path, admin_secret: str) -> None:
    initdb = program("initdb")
    if initdb is None:
        raise ServiceMissing("PostgreSQL is installed, but its program initdb was not found")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    secret_file = folder.with_name(folder.name + ".secret")
    write_private(secret_file, admin_secret)
    if os.geteuid() == 0:
        owner = pwd.getpwnam("postgres")
        for path in (folder, secret_file):
            os.chown(path, owner.pw_uid, owner.pw_gid)
    command = [initdb, "-D", str(folder), "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
    command += ["--username=postgres", "--auth=scram-sha-256", f"--pwfile={secret_file}"]
    done, output = run(_as_server_user(command))
    secret_file.unlink()
    if not done:
        raise ServiceMissing(f"initdb failed: {output}")


def _as_server_user(command: list[str]) -> list[str]:
    return as_user("postgres", command) if os.geteuid() == 0 else command
