"""Download the pinned packages through their own clients; keep what is there already."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from rich.progress import track

from training import config

CLIENTS = {
    "pip": [
        sys.executable,
        "-m",
        "pip",
        "--quiet",
        "download",
        "--no-deps",
        "--only-binary",
        ":all:",
        "--dest",
        ".",
    ],
    "npm": ["npm", "pack", "--silent"],
    "apt": ["apt-get", "--quiet", "download"],
}
JOINED = {"pip": "==", "npm": "@", "apt": "="}


class WrongContentError(Exception):
    """The downloaded file is not the one that was pinned."""


class NoClientError(Exception):
    """A package's client is not on this machine."""


def checked(path: Path, sha256: str) -> Path:
    """Return `path` if its content has the pinned SHA-256, else raise `WrongContentError`."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise WrongContentError(f"{path.name}: expected sha256 {sha256}, found {found}")
    return path


def download(package: config.Package, folder: Path) -> Path:
    """Have the package's client fetch its file without installing it; `NoClientError` names a missing one."""
    target = folder / package.file
    if not target.exists():
        command = CLIENTS[package.client]
        if not shutil.which(command[0]):
            raise NoClientError(f"{package.name} is fetched by {command[0]}, which is not on this machine")
        wanted = f"{package.name}{JOINED[package.client]}{package.version}"
        subprocess.run([*command, wanted], check=True, cwd=folder, stdout=subprocess.DEVNULL)  # noqa: S603 - from the config
    return checked(target, package.sha256)


def run(settings: config.Config) -> None:
    """Put the file of every package of the checkpoint into `build/downloads/`."""
    config.DOWNLOADS.mkdir(parents=True, exist_ok=True)
    for package in track(list(settings.packages.values()), "fetch"):
        path = download(package, config.DOWNLOADS)
        print(f"fetch: {package.name} {package.version}, {path.stat().st_size / 1e6:.1f} MB", flush=True)
