import random

import pytest
import torch

pytest.importorskip(
    "triton", reason="Triton is not installed; it comes with torch for CUDA, and with .[dev] on Linux"
)

from tests.unit.engine.any_rows import END, any_row, logits_of
from tests.unit.engine.attending import Memory
from worker.engine import sampler
from worker.engine.backends.cuda import CudaBackend
from worker.engine.backends.gpu.attention import write
from worker.engine.request import Sampling
from worker.engine.sampler import Row

pytestmark = pytest.mark.gpu

VOCABULARY = 50257


@pytest.mark.parametrize(("heads", "size"), [(12, 64), (25, 64), (3, 80), (1, 5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_each_row_attends_to_its_own_sequence(
    heads: int, size: int, dtype: torch.dtype, device: torch.device
) -> None:
    memory = Memory(heads, size, seed=1, slots=8, table=64, rows=40, dtype=dtype, device=device)

    out = memory.found(size**-0.5)

    assert out.dtype == dtype
    for row in range(len(out)):
        expected = memory.expected(row, size**-0.5)
        error = (out[row].double() - expected).norm() / expected.norm()
        assert error < (1e-5 if dtype == torch.float32 else 1e-2)


def test_a_row_finds_the_same_bits_whatever_else_is_in_the_step(device: torch.device) -> None:
    memory = Memory(12, 64, seed=2, slots=8, table=64, rows=300, dtype=torch.bfloat16, device=device)
    whole = memory.found(0.125)

    for count in (1, 7, 130):
        memory.positions, memory.slots, memory.qkv = (
            tensor[:count].contiguous() for tensor in (memory.positions, memory.slots, memory.qkv)
        )
        assert torch.equal(memory.found(0.125), whole[:count])
        memory = Memory(12, 64, seed=2, slots=8, table=64, rows=300, dtype=torch.bfloat16, device=device)


@pytest.mark.parametrize(("heads", "size"), [(12, 64), (25, 64), (3, 80)])
def test_keys_and_values_are_written_to_their_places_and_nowhere_else(
    heads: int, size: int, device: torch.device
) -> None:
    memory = Memory(heads, size, seed=3, slots=40, rows=40, dtype=torch.bfloat16, device=device)
    memory.slots = torch.arange(40, device=device)  # no two rows write to one place
    keys, values = memory.keys.clone(), memory.values.clone()
    rows = memory.qkv.view(-1, 3, heads, size)
    for row in range(len(rows)):
        block, place = memory.place(row)
        keys[block, :, place], values[block, :, place] = rows[row, 1], rows[row, 2]

    write(memory.qkv, memory.keys, memory.values, memory.tables, memory.slots, memory.positions, size)

    assert torch.equal(memory.keys, keys)
    assert torch.equal(memory.values, values)


@pytest.mark.parametrize("seed", range(4))
def test_any_rows_draw_the_tokens_of_the_definition(seed: int, device: torch.device) -> None:
    rng = random.Random(seed)
    rows = [any_row(rng, i, VOCABULARY) for i in range(64)]
    logits = logits_of(len(rows), VOCABULARY, seed=seed)

    found = CudaBackend(device).draw(logits.to(device), rows, END)()
    expected = sampler.draw(logits, rows, END)

    equal = [ours.token == theirs.token for ours, theirs in zip(found, expected, strict=True)]
    # Exponentials of another library: a number may fall on the other side of an edge.
    assert sum(equal) >= len(rows) - 1
    for ours, theirs, same in zip(found, expected, equal, strict=True):
        if same:
            assert ours.logprob == pytest.approx(theirs.logprob, abs=1e-4)
            assert [token for token, _ in ours.top] == [token for token, _ in theirs.top]


def test_a_row_draws_the_same_alone_and_in_company(device: torch.device) -> None:
    rng = random.Random(9)
    rows = [any_row(rng, i, VOCABULARY) for i in range(200)]
    logits = logits_of(len(rows), VOCABULARY).to(device)
    backend = CudaBackend(device)

    together = backend.draw(logits, rows, END)()

    for i in range(0, 200, 7):
        assert repr(backend.draw(logits[i : i + 1], [rows[i]], END)()) == repr([together[i]])


def test_many_draws_under_way_at_once_keep_their_results(device: torch.device) -> None:
    backend, ids = CudaBackend(device), [[i, i + 1] for i in range(32)]
    asked = [Sampling(seed=i, repetition_penalty=1.3, top_k=40, max_tokens=1000) for i in range(32)]
    logits = [logits_of(32, VOCABULARY, seed=step) for step in range(8)]
    expected: list[list[int]] = []
    for step, each in enumerate(logits):
        drawn = sampler.draw(each, [Row(asked[i], ids[i], 2, 2 + step, i) for i in range(32)], END)
        expected.append([one.token for one in drawn])
        for tokens, one in zip(ids, drawn, strict=True):
            tokens.append(one.token)

    known = [[i, i + 1] for i in range(32)]
    waiting = [
        backend.draw(each.to(device), [Row(asked[i], known[i], 2, 2 + step, i) for i in range(32)], END)
        for step, each in enumerate(logits)
    ]
    found = [[one.token for one in wait()] for wait in waiting]

    differing = sum(
        a != b for ours, theirs in zip(found, expected, strict=True) for a, b in zip(ours, theirs, strict=True)
    )
    assert differing <= 8  # one text that parts early parts for good
