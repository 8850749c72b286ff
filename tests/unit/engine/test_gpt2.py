"""The forward pass computes what that of transformers does, however its rows are run and wherever memory lies."""

from array import array
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import GPT2LMHeadModel

from worker.engine.backends.backend import KvCache
from worker.engine.gpt2 import Gpt2
from worker.engine.loading import LoadedModel, load_model
from worker.engine.rows import Rows
from worker.engine.scoring import logprobs

MakeCheckpoint = Callable[..., Path]

IDS = [(i * 37 + 11) % 400 for i in range(100)]
BLOCKS = 7

VARIANTS = [
    {},
    {"activation_function": "relu"},
    {"activation_function": "gelu"},
    {"activation_function": "silu"},
    {"activation_function": "tanh"},
    {"scale_attn_weights": False},
    {"scale_attn_by_inverse_layer_idx": True},
    {"tie_word_embeddings": False},
    {"n_inner": 128},
    {"layer_norm_epsilon": 1e-3},
    {"n_positions": 100},
    {"vocab_size": 401},
    {"n_head": 4, "n_layer": 3},
    {"n_embd": 192, "n_head": 3},
]


@torch.inference_mode()
def reference_logits(folder: Path, ids: list[int]) -> Tensor:
    """Return what transformers computes in double precision: in single, it errs as much as we do."""
    model = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float64)
    return model(torch.tensor([ids])).logits[0].float()


def one_slot(tokens: Sequence[int], start: int, *, table: Sequence[int] = range(BLOCKS)) -> Rows:
    """Return rows of one text from position `start`, all of whose logits are wanted."""
    positions = range(start, start + len(tokens))
    return Rows(tokens, positions, [0] * len(tokens), range(len(tokens)), array("i", table), BLOCKS)


def logits_of(model: Gpt2, sizes: Sequence[int], *, table: Sequence[int] = range(BLOCKS)) -> Tensor:
    """Return the logits of all of IDS, run in chunks of `sizes`."""
    cache = model.new_cache(BLOCKS)
    found, start = [], 0
    for size in sizes:
        found.append(model.forward(one_slot(IDS[start : start + size], start, table=table), cache).clone())
        start += size
    return torch.cat(found)


@pytest.mark.parametrize("kind", ["native", "plain"])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_prompt_and_single_tokens_have_the_logits_of_transformers(
    make_checkpoint: MakeCheckpoint, variant: dict[str, object], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_checkpoint(**variant)
    expected = reference_logits(folder, IDS)
    if kind == "plain":
        monkeypatch.setattr("worker.engine.loading.kernels", lambda: None)
    model = load_model(str(folder), kv_blocks=BLOCKS, device="cpu", threads=1).model
    assert model.backend.name == f"{kind}-fp32"

    found = logits_of(model, [90, *[1] * 10])

    assert found.shape == expected.shape
    assert torch.allclose(found, expected, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("sizes", [[1] * 100, [7] * 14 + [2], [16, 16, 64, 4], [99, 1]], ids=str)
def test_the_bits_do_not_depend_on_the_chunks(any_loaded: LoadedModel, sizes: list[int]) -> None:
    assert torch.equal(logits_of(any_loaded.model, sizes), logits_of(any_loaded.model, [100]))


def test_the_bits_do_not_depend_on_where_memory_lies(any_loaded: LoadedModel) -> None:
    scattered = [6, 0, 5, 1, 3, 2, 4]

    assert torch.equal(logits_of(any_loaded.model, [50, 50], table=scattered), logits_of(any_loaded.model, [100]))


def test_two_texts_that_share_a_block_in_the_step_that_computes_it_have_the_bits_of_each_alone(
    any_loaded: LoadedModel,
) -> None:
    model, other = any_loaded.model, [*IDS[:16], *IDS[50:54]]
    # The follower's rows come first, and it has only those after the shared block.
    rows = Rows(
        tokens=[*other[16:], *IDS[:20]],
        positions=[*range(16, 20), *range(20)],
        slots=[1] * 4 + [0] * 20,
        wanted=[3, 23],
        tables=array("i", [0, 1, 0, 2]),
        table_length=2,
    )

    together = model.forward(rows, model.new_cache(3)).clone()

    for ids, found in ((other, together[0]), (IDS[:20], together[1])):
        alone = model.forward(one_slot(ids, 0), model.new_cache(BLOCKS))
        assert torch.equal(found, alone[-1])


def test_stale_numbers_of_an_earlier_sequence_change_nothing(any_loaded: LoadedModel) -> None:
    model = any_loaded.model
    used: KvCache = model.new_cache(BLOCKS)
    model.forward(one_slot(IDS[::-1], 0), used)

    again = model.forward(one_slot(IDS[:20], 0), used).clone()

    assert torch.equal(again, model.forward(one_slot(IDS[:20], 0), model.new_cache(BLOCKS)))


def test_only_the_logits_that_are_wanted_are_returned_in_their_order(any_loaded: LoadedModel) -> None:
    model = any_loaded.model
    rows = one_slot(IDS[:30], 0)
    whole = model.forward(rows, model.new_cache(BLOCKS)).clone()
    wanted = [29, 3, 15]

    some = model.forward(
        Rows(rows.tokens, rows.positions, rows.slots, wanted, rows.tables, BLOCKS), model.new_cache(BLOCKS)
    )

    assert torch.equal(some, whole[wanted])


@pytest.mark.parametrize("length", [2, 17, 100, 128])
def test_scoring_gives_the_logprobs_of_transformers(checkpoint: Path, loaded: LoadedModel, length: int) -> None:
    ids = [*IDS, *IDS][:length]
    expected = torch.log_softmax(reference_logits(checkpoint, ids), dim=-1)

    found = logprobs(loaded.model, ids)

    assert found == pytest.approx(
        [expected[at, token].item() for at, token in enumerate(ids[1:])], abs=2e-4, rel=1e-4
    )
