import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from training import card, config

SETTINGS = config.load()
FOLDER = config.CHECKPOINTS / SETTINGS.name

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


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(FOLDER)


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(FOLDER).eval()


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_decoding_an_encoded_text_gives_the_very_same_text(tokenizer: PreTrainedTokenizerBase, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_the_vocabulary_is_whole_and_ends_texts_with_id_zero(tokenizer: PreTrainedTokenizerBase) -> None:
    assert len(tokenizer) == SETTINGS.vocabulary.size
    assert tokenizer.encode(config.END_OF_TEXT) == [0]
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (0, 0, 0)


def test_the_config_names_the_shape_that_was_trained(model: PreTrainedModel) -> None:
    shape = SETTINGS.model

    assert model.config.model_type == "gpt2"
    assert model.config.n_positions == shape.positions
    assert (model.config.n_layer, model.config.n_embd, model.config.n_head) == (
        shape.layers,
        shape.width,
        shape.heads,
    )
    assert model.config.vocab_size == SETTINGS.vocabulary.size
    assert (model.config.bos_token_id, model.config.eos_token_id) == (0, 0)


def test_the_weights_load_in_single_precision_with_a_tied_head(model: PreTrainedModel) -> None:
    assert model.dtype == torch.float32
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_every_position_gives_finite_logits(model: PreTrainedModel) -> None:
    ids = torch.arange(SETTINGS.model.positions)[None] % SETTINGS.vocabulary.size

    with torch.inference_mode():
        logits = model(ids, attention_mask=torch.ones_like(ids)).logits

    assert logits.shape == (1, SETTINGS.model.positions, SETTINGS.vocabulary.size)
    assert bool(logits.isfinite().all())


def test_the_model_has_learnt_that_verse_goes_on(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    text = "And all the stars of heaven were shining in the"
    ids = torch.tensor([tokenizer.encode(text)])

    with torch.inference_mode():
        loss = model(ids, attention_mask=torch.ones_like(ids), labels=ids).loss

    assert float(loss) < 5.5  # an untrained model has ln(4096) = 8.3


def test_the_checkpoint_is_small() -> None:
    assert (FOLDER / "model.safetensors").stat().st_size <= 10_000_000
    assert (FOLDER / "learning-curve.png").stat().st_size <= 60_000


def test_the_card_says_what_the_figures_say() -> None:
    figures = json.loads((FOLDER / "figures.json").read_text(encoding="utf-8"))

    assert (FOLDER / "README.md").read_text(encoding="utf-8") == card.render(SETTINGS, figures)
