"""On what, with what and when the parts of a benchmark were measured; kept beside its figures."""

import importlib.metadata
import json
import os
import platform
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

# Instructions that decide about the speed of matrix products; named as the kernel names them.
INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8")
GIB = 2**20  # in kiB


@dataclass(frozen=True)
class Provenance:
    date: str
    command: str
    machine: str
    versions: Mapping[str, str]
    notes: Mapping[str, str]


def of_now(
    module: str, arguments: Sequence[str], packages: Sequence[str], notes: Mapping[str, str] | None = None
) -> Provenance:
    """Return where and when this is; `packages` are those whose versions matter."""
    return Provenance(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        command=shlex.join(["python", "-m", module, *arguments]),
        machine=_machine(),
        versions={"Python": platform.python_version(), **{name: _version(name) for name in packages}},
        notes=notes or {},
    )


def keep(benchmark: str, part: str, provenance: Provenance, folder: Path) -> None:
    kept = read(benchmark, folder) | {part: provenance}
    text = json.dumps({name: asdict(one) for name, one in kept.items()}, indent=2, ensure_ascii=False)
    _file(benchmark, folder).write_text(text + "\n", encoding="utf-8")


def read(benchmark: str, folder: Path) -> dict[str, Provenance]:
    """Return the provenance of each part that was measured."""
    source = _file(benchmark, folder)
    if not source.exists():
        return {}
    return {name: Provenance(**one) for name, one in json.loads(source.read_text(encoding="utf-8")).items()}


def places(measured: Mapping[str, Provenance]) -> Iterator[str]:
    """Name each machine and its versions once, with the parts measured there."""
    parts: dict[str, list[str]] = {}
    for name, one in measured.items():
        versions = ", ".join(f"{package} {version}" for package, version in one.versions.items())
        parts.setdefault(f"{one.machine}; {versions}", []).append(name)
    for place, names in parts.items():
        where = f" ({', '.join(names)})" if len(parts) > 1 else ""
        yield f"Measured on {place}{where}."
        yield ""


def how(measured: Provenance) -> Iterator[str]:
    """Say when and by which command."""
    notes = "".join(f" {name}: {note}." for name, note in measured.notes.items())
    yield f"*{measured.date}, `{measured.command}`.{notes}*"
    yield ""


def _file(benchmark: str, folder: Path) -> Path:
    return folder / f"{benchmark}.provenance.json"


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
