from tests.unit.engine.interpreted import gpu_backend, loaded_on, plain_backend  # first: it skips without Triton

# isort: split

from array import array
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from worker.engine.backends.gpu import cache as gpu_cache
from worker.engine.backends.gpu.cache import PagedCache
from worker.engine.backends.gpu.graphs import SIZES, size_for
from worker.engine.gpt2 import Gpt2
from worker.engine.request import Sampling
from worker.engine.rows import UNKNOWN, Rows
from worker.engine.sampler import Row

SLOTS, TABLE, BLOCKS = 3, 8, 26
# Scattered, and slots 0 and 1 share their first block.
TABLES = array("i", [5, 9, 1, 0, 0, 0, 0, 0, 5, 20, 3, 0, 0, 0, 0, 0, 25, 7, 8, 2, 0, 0, 0, 0])
TEXT = [7 * i % 390 for i in range(1, 60)]


@pytest.fixture(scope="module")
def plain(checkpoint: Path) -> Gpt2:
    return loaded_on(plain_backend(), checkpoint).model


@pytest.fixture(scope="module")
def gpu(checkpoint: Path) -> Gpt2:
    return loaded_on(gpu_backend(), checkpoint).model


def rows(*runs: tuple[int, int, Sequence[int]], wanted: Sequence[int] | None = None) -> Rows:
    """Return the rows of runs of tokens: (slot, position of the first, tokens)."""
    tokens = [token for _, _, run in runs for token in run]
    positions = [start + i for _, start, run in runs for i in range(len(run))]
    slots = [slot for slot, _, run in runs for _ in run]
    return Rows(tokens, positions, slots, range(len(tokens)) if wanted is None else wanted, TABLES, TABLE)


STEPS = (
    rows((0, 0, TEXT[:19])),
    rows((2, 0, TEXT[30:41]), (1, 16, TEXT[50:53]), wanted=[3, 10, 13]),
    rows((0, 19, TEXT[:1]), (1, 19, TEXT[5:6]), (2, 11, TEXT[6:7])),
    rows((2, 12, TEXT[8:50]), (0, 20, TEXT[2:3]), wanted=[41, 42]),
    rows((1, 20, TEXT[3:4])),
)


def run(model: Gpt2, cache: object, steps: Sequence[Rows] = STEPS) -> list[Tensor]:
    return [model.forward(step, cache).clone() for step in steps]


def assert_close(found: Sequence[Tensor], expected: Sequence[Tensor]) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == torch.float32
        assert torch.allclose(ours, theirs, atol=2e-4, rtol=1e-4)


def test_prompts_chunks_and_drawn_tokens_get_the_logits_of_the_plain_backend(plain: Gpt2, gpu: Gpt2) -> None:
    assert_close(run(gpu, gpu.new_cache(BLOCKS)), run(plain, plain.new_cache(BLOCKS)))


def test_heads_of_any_size_run(make_checkpoint: object) -> None:
    folder = make_checkpoint(n_embd=60, n_head=3, n_inner=100, scale_attn_by_inverse_layer_idx=True)
    ours, theirs = (loaded_on(backend, folder).model for backend in (gpu_backend(), plain_backend()))

    assert_close(run(ours, ours.new_cache(BLOCKS)), run(theirs, theirs.new_cache(BLOCKS)))


def test_bf16_weights_and_memory_come_close(plain: Gpt2, checkpoint: Path) -> None:
    model = loaded_on(gpu_backend(torch.bfloat16), checkpoint).model

    found, expected = run(model, model.new_cache(BLOCKS)), run(plain, plain.new_cache(BLOCKS))

    assert model.backend.name == "cuda-bf16"
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == torch.float32
        assert (ours - theirs).norm() < 0.03 * theirs.norm()


@pytest.mark.parametrize("count", [1, 3, 9, 17])
def test_rows_that_fill_up_a_step_change_nothing(gpu: Gpt2, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    before = rows((0, 0, TEXT[:20]))
    step = rows((0, 20, TEXT[20 : 20 + count]))
    filled: PagedCache = gpu.new_cache(BLOCKS)
    inputs = filled.step(step).inputs

    ours = run(gpu, filled, [before, step])
    monkeypatch.setattr(gpu_cache, "size_for", lambda _: None)
    bare: PagedCache = gpu.new_cache(BLOCKS)
    theirs = run(gpu, bare, [before, step])

    assert inputs.shape[1] == size_for(count) >= count
    assert_close(ours, theirs)
    for (keys, values), (others, other_values) in zip(filled.layers, bare.layers, strict=True):
        # All but the block of the rows that fill up.
        assert torch.allclose(keys[:-1], others[:-1], atol=1e-5)
        assert torch.allclose(values[:-1], other_values[:-1], atol=1e-5)


def test_a_step_uses_the_same_memory_as_the_last_of_its_size(gpu: Gpt2) -> None:
    cache: PagedCache = gpu.new_cache(BLOCKS)

    first, second, other = (cache.step(step) for step in (STEPS[0], rows((1, 0, TEXT[:20])), STEPS[2]))

    assert first.size == second.size != other.size
    assert first.inputs.data_ptr() == second.inputs.data_ptr() != other.inputs.data_ptr()


def test_more_rows_than_the_largest_graph_has_run_by_themselves(gpu: Gpt2) -> None:
    table = -(-(SIZES[-1] + 1) // 16)
    count = SIZES[-1] + 1
    many = Rows([1] * count, range(count), [0] * count, [0], array("i", range(table)), table)

    step = gpu.new_cache(table).step(many)

    assert (step.size, step.inputs.shape) == (None, (3, count))


def test_sizes_are_the_least_that_fit() -> None:
    assert [size_for(count) for count in (1, 3, 8, 9, 512, 513, 1024, 1025)] == [1, 4, 8, 16, 512, 640, 1024, None]


def test_a_token_that_only_the_device_knows_is_the_one_drawn_last_in_its_slot(gpu: Gpt2) -> None:
    cache, ids = gpu.new_cache(BLOCKS), TEXT[:4]
    logits = gpu.forward(rows((1, 0, ids), wanted=[3]), cache)
    one = Row(Sampling(seed=3), ids, 4, 4, slot=1)
    waiting = gpu.backend.draw(logits, [one], frozenset())

    blind = gpu.forward(rows((1, 4, [UNKNOWN])), cache).clone()
    [drawn] = waiting()
    seeing = gpu.forward(rows((1, 4, [drawn.token])), cache)

    assert torch.equal(blind, seeing)
    assert not torch.equal(gpu.forward(rows((1, 4, [drawn.token + 1])), cache), blind)


def test_a_table_that_changed_is_followed(gpu: Gpt2) -> None:
    cache = gpu.new_cache(BLOCKS)
    moved = array("i", TABLES)
    moved[0] = 11
    text = rows((0, 0, TEXT[:5]))
    elsewhere = Rows(text.tokens, text.positions, text.slots, text.wanted, moved, TABLE)

    [first, second] = run(gpu, cache, [text, elsewhere])

    assert torch.allclose(first, second, atol=1e-5)
    assert torch.equal(cache.layers[0][0][5], cache.layers[0][0][11])
    assert cache.layers[0][0][11].any()


def test_logits_outlive_the_next_step(gpu: Gpt2) -> None:
    cache = gpu.new_cache(BLOCKS)
    logits = gpu.forward(rows((0, 0, TEXT[:5])), cache)
    kept = logits.clone()

    gpu.forward(rows((0, 5, TEXT[9:14])), cache)

    assert torch.equal(logits, kept)
