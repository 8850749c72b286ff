import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from training import config, documents, export, train, vocabulary
from training.documents import Document
from training.network import Network
from training.sampling import sample


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> config.Config:
    """A checkpoint of a few thousand weights over a corpus of two phrases, encoded."""
    monkeypatch.setattr(config, "BUILD", tmp_path)
    whole = config.load(config.HERE / "tunes.toml")
    small = dataclasses.replace(
        whole,
        vocabulary=dataclasses.replace(whole.vocabulary, size=300),
        model=config.Model(positions=32, width=16, layers=2, heads=2, dropout=0.1),
        training=dataclasses.replace(
            whole.training, steps=12, minutes=0, rows=4, rows_at_once=2, save_seconds=0, checks=2, check_rows=4
        ),
        evaluation=dataclasses.replace(whole.evaluation, sample_tokens=12),
    )
    small.work.mkdir()
    texts = [f"<jig><6/8><G major>\n{'GAB' * (1 + n % 3)}|d{2 + n % 2}|]" for n in range(60)]
    for part in documents.PARTS:
        documents.write(small.work / f"{part}.jsonl", [Document("jig", text) for text in texts])
    vocabulary.run(small)
    vocabulary.encode(small)
    return small


class Killed(Exception):
    """Stands for the end of the process."""


def with_optimiser(settings: config.Config, name: str) -> config.Config:
    return dataclasses.replace(settings, training=dataclasses.replace(settings.training, optimiser=name))


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_a_killed_run_goes_on_to_the_same_weights(
    settings: config.Config, monkeypatch: pytest.MonkeyPatch, optimiser: str
) -> None:
    settings = with_optimiser(settings, optimiser)
    train.run(settings)
    whole = load_file(settings.work / "weights.safetensors")
    for name in ("state.pt", "weights.safetensors"):
        (settings.work / name).unlink()

    save = train.Run.save

    def save_and_die(self: train.Run, *state: object) -> None:
        save(self, *state)
        if state[3].step == 5:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(train.Run, "save", save_and_die)
        with pytest.raises(Killed):
            train.run(settings)
    train.run(settings)

    resumed = load_file(settings.work / "weights.safetensors")
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())


def test_every_weight_has_one_optimiser(settings: config.Config) -> None:
    network = Network(settings.model, settings.vocabulary.size)

    rest, blocks = train.new_optimisers(network, with_optimiser(settings, "muon").training)

    held = [{id(weight) for group in each.param_groups for weight in group["params"]} for each in (rest, blocks)]
    assert held[0].isdisjoint(held[1])
    assert held[0] | held[1] == {id(weight) for weight in network.parameters()}
    assert id(network.transformer.wte.weight) in held[0]
    assert id(network.transformer.h[0].attn.c_attn.weight) in held[1]


def test_an_unknown_optimiser_is_refused(settings: config.Config) -> None:
    with pytest.raises(ValueError, match="adamw or muon, not sgd"):
        train.run(with_optimiser(settings, "sgd"))


def test_the_curve_holds_losses_and_held_out_losses_by_domain(settings: config.Config) -> None:
    train.run(settings)

    curve = [json.loads(line) for line in (settings.work / "curve.jsonl").read_text().splitlines()]

    assert curve[-1]["step"] == 12
    assert curve[-1]["tokens"] == 12 * 4 * 32
    assert curve[-1]["held_out"].keys() == {"all", "jig"}
    assert curve[-1]["loss"] < curve[0]["held_out"]["all"]


def test_an_exported_checkpoint_loads_in_transformers_and_gives_the_trained_networks_logits(
    settings: config.Config, tmp_path: Path
) -> None:
    train.run(settings)
    export.export(settings, tmp_path / "out")

    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    network = Network(settings.model, settings.vocabulary.size).eval()
    network.load_state_dict({k: v.float() for k, v in load_file(settings.work / "weights.safetensors").items()})
    ids = torch.tensor([tokenizer.encode("<jig><6/8><G major>\nGAB")])

    assert model.dtype == torch.float32
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    with torch.inference_mode():
        torch.testing.assert_close(model(ids).logits, network.logits(ids))
    assert tokenizer.decode(tokenizer.encode("|:G3 ^F\n")) == "|:G3 ^F\n"


def test_the_engine_draws_the_same_samples_in_any_company(settings: config.Config, tmp_path: Path) -> None:
    train.run(settings)
    export.export(settings, tmp_path / "out")
    prompts = [("<jig><6/8><G major>\n", seed) for seed in range(3)]

    together = sample(tmp_path / "out", prompts, settings.evaluation)
    alone = sample(tmp_path / "out", prompts[1:2], settings.evaluation)

    assert together[1] == alone[0]
    assert all(0 < len(one.ids) <= 12 or one.ended for one in together)
