"""A model for tunes that knows nothing: random weights, and a tokenizer trained on a handful of bars."""

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from worker.kinds import FIELD

END = "<|endoftext|>"
BARS = [
    "|:D|GAB cBA|B2G GAB|c2e dBG|A3 A2:|\n",
    "EGBg e2dB|AcBA GFED|E2 G>B A/B/c (3def|g4 f2z2|]\n",
    "A2 d>c|d'2 c'b|^f3/2g/2 =f _e|1 G,4 A,2:|2 B,4 C6 D8|]",
]
CONTEXT = 1024


def tiny_tunes(folder: Path, *, vocabulary: int = 300, context: int = CONTEXT) -> Path:
    """Save such a checkpoint; it is the same every time."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trained.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trained.train_from_iterator(
        BARS, trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=[END], initial_alphabet=alphabet)
    )
    PreTrainedTokenizerFast(tokenizer_object=trained, eos_token=END).save_pretrained(folder)
    torch.manual_seed(7)
    config = GPT2Config(
        vocab_size=trained.get_vocab_size(), n_positions=context, n_embd=32, n_layer=1, n_head=2,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    GPT2LMHeadModel(config).save_pretrained(folder)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {FIELD: "music"}))
    return folder
