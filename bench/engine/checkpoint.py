"""`python -m bench.engine.checkpoint`: makes a GPT-2 of random weights, its tokenizer, its form for CTranslate2.

The weights decide nothing about speed; the shape is that of the published 124M checkpoint unless told otherwise.
"""

import argparse
import importlib
import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree
from string import ascii_lowercase
from typing import Any

from bench.engine.options import Options
from quire.settings import REPOSITORY

SEED = 20260101
CONTEXT = 1024
HEAD_SIZE = 64
END_OF_TEXT = "<|endoftext|>"
BLANK = "Ġ"  # how byte-level vocabularies write it
CONVERTED = "ctranslate2"


def made(options: Options, *, vocabulary: int | None = None, cache: Path | None = None) -> Path:
    """Return the folder of the checkpoint, which a process of its own makes if it is not there."""
    size = vocabulary or options.vocabulary
    folder = (cache or options.cache) / f"gpt2-{options.layers}x{options.width}-{size}"
    if not folder.is_dir():
        print(f"making a random GPT-2 of {options.layers} layers and {size:,} tokens", flush=True)
        shape = ["--layers", str(options.layers), "--width", str(options.width), "--vocabulary", str(size)]
        subprocess.run(
            [sys.executable, "-m", "bench.engine.checkpoint", str(folder), *shape], cwd=REPOSITORY, check=True
        )
    return folder


def converted(folder: Path) -> Path:
    """Return the folder of the same checkpoint in CTranslate2's form, likewise."""
    target = folder / CONVERTED
    if not target.is_dir():
        command = [sys.executable, "-m", "bench.engine.checkpoint", str(folder), "--convert"]
        subprocess.run(command, cwd=REPOSITORY, check=True)
    return target


def merges() -> Iterator[tuple[str, str]]:
    """Yield more byte-pair merges than needed: all words of three letters first, so that each is a token."""
    pairs = ["".join(pair) for pair in itertools.product(ascii_lowercase, repeat=2)]
    yield from ((BLANK, letter) for letter in ascii_lowercase)
    yield from itertools.product(ascii_lowercase, repeat=2)
    yield from ((BLANK + letter, pair) for letter in ascii_lowercase for pair in pairs)
    yield from itertools.product(pairs, repeat=2)


def write_tokenizer(folder: Path, vocabulary: int) -> None:
    """Write a byte-level tokenizer of GPT-2's kind, made-up merges in place of learnt ones."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers  # noqa: PLC0415 - see `_write_model`
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    chosen = list(itertools.islice(merges(), vocabulary - len(alphabet) - 1))
    tokens = [*alphabet, *(left + right for left, right in chosen), END_OF_TEXT]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=chosen))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = dict.fromkeys(("bos_token", "eos_token", "unk_token"), END_OF_TEXT)
    wrapper: Any = PreTrainedTokenizerFast
    wrapper(tokenizer_object=tokenizer, **special).save_pretrained(folder)


def _write_model(folder: Path, *, layers: int, width: int, vocabulary: int) -> None:
    # Imported here: the driver imports this module, and has no use for torch.
    import torch  # noqa: PLC0415
    from transformers import GPT2Config, GPT2LMHeadModel  # noqa: PLC0415

    torch.manual_seed(SEED)
    config = GPT2Config(
        vocab_size=vocabulary,
        n_positions=CONTEXT,
        n_layer=layers,
        n_embd=width,
        n_head=width // HEAD_SIZE,
        bos_token_id=vocabulary - 1,
        eos_token_id=vocabulary - 1,
    )
    GPT2LMHeadModel(config).save_pretrained(folder)


def _convert(folder: Path, target: Path) -> None:
    converters = importlib.import_module("ctranslate2.converters")
    converters.TransformersConverter(str(folder)).convert(str(target))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--vocabulary", type=int, default=50257)
    parser.add_argument("--convert", action="store_true", help="only convert what is there")
    given = parser.parse_args()
    target = given.folder / CONVERTED if given.convert else given.folder
    # Under another name until it is whole, so that an interrupted run leaves nothing that looks finished.
    unfinished = target.with_name(f"{target.name}.unfinished")
    rmtree(unfinished, ignore_errors=True)
    if given.convert:
        _convert(given.folder, unfinished)
    else:
        unfinished.mkdir(parents=True)
        write_tokenizer(unfinished, given.vocabulary)
        _write_model(unfinished, layers=given.layers, width=given.width, vocabulary=given.vocabulary)
    unfinished.rename(target)


if __name__ == "__main__":
    main()
