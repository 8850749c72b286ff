"""How the kernels are compiled, which of them are taken, and what happens without."""

import logging
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.unit.engine.drawing import random_logits, row
from tests.unit.engine.levels import LEVEL, RUNNABLE, backend
from worker.engine.backends.plain import PlainBackend
from worker.engine.loading import load_model
from worker.engine.native import build, library
from worker.engine.native.library import LEVELS, Level

COMPILER = pytest.mark.skipif(shutil.which("cc") is None, reason="no compiler")
REORDERING = {"-Ofast", "-ffast-math", "-funsafe-math-optimizations", "-fassociative-math", "-freciprocal-math"}


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder in place of the one with the compiled kernels."""
    for module in (build, library):
        monkeypatch.setattr(module, "BUILT", tmp_path / "built")
    library.kernels.cache_clear()
    yield tmp_path / "built"
    library.kernels.cache_clear()


@pytest.fixture
def nothing_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "false")


@pytest.mark.parametrize("compiler", ["false", "no-such-compiler --at-all"])
def test_a_compiler_that_fails_is_named_and_makes_the_build_fail(
    built: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], compiler: str
) -> None:
    monkeypatch.setenv("CC", compiler)

    status = build.main()

    said = capsys.readouterr().err
    assert status == 1
    assert f"not compiled for {library.compilable()[0].name}" in said
    assert compiler.split(maxsplit=1)[0] in said
    assert list(built.iterdir()) == []


@pytest.mark.usefixtures("built", "nothing_compiles")
def test_without_kernels_the_engine_runs_on_torch_and_says_so(
    checkpoint: Path, caplog: pytest.LogCaptureFixture
) -> None:
    build.main()
    threads = torch.get_num_threads()

    with caplog.at_level(logging.WARNING):
        loaded = load_model(str(checkpoint), kv_blocks=4, device="cpu", threads=1)
    torch.set_num_threads(threads)

    assert isinstance(loaded.model.backend, PlainBackend)
    assert [record.message for record in caplog.records if "kernels_missing" in record.message]


@COMPILER
def test_what_one_level_cannot_compile_the_others_do(
    built: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unknown = Level("unknown", ("-march=no-such-processor",), frozenset())
    monkeypatch.setattr(build, "compilable", lambda: (unknown, LEVELS[-1]))

    status = build.main()

    assert status == 0
    assert "not compiled for unknown" in capsys.readouterr().err
    assert [path.name for path in built.iterdir()] == [library.path_of(LEVELS[-1]).name]


@COMPILER
@pytest.mark.parametrize("level", library.compilable(), ids=lambda level: level.name)
def test_the_sources_compile_without_a_warning(level: Level, tmp_path: Path) -> None:
    options = [*build.OPTIONS, *level.options, "-O1", "-Werror", "-o", str(tmp_path / "kernels.so")]
    command = ["cc", *options, *map(str, library.sources()), "-lm"]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_a_library_made_from_other_sources_is_not_taken(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    built.mkdir()
    for level in RUNNABLE:
        shutil.copy(library.FOLDER / "built" / library.path_of(level).name, built)
    changed = Path(shutil.copytree(library.FOLDER, tmp_path / "changed"))
    (changed / "vectors.h").write_text((changed / "vectors.h").read_text() + "\n/* another */\n")
    own = library.kernels()
    library.kernels.cache_clear()

    monkeypatch.setattr(library, "FOLDER", changed)

    assert (own is None) == (not RUNNABLE)
    assert library.kernels() is None
    assert "kernels_missing" in caplog.text


def test_an_older_build_is_removed_by_the_next(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built.mkdir()
    (built / "kernels-plain-0123456789ab.so").write_bytes(b"")
    monkeypatch.setattr(build, "compile_level", lambda level, target: target.write_bytes(b"new"))

    assert build.main() == 0

    assert {path.read_bytes() for path in built.iterdir()} == {b"new"}


@pytest.mark.parametrize(
    ("absent", "expected"),
    [
        ("amx_int8", ["avx512vnni", "avx2", "plain"]),
        ("avx512_vnni", ["amx", "avx2", "plain"]),
        ("avx512f", ["avx2", "plain"]),
        ("fma", ["amx", "avx512vnni", "plain"]),
    ],
)
def test_a_processor_runs_only_what_it_has_all_the_features_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, absent: str, expected: list[str]
) -> None:
    features = set().union(*(level.features for level in LEVELS)) - {absent}
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nflags\t\t: {' '.join(features)}\nbugs\t\t: none\n")
    monkeypatch.setattr(library, "_CPUINFO", cpuinfo)
    monkeypatch.setattr(library, "compilable", lambda: LEVELS)

    assert [level.name for level in library.usable()] == expected


@pytest.mark.skipif(not RUNNABLE, reason="no kernels")
def test_kernels_that_the_system_refuses_to_run_are_passed_over(
    built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused, taken = Level("refused", (), frozenset()), RUNNABLE[-1]
    monkeypatch.setattr(library, "compilable", lambda: (refused, taken))
    built.mkdir()
    for level in (refused, taken):
        shutil.copy(library.FOLDER / "built" / library.path_of(taken).name, library.path_of(level))
    load = library._load
    monkeypatch.setattr(library, "_load", lambda path: None if "refused" in path.name else load(path))

    found = library.kernels()

    assert found is not None
    assert Path(found._name) == library.path_of(taken)


def test_where_the_processor_is_not_known_anything_can_run_the_plain_kernels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "_CPUINFO", tmp_path / "none")

    assert library.usable() == LEVELS[-1:]


def test_no_option_lets_the_compiler_reorder_sums() -> None:
    options = {*build.OPTIONS, *(option for level in LEVELS for option in level.options)}

    assert "-ffp-contract=fast" in options
    assert not options & REORDERING


@LEVEL
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 0.0),
        ("top_k", 1),
        ("top_p", 1e-9),
        ("min_p", 1.0),
        ("repetition_penalty", 3.0),
        ("presence_penalty", 50.0),
        ("frequency_penalty", 50.0),
        ("logit_bias", {77: 100.0}),
    ],
)
def test_every_parameter_arrives_where_the_kernel_reads_it(level: Level, name: str, value: object) -> None:
    """A field too much or too little in the row's struct would shift all that follow it."""
    logits = random_logits(400)
    best = int(logits.argmax())
    rows = [row([3, best], prompt=1, seed=seed, **{"temperature": 0.3, name: value}) for seed in range(40)]

    drawn = {one.token for one in backend(level).draw(logits.expand(40, -1), rows, frozenset())()}

    if name == "logit_bias":
        assert drawn == {77}
    elif "penalty" in name:
        assert best not in drawn
    else:
        assert drawn == {best}


@COMPILER
def test_the_row_of_a_draw_has_the_layout_that_the_compiler_gives_it(tmp_path: Path) -> None:
    names = library.DRAW.names
    prints = "".join(f'printf("%zu ", offsetof(struct Draw, {name}));' for name in names)
    (tmp_path / "layout.c").write_text(
        f'#include <stddef.h>\n#include <stdio.h>\n#include "{library.FOLDER / "draw.c"}"\n'
        f'int main(void) {{ {prints} printf("%zu", sizeof(struct Draw)); return 0; }}\n'
        "void run(Work w, const void *j, int c, int t) { (void)w; (void)j; (void)c; (void)t; }\n"
        "void enter(void) {}\nvoid leave(void) {}\n"
    )
    program = tmp_path / "layout"
    subprocess.run(["cc", "-o", str(program), str(tmp_path / "layout.c"), "-lm"], check=True)

    printed = subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout

    expected = [library.DRAW.fields[name][1] for name in names] + [library.DRAW.itemsize]
    assert [int(number) for number in printed.split()] == expected
