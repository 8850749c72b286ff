import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from training import card, config

FOLDERS = sorted(path.parent for path in config.CHECKPOINTS.glob("*/model.safetensors"))
LEARNT = {
    "quire-verse": "And all the stars of heaven were shining in the",
    "quire-english": "<en><verse>|\nAnd all the stars of heaven were shining in the",
    "quire-chinese": "<zh><七绝>|\n东风吹我向江南，\n",
    "quire-tunes": "<jig><6/8><G major>\n|:G3GAB|dedB2A|",
}
ODD_TEXTS = [
    "",
    " ",
    "  two  spaces , before . punctuation !\n\n\n\tand a tab\r\n",
    "I don't; he'll, they 've",
    "na\u00efve cafe\u0301 \u201cquoted\u201d \u2014 dash",
    "\u4e2d\u6587 \u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u05e2\u05d1\u05e8\u05d9\u05ea",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001d573\U0001d57e",
    "\x00\x07\u200b\ufeff\u00a0end",
]

pytestmark = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name, scope="module")


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def model(folder: Path) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(folder).eval()


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_decoding_an_encoded_text_gives_the_very_same_text(tokenizer: PreTrainedTokenizerBase, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_the_vocabulary_is_whole_and_ends_texts_with_id_zero(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    assert len(tokenizer) == model.config.vocab_size
    assert tokenizer.encode(config.END_OF_TEXT) == [0]
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (0, 0, 0)
    assert (model.config.bos_token_id, model.config.eos_token_id) == (0, 0)


def test_the_weights_load_in_single_precision_with_a_tied_head(model: PreTrainedModel) -> None:
    assert model.dtype == torch.float32
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_every_position_gives_finite_logits(model: PreTrainedModel) -> None:
    ids = torch.arange(model.config.n_positions)[None] % model.config.vocab_size

    with torch.inference_mode():
        logits = model(ids, attention_mask=torch.ones_like(ids)).logits

    assert logits.shape == (1, model.config.n_positions, model.config.vocab_size)
    assert bool(logits.isfinite().all())


def test_the_model_has_learnt_how_its_texts_go(
    folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    ids = torch.tensor([tokenizer.encode(LEARNT[folder.name])])

    with torch.inference_mode():
        loss = model(ids, attention_mask=torch.ones_like(ids), labels=ids).loss

    untrained = torch.tensor(float(model.config.vocab_size)).log()
    assert float(loss) < 0.66 * float(untrained)


def test_the_checkpoint_is_small(folder: Path) -> None:
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 12_000_000


def test_the_card_says_what_the_figures_say(folder: Path) -> None:
    settings = {made.name: made for made in map(config.load, config.HERE.glob("*.toml"))}.get(folder.name)
    if settings is None:
        pytest.skip("made by an earlier form of the scripts")
    figures = json.loads((folder / "figures.json").read_text(encoding="utf-8"))

    assert (folder / "README.md").read_text(encoding="utf-8") == card.render(settings, figures)
