import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from worker.engine import Engine, ModelRefused
from worker.engine.weights import load_weights, read_shape

MakeCheckpoint = Callable[..., Path]


def load(folder: Path, *, cache_bytes: int = 0) -> object:
    return load_weights(str(folder), device=torch.device("cpu"), dtype=torch.float32, cache_bytes=cache_bytes)


@pytest.fixture
def copy(checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpoint, tmp_path / "copy"))


def change_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_folder_without_a_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match=r"no readable config\.json"):
        load(tmp_path)


def test_another_architecture_is_refused(copy: Path) -> None:
    change_config(copy, model_type="bert")

    with pytest.raises(ModelRefused, match="a bert model, not of the GPT-2 architecture"):
        load(copy)


def test_an_unknown_activation_is_refused(copy: Path) -> None:
    change_config(copy, activation_function="mish")

    with pytest.raises(ModelRefused, match="activation mish"):
        load(copy)


def test_missing_weights_are_refused(copy: Path) -> None:
    (copy / "model.safetensors").unlink()

    with pytest.raises(ModelRefused, match="missing or damaged weights"):
        load(copy)


@pytest.mark.parametrize("kept", [0, 7, 5_000])
def test_a_file_cut_short_is_refused(copy: Path, kept: int) -> None:
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])

    with pytest.raises(ModelRefused, match="missing or damaged weights"):
        load(copy)


def test_a_checkpoint_that_lacks_a_layer_is_refused_not_filled_with_noise(copy: Path) -> None:
    change_config(copy, n_layer=3)

    with pytest.raises(ModelRefused, match="lacks 12 of its weights"):
        load(copy)


def test_weights_of_another_size_are_refused(copy: Path) -> None:
    change_config(copy, n_positions=64)

    with pytest.raises(ModelRefused, match="weights"):
        load(copy)


def test_a_model_larger_than_the_memory_is_refused(checkpoint: Path) -> None:
    with pytest.raises(ModelRefused, match=r"needs 1048576\.0 GiB with its cache and .* GiB are available"):
        load(checkpoint, cache_bytes=2**50)


def test_an_end_id_outside_of_the_vocabulary_is_ignored(copy: Path) -> None:
    change_config(copy, eos_token_id=50256)
    (copy / "generation_config.json").unlink()

    assert load(copy).end_ids == frozenset()


def test_the_shape_counts_about_as_many_parameters_as_there_are(checkpoint: Path) -> None:
    shape, tied = read_shape(str(checkpoint))

    weights = load(checkpoint)

    tensors = [weights.tokens, weights.positions, *(getattr(b, n) for b in weights.blocks for n in b.__slots__)]
    assert shape.parameters(tied=tied) == pytest.approx(sum(t.numel() for t in tensors), rel=0.05)


def test_the_digest_tells_weights_apart(make_checkpoint: MakeCheckpoint, checkpoint: Path) -> None:
    other = make_checkpoint(initializer_range=0.3)

    assert load(checkpoint).digest() == load(checkpoint).digest() != load(other).digest()


def test_a_half_precision_checkpoint_is_run_in_fp32(checkpoint: Path, tmp_path: Path) -> None:
    from transformers import GPT2LMHeadModel

    GPT2LMHeadModel.from_pretrained(checkpoint, dtype=torch.float16).save_pretrained(tmp_path)

    assert load(tmp_path).tokens.dtype == torch.float32


def test_an_unknown_device_is_refused(checkpoint: Path) -> None:
    with pytest.raises(ModelRefused, match="meta is not supported"):
        Engine.load(str(checkpoint), slots=1, device="meta")
