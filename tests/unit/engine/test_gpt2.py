from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import GPT2LMHeadModel

from worker.engine.gpt2 import Gpt2
from worker.engine.layout import Layout, candidate_buckets
from worker.engine.loading import LoadedModel, load_model

MakeCheckpoint = Callable[..., Path]

IDS = [(i * 37 + 11) % 400 for i in range(100)]

VARIANTS = [
    {},
    {"activation_function": "relu"},
    {"activation_function": "gelu"},
    {"activation_function": "silu"},
    {"scale_attn_weights": False},
    {"scale_attn_by_inverse_layer_idx": True},
    {"tie_word_embeddings": False},
    {"n_inner": 96},
    {"layer_norm_epsilon": 1e-3},
    {"n_positions": 100},
    {"vocab_size": 401},
]


@torch.inference_mode()
def reference_logits(folder: Path, ids: list[int]) -> torch.Tensor:
    model = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32)
    return model(torch.tensor([ids])).logits[0]


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_prefill_and_decode_compute_the_logits_of_transformers(
    make_checkpoint: MakeCheckpoint, variant: dict[str, object]
) -> None:
    folder = make_checkpoint(**variant)
    expected = reference_logits(folder, IDS)
    model = load_model(str(folder), slots=2, device="cpu", threads=None).model
    cache = model.new_cache(2, model.weights.shape.context)

    prefilled = model.logits(model.prefill(cache, 0, 0, IDS[:90]))
    decoded = torch.cat([model.decode(cache, [IDS[at]], [at]) for at in range(90, 100)])

    found = torch.cat([prefilled, decoded])
    vocabulary = expected.shape[1]
    assert torch.allclose(found[:, :vocabulary], expected, atol=2e-4, rtol=1e-4)
    assert found.shape[1] % 64 == 0
    assert bool((found[:, vocabulary:] == -torch.inf).all())


def test_stale_numbers_of_an_earlier_sequence_change_nothing(loaded: LoadedModel) -> None:
    model = loaded.model
    clean, used = model.new_cache(1, 128), model.new_cache(1, 128)
    model.prefill(used, 0, 0, IDS[::-1])

    logits = [model.logits(model.prefill(cache, 0, 0, IDS[:20])) for cache in (clean, used)]

    assert torch.equal(*logits)


def test_a_moved_slot_goes_on_with_the_same_bits(loaded: LoadedModel) -> None:
    model = loaded.model
    cache = model.new_cache(2, 128)
    model.prefill(cache, 0, 0, IDS[50:70])
    model.prefill(cache, 1, 0, IDS[:40])
    stays = model.decode(cache, [7, IDS[40]], [20, 40])[1:]

    cache.move(1, 0, 40)

    assert torch.allclose(model.decode(cache, [IDS[40]], [40]), stays, rtol=1e-5, atol=1e-5)
    if loaded.numerics is not None:
        assert torch.equal(model.decode(cache, [IDS[40]], [40]), stays)


def test_any_layout_gives_close_logits(loaded: LoadedModel) -> None:
    expected = loaded.model.logits(loaded.model.prefill(loaded.model.new_cache(1, 128), 0, 0, IDS))
    for rows in (1, 3, 8):
        model = Gpt2(loaded.model.weights, Layout(rows, candidate_buckets(128)))
        found = model.logits(model.prefill(model.new_cache(1, 128), 0, 0, IDS))
        assert torch.allclose(found[:, :400], expected[:, :400], atol=1e-4)


@pytest.mark.parametrize(("length", "bucket"), [(1, 64), (64, 64), (65, 128), (200, 256)])
def test_a_bucket_is_the_least_that_holds_the_keys(length: int, bucket: int) -> None:
    assert Layout(1, (64, 128, 256)).bucket(length) == bucket


def test_more_keys_than_the_longest_bucket_are_an_error() -> None:
    with pytest.raises(ValueError, match="257 keys do not fit into 256"):
        Layout(1, (64, 256)).bucket(257)
