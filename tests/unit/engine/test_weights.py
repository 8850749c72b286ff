"""Reading a checkpoint: whatever is wrong with it is said in one sentence."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from worker.engine.errors import ModelRefused
from worker.engine.weights import Shape, check_memory, load_checkpoint, read_shape

MakeCheckpoint = Callable[..., Path]


def load(folder: Path) -> object:
    read_shape(str(folder))
    return load_checkpoint(str(folder))


@pytest.fixture
def copy(checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpoint, tmp_path / "copy"))


def change_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def change_tensors(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    path = folder / "model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def refusal(folder: Path) -> str:
    with pytest.raises(ModelRefused) as refused:
        load(folder)
    message = str(refused.value)
    assert "\n" not in message
    return message.replace(str(folder), "it")


def test_a_folder_without_a_config_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path).startswith("it has no readable config.json: ")


def test_a_config_that_is_no_json_is_refused(copy: Path) -> None:
    (copy / "config.json").write_text("{")

    assert refusal(copy).startswith("it has no readable config.json: ")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "bert"}, "it is a bert model, not of the GPT-2 architecture"),
        ({"activation_function": "mish"}, "it uses the activation mish, which is not known here"),
        ({"n_head": 0}, "it has a size below 1 in its config.json"),
        ({"n_layer": -1}, "it has a size below 1 in its config.json"),
        ({"n_head": 3}, "it has a width of 64, not a multiple of its 3 heads"),
        ({"add_cross_attention": True}, "it has cross-attention, so it is not a plain GPT-2"),
    ],
)
def test_what_the_forward_pass_does_not_compute_is_refused(
    copy: Path, changes: dict[str, object], message: str
) -> None:
    change_config(copy, **changes)

    assert refusal(copy) == message


def test_missing_weights_are_refused(copy: Path) -> None:
    (copy / "model.safetensors").unlink()

    assert refusal(copy).startswith("it has missing or damaged weights: ")


@pytest.mark.parametrize("kept", [0, 7, 5_000, -1])
def test_a_file_cut_short_is_refused(copy: Path, kept: int) -> None:
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])

    assert refusal(copy).startswith("it has missing or damaged weights: ")


def test_a_file_of_something_else_is_refused(copy: Path) -> None:
    (copy / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n" * 9)

    assert refusal(copy).startswith("it has missing or damaged weights: ")


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize(
    "name", ["transformer.wte.weight", "transformer.h.1.mlp.c_fc.bias", "transformer.ln_f.weight"]
)
def test_weights_that_are_no_numbers_are_refused(copy: Path, name: str, value: float) -> None:
    change_tensors(copy, lambda tensors: tensors[name].view(-1)[5:6].fill_(value))

    assert refusal(copy) == f"it is damaged: {name} holds values that are not finite numbers"


def test_a_checkpoint_that_lacks_a_tensor_is_refused_not_filled_with_noise(copy: Path) -> None:
    change_tensors(copy, lambda tensors: tensors.pop("transformer.h.0.attn.c_attn.bias"))

    assert refusal(copy) == "it lacks 1 of its weights, the first is transformer.h.0.attn.c_attn.bias"


def test_a_checkpoint_that_lacks_a_layer_is_refused(copy: Path) -> None:
    change_config(copy, n_layer=3)

    assert refusal(copy).startswith("it lacks 12 of its weights, the first is transformer.h.2.")


@pytest.mark.parametrize("changes", [{"n_positions": 64}, {"vocab_size": 401}, {"n_inner": 128}])
def test_weights_of_another_size_are_refused(copy: Path, changes: dict[str, object]) -> None:
    change_config(copy, **changes)

    assert "weights" in refusal(copy)


def test_a_device_with_too_little_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.engine.weights.available_bytes", lambda device: 2**30)

    check_memory("it", 2**30, torch.device("cpu"))

    with pytest.raises(ModelRefused, match=r"^it needs 1\.5 GiB with its cache and 1\.0 GiB are available$"):
        check_memory("it", 3 * 2**29, torch.device("cpu"))


@pytest.mark.parametrize(
    ("ends", "expected"), [(50256, set()), (3, {3}), ([3, 9, 400], {3, 9}), (None, set()), (-1, set())]
)
def test_end_ids_are_those_inside_of_the_vocabulary(copy: Path, ends: object, expected: set[int]) -> None:
    change_config(copy, eos_token_id=ends)
    (copy / "generation_config.json").unlink()

    assert load(copy).end_ids == expected


@pytest.mark.parametrize("tied", [True, False])
def test_the_shape_counts_the_parameters_that_there_are(make_checkpoint: MakeCheckpoint, tied: bool) -> None:
    folder = make_checkpoint(vocab_size=448, tie_word_embeddings=tied)
    shape, read_tied = read_shape(str(folder))

    tensors = load_checkpoint(str(folder)).tensors

    tables = 1 if read_tied else 2
    counted = shape.matrix_parameters + shape.vector_parameters + tables * shape.table_parameters
    assert read_tied == tied
    assert counted == sum({tensor.data_ptr(): tensor.numel() for tensor in tensors.values()}.values())


@pytest.mark.parametrize(("vocabulary", "padded"), [(1, 64), (64, 64), (65, 128), (50257, 50304)])
def test_the_vocabulary_is_padded_to_whole_panels(vocabulary: int, padded: int) -> None:
    shape = Shape(vocabulary, 8, 64, 2, 1, 256, 1e-5, "gelu_new", scale_by_head=True, scale_by_layer=False)

    assert shape.padded_vocabulary == padded


@pytest.mark.parametrize(
    ("by_head", "by_layer", "expected"), [(True, False, 0.25), (False, False, 1.0), (True, True, 0.25 / 3)]
)
def test_scores_are_scaled_as_the_config_says(by_head: bool, by_layer: bool, expected: float) -> None:
    shape = Shape(9, 8, 64, 4, 3, 256, 1e-5, "gelu_new", scale_by_head=by_head, scale_by_layer=by_layer)

    assert shape.attention_scale(2) == expected


def test_the_digest_tells_weights_and_configs_apart(copy: Path, checkpoint: Path) -> None:
    before = load(checkpoint).digest
    same = load(copy).digest
    change_config(copy, layer_norm_epsilon=1e-6)
    other_config = load(copy).digest
    change_config(copy, layer_norm_epsilon=1e-5)
    change_tensors(copy, lambda tensors: tensors["transformer.wpe.weight"][-1, -1:].add_(1))
    other_weight = load(copy).digest

    assert before == same
    assert len({before, other_config, other_weight}) == 3


def test_a_half_precision_checkpoint_is_read_as_fp32(checkpoint: Path, tmp_path: Path) -> None:
    from transformers import GPT2LMHeadModel

    GPT2LMHeadModel.from_pretrained(checkpoint, dtype=torch.float16).save_pretrained(tmp_path)

    assert {tensor.dtype for tensor in load(tmp_path).tensors.values()} == {torch.float32}
