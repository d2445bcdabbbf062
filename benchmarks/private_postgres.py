"""A PostgreSQL server of our own: on a socket in a folder, without TCP, gone at the end."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    initdb = str(found[0]) if found else shutil.which("initdb")
    if initdb is None:
        raise RuntimeError("PostgreSQL is not installed: apt-get install postgresql")
    return Path(initdb).parent


@contextmanager
def private_postgres(folder: Path, *, fsync: bool = True) -> Generator[str]:
    """The URL of a fresh server below `folder`, whose path must be short enough for a socket."""
    programs = _programs()
    folder.mkdir(parents=True, exist_ok=True)
    as_server: list[str] = []
    if os.getuid() == 0:
        # The server refuses to run as root.
        account = pwd.getpwnam("postgres")
        os.chown(folder, account.pw_uid, account.pw_gid)
        as_server = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    data = folder / "data"

    def run(*command: str | Path) -> None:
        subprocess.run([*as_server, *map(str, command)], check=True, cwd=folder, capture_output=True)

    run(programs / "initdb", "-D", data, "-A", "trust", "-U", "kantu", "--no-sync")
    options = f"-k {folder} -c listen_addresses= -c fsync={'on' if fsync else 'off'}"
    run(programs / "pg_ctl", "-D", data, "-o", options, "-l", folder / "log", "-w", "start")
    try:
        yield f"postgresql+psycopg://kantu@/postgres?host={folder}"
    finally:
        run(programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
