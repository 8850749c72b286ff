from tests.unit.engine.interpreted import CPU  # first: it skips where Triton cannot run

# isort: split

from copy import copy

import pytest
import torch

from tests.unit.engine.attending import Memory
from worker.engine.backends.gpu.attention import write

SHAPES = [(3, 64), (2, 24), (1, 5)]  # heads and their size, a power of two or not


@pytest.mark.parametrize(("heads", "size"), SHAPES)
@pytest.mark.parametrize("seed", range(2))
def test_each_row_attends_to_its_own_sequence_up_to_its_position(heads: int, size: int, seed: int) -> None:
    memory = Memory(heads, size, seed=seed)

    out = memory.found(0.3)

    for row in range(len(out)):
        assert torch.allclose(out[row].double(), memory.expected(row, 0.3), atol=1e-5)


def test_what_lies_behind_a_row_is_never_read() -> None:
    memory = Memory(2, 24, seed=3)
    expected = memory.found(0.2)

    for row in range(len(expected)):
        later = torch.arange(96) > memory.positions[row]
        blocks = memory.tables[memory.slots[row]].long()
        alone = copy(memory)  # for others of its sequence lie further on
        alone.keys, alone.values = memory.keys.clone(), memory.values.clone()
        alone.positions, alone.slots, alone.qkv = (
            tensor[row : row + 1] for tensor in (memory.positions, memory.slots, memory.qkv)
        )
        for cached in (alone.keys, alone.values):
            unseen = later.view(6, 1, 16, 1).expand(6, 2, 16, 24)
            cached[blocks] = cached[blocks].masked_fill(unseen, torch.nan)
        assert torch.equal(alone.found(0.2)[0], expected[row])


def test_the_weights_of_far_apart_scores_do_not_overflow() -> None:
    memory = Memory(1, 16, seed=4)
    memory.qkv *= 100

    out = memory.found(1.0)

    for row in range(len(out)):
        assert torch.allclose(out[row].double(), memory.expected(row, 1.0), atol=1e-3)


def test_in_bf16_only_inputs_and_result_are_rounded() -> None:
    memory = Memory(2, 64, seed=5, dtype=torch.bfloat16)

    out = memory.found(0.125)

    assert out.dtype == torch.bfloat16
    for row in range(len(out)):
        # One unit in the last place of 8 bits: the interpreter cuts off where a GPU rounds.
        assert torch.allclose(out[row].double(), memory.expected(row, 0.125), rtol=2**-7, atol=1e-5)


@pytest.mark.parametrize("tile", [16, 32, 128])
def test_other_tiles_find_the_same(tile: int) -> None:
    memory = Memory(2, 24, seed=6)

    assert torch.allclose(memory.found(0.3, tile=tile), memory.found(0.3), atol=1e-6)


@pytest.mark.parametrize(("heads", "size"), [*SHAPES, (25, 64)])
def test_keys_and_values_are_written_to_their_places_and_nowhere_else(heads: int, size: int) -> None:
    memory = Memory(heads, size, seed=7)
    keys, values = memory.keys.clone(), memory.values.clone()
    rows = memory.qkv.view(-1, 3, heads, size)
    for row in range(len(rows)):
        block, place = memory.place(row)
        keys[block, :, place], values[block, :, place] = rows[row, 1], rows[row, 2]

    write(memory.qkv, memory.keys, memory.values, memory.tables, memory.slots, memory.positions, size)

    assert memory.keys.device == CPU
    assert torch.equal(memory.keys, keys)
    assert torch.equal(memory.values, values)
