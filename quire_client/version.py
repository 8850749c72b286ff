"""The version of the client."""

from importlib import metadata


def _installed() -> str:
    try:
        return metadata.version("quire")
    except metadata.PackageNotFoundError:
        return "0+checkout"  # run from a source tree that is not installed


__version__ = _installed()
