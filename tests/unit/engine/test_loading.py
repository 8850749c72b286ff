"""Which backend runs a model, what it takes, and what is refused before anything is loaded."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.unit.engine.levels import NATIVE
from worker.engine import Engine, ModelRefused, loading, weights
from worker.engine.backends.native import NativeBackend
from worker.engine.backends.plain import PlainBackend
from worker.engine.blocks import BLOCK_TOKENS
from worker.engine.loading import build, kv_bytes, load_model, weight_bytes
from worker.engine.native.library import kernels
from worker.engine.numerics import numerics_of
from worker.engine.weights import load_checkpoint, read_shape

MakeCheckpoint = Callable[..., Path]
load = partial(load_model, kv_blocks=4, device="cpu", threads=1)


@pytest.fixture(autouse=True)
def _torch_threads() -> Iterator[None]:
    """Loading a model sets how many threads torch has."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def never_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(source: str) -> None:
        pytest.fail("the weights were read")

    monkeypatch.setattr(loading, "load_checkpoint", read)


def tensors_of(made: Any) -> Iterator[Tensor]:
    """All tensors that a part of a model holds."""
    if isinstance(made, Tensor):
        yield made
    elif isinstance(made, partial):
        yield from tensors_of((made.args, made.keywords))
    elif isinstance(made, dict):
        yield from tensors_of(tuple(made.values()))
    elif isinstance(made, (list, tuple)):
        for part in made:
            yield from tensors_of(part)
    elif is_dataclass(made):
        yield from tensors_of([getattr(made, field.name) for field in fields(made)])
    elif type(made).__module__.startswith("worker.engine.backends"):
        yield from tensors_of(vars(made))


def held_bytes(*made: Any) -> int:
    """How much memory the tensors take, each piece counted once."""
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors_of(made)}
    return sum(storages.values())


@NATIVE
@pytest.mark.parametrize("precision", ["auto", "fp32", "int8"])
def test_a_model_that_fits_the_kernels_runs_on_them(checkpoint: Path, precision: str) -> None:
    loaded = load(str(checkpoint), precision=precision)

    assert isinstance(loaded.model.backend, NativeBackend)
    assert loaded.model.backend.name == f"native-{'int8' if precision == 'int8' else 'fp32'}"
    assert loaded.numerics is not None


@pytest.mark.parametrize(
    ("shape", "precision"),
    [
        ({"n_embd": 72, "n_head": 3}, "fp32"),
        ({"n_embd": 192, "n_head": 8}, "fp32"),  # heads of 24
        ({"n_embd": 192, "n_head": 8}, "int8"),
        ({"n_inner": 100}, "fp32"),
        ({"n_embd": 64, "n_head": 64}, "fp32"),  # heads of 1
    ],
)
def test_a_model_of_another_shape_runs_on_torch(
    make_checkpoint: MakeCheckpoint, shape: dict[str, int], precision: str
) -> None:
    loaded = load(str(make_checkpoint(**shape)), precision=precision)

    assert isinstance(loaded.model.backend, PlainBackend)
    assert loaded.model.backend.name == f"plain-{precision}"


@pytest.mark.usefixtures("never_read")
@pytest.mark.parametrize("shape", [{"n_embd": 96, "n_head": 2}, {"n_inner": 100}])
def test_8_bits_need_widths_that_the_groups_divide(make_checkpoint: MakeCheckpoint, shape: dict[str, int]) -> None:
    folder = make_checkpoint(**shape)

    with pytest.raises(ModelRefused, match=r"^int8 needs widths that are multiples of 64, not \d+ and \d+$"):
        load(str(folder), precision="int8")


@pytest.mark.usefixtures("never_read")
@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"precision": "fp16"}, "the precision fp16 is not known, only auto, fp32, int8, bf16"),
        ({"precision": "bf16"}, "the precision bf16 is for GPUs; a CPU runs fp32 or int8"),
        ({"device": "meta"}, "the device meta is not supported, only cpu and cuda"),
        ({"device": "graphics"}, "the device graphics is not one, as cpu, cuda or cuda:1 are"),
        ({"device": "cuda:99"}, r"the device cuda:99 is not there: torch sees \d GPUs"),
    ],
)
def test_a_device_or_precision_that_cannot_be_had_is_refused(
    checkpoint: Path, asked: dict[str, str], message: str
) -> None:
    with pytest.raises(ModelRefused, match=f"^{message}$"):
        load_model(str(checkpoint), kv_blocks=4, **{"device": "cpu", **asked})


@pytest.mark.usefixtures("never_read")
def test_a_model_larger_than_the_memory_is_refused_before_it_is_read(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "available_bytes", lambda device: 3 * 2**30)

    with pytest.raises(ModelRefused, match=r"needs 12\.5 GiB with its cache and 3\.0 GiB are available$"):
        # A token takes 2 x 2 layers x 64 numbers of 4 bytes, in a cache of 16 a block.
        load(str(checkpoint), kv_blocks=round(12.5 * 2**30 / (2 * 2 * 64 * 4 * 16)))


def test_a_cache_larger_than_the_memory_is_refused_when_the_engine_is_made(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "available_bytes", lambda device: 2**20)

    with pytest.raises(ModelRefused, match="needs"):
        Engine.load(str(checkpoint), slots=8, device="cpu", threads=1)
    assert Engine.load(str(checkpoint), slots=8, kv_tokens=200, device="cpu", threads=1).slots == 8


def test_where_the_memory_is_not_known_nothing_is_refused(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "available_bytes", lambda device: None)

    assert load(str(checkpoint), kv_blocks=2**20).numerics is not None


@pytest.mark.parametrize("kind", ["native", "plain"])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("tied", [True, False])
def test_the_memory_asked_for_is_what_is_taken_and_little_more(
    make_checkpoint: MakeCheckpoint, kind: str, precision: str, tied: bool
) -> None:
    library = kernels()
    if kind == "native" and library is None:
        pytest.skip("there are no compiled kernels")
    folder = make_checkpoint(n_embd=128, n_head=2, n_layer=3, vocab_size=450, tie_word_embeddings=tied)
    shape, read_tied = read_shape(str(folder))
    backend = (
        NativeBackend(library, precision=precision, threads=1, spins=0)
        if kind == "native"
        else PlainBackend(precision=precision)
    )
    model = build(load_checkpoint(str(folder)), backend)

    taken = held_bytes(model.tokens, model.positions, model.blocks, model.norm, model.head)
    cache = held_bytes(model.new_cache(5)._layers)

    assert read_tied == tied
    assert taken <= weight_bytes(shape, backend, tied=tied) <= 1.15 * taken
    # Keys and values of each layer, in blocks of 16 tokens.
    each = 2 if (kind, precision) == ("native", "int8") else 4
    assert cache == kv_bytes(shape, backend, 5 * BLOCK_TOKENS) == 2 * 3 * 128 * each * 5 * 16


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(
    checkpoint: Path, make_checkpoint: MakeCheckpoint, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(make_checkpoint(vocab_size=300), tmp_path / "copy"))

    with pytest.raises(ModelRefused, match=r"a tokenizer whose largest id is \d+, but a vocabulary of 300$"):
        load(str(folder))


def test_a_checkpoint_without_a_tokenizer_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(checkpoint, tmp_path / "copy"))
    for path in folder.glob("token*"):
        path.unlink()

    with pytest.raises(ModelRefused, match=r"no readable tokenizer: none of its files is there$"):
        load(str(folder))


def test_a_loaded_model_does_not_change_with_its_files(checkpoint: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(checkpoint, tmp_path / "copy"))
    loaded = load(str(folder))
    path = folder / "model.safetensors"

    with path.open("r+b") as file:  # in place: it stays the same file
        file.write(b"\x55" * path.stat().st_size)

    assert numerics_of(loaded.model) == loaded.numerics is not None
