from pathlib import Path

import pytest
import torch

from worker.engine import memory

CPU = torch.device("cpu")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 8 MiB available, and no container."""
    (tmp_path / "meminfo").write_text("MemTotal: 9999 kB\nMemAvailable:    8192 kB\n")
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    return tmp_path


def limit(folder: Path, maximum: str) -> None:
    (folder / "memory.max").write_text(f"{maximum}\n")
    (folder / "memory.current").write_text("3000\n")
    (folder / "memory.stat").write_text("anon 1000\ninactive_file 500\n")


def test_the_machine_bounds_what_is_available(machine: Path) -> None:
    assert memory.available_bytes(CPU) == 8 * 2**20


def test_a_container_with_less_bounds_it_and_read_files_make_room(machine: Path) -> None:
    limit(machine, "4000")

    assert memory.available_bytes(CPU) == 1_500


def test_a_container_without_a_limit_changes_nothing(machine: Path) -> None:
    limit(machine, "max")

    assert memory.available_bytes(CPU) == 8 * 2**20


def test_where_nothing_is_known_nothing_is_claimed(machine: Path) -> None:
    (machine / "meminfo").unlink()

    assert memory.available_bytes(CPU) is None
