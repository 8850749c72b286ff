"""On what, with what and when a part was measured."""

import importlib.metadata
import json
import os
import platform
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

PACKAGES = ("torch", "transformers", "ctranslate2", "celery", "psycopg")
# Instructions that decide about the speed of matrix products; named as the kernel names them.
INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8")
FILE = "engine.provenance.json"
GIB = 2**20  # in kiB


@dataclass(frozen=True)
class Provenance:
    date: str
    command: str
    machine: str
    versions: Mapping[str, str]
    notes: Mapping[str, str]


def of_now(arguments: Sequence[str], notes: Mapping[str, str]) -> Provenance:
    return Provenance(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        command=shlex.join(["python", "-m", "bench.engine", *arguments]),
        machine=_machine(),
        versions={"Python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        notes=notes,
    )


def keep(folder: Path, part: str, provenance: Provenance) -> None:
    kept = read(folder) | {part: provenance}
    text = json.dumps({name: asdict(one) for name, one in kept.items()}, indent=2, ensure_ascii=False)
    (folder / FILE).write_text(text + "\n", encoding="utf-8")


def read(folder: Path) -> dict[str, Provenance]:
    """Return the provenance of each part that was measured."""
    source = folder / FILE
    if not source.exists():
        return {}
    return {name: Provenance(**one) for name, one in json.loads(source.read_text(encoding="utf-8")).items()}


def _machine() -> str:
    facts = _facts(Path("/proc/cpuinfo"))
    instructions = [name for name in INSTRUCTIONS if name in facts.get("flags", "").split()]
    memory = int(_facts(Path("/proc/meminfo")).get("MemTotal", "0 kB").split()[0]) / GIB
    processor = facts.get("model name", platform.machine())
    return f"{os.cpu_count()} cores of {processor} ({', '.join(instructions)}), {memory:.0f} GiB"


def _facts(source: Path) -> dict[str, str]:
    """Return the first value of each key in a file of `key : value` lines; none where there is no such file."""
    facts: dict[str, str] = {}
    for line in source.read_text().splitlines() if source.exists() else ():
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    return facts


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
