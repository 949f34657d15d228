"""Where the programs are that the tests run against, and what to install when they are not there.

Standard library only: ``python3 -m tests.rig.programs`` names the missing Debian packages, one a line.
"""

from __future__ import annotations

import os
import shutil
from glob import glob
from pathlib import Path


class ProgramMissing(Exception):
    """Something the tests need is not installed; the message says what to install."""


def _postgres_folders() -> list[str]:
    folders = glob("/usr/lib/postgresql/*/bin") + glob("/usr/pgsql-*/bin")
    return sorted(
        folders,
        key=lambda folder: [int(part) for part in folder.replace("-", "/").split("/") if part.isdigit()],
    )


def postgres_program(name: str) -> str | None:
    """``initdb`` or ``postgres``, of the newest version that has both."""
    for folder in reversed(_postgres_folders()):
        if all(os.access(Path(folder, program), os.X_OK) for program in ("initdb", "postgres")):
            return str(Path(folder, name))
    return shutil.which(name)


def redis_program() -> str | None:
    return shutil.which("redis-server") or shutil.which("valkey-server")


def chromium_program() -> str | None:
    """``CHROMIUM`` from the environment, else the system's."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    candidates = [os.environ.get("CHROMIUM", ""), *names]
    return next(filter(None, (shutil.which(name) for name in candidates if name)), None)


def missing_packages() -> list[str]:
    """Debian's names of the packages without which tests cannot run."""
    packages = []
    if not (postgres_program("initdb") and postgres_program("postgres")):
        packages.append("postgresql")
    if not redis_program():
        packages.append("redis-server")
    if not chromium_program():
        packages.append("chromium")
    return packages


def missing_fonts() -> list[str]:
    """Packages of the two font families Chromium falls back on; asked only where Debian keeps them."""
    if not Path("/var/lib/dpkg").is_dir():
        return []
    fonts = {"fonts-liberation": "liberation*", "fonts-dejavu-core": "dejavu*"}
    return [package for package, folder in fonts.items() if not glob(f"/usr/share/fonts/truetype/{folder}")]


def sentence(packages: list[str]) -> str:
    return (
        f"The tests need programs that are not installed: {', '.join(packages)}. "
        f"On Debian or Ubuntu: sudo apt-get install --no-install-recommends {' '.join(packages)}"
    )


def require(program: str | None, package: str) -> str:
    if program is None:
        raise ProgramMissing(sentence([package]))
    return program


if __name__ == "__main__":
    print("\n".join(missing_packages() + missing_fonts()), end="")
