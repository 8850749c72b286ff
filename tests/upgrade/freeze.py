"""`python tests/upgrade/freeze.py REVISION`: keep the services of a released revision for the test of upgrades.

The archive is in the repository because a fresh clone may have no history. It is made anew with each release.
"""

import lzma
import subprocess
import sys
from pathlib import Path

ARCHIVE = Path(__file__).with_name("previous.tar.xz")
PARTS = ("quire", "api", "worker", "scheduler", "migrations", "alembic.ini")


def freeze(revision: str) -> None:
    command = ["git", "archive", "--format=tar", revision, *PARTS]
    ARCHIVE.write_bytes(lzma.compress(subprocess.run(command, check=True, capture_output=True).stdout, preset=9))


if __name__ == "__main__":
    freeze(*sys.argv[1:])
