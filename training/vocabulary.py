"""Learn the byte-level BPE vocabulary and write every document as token ids.

Byte-level without a prefix space and without any clean-up, so that decoding an
encoded text gives the very same text, whatever its script.
"""

from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from training import config
from training.documents import read_documents

FOLDER = config.WORK / "vocabulary"


def learn(texts: list[str], settings: config.Vocabulary) -> Tokenizer:
    """Learn the merges; id 0 is the end-of-text mark, all 256 bytes are in the alphabet."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=settings.size,
        min_frequency=settings.least_frequency,
        special_tokens=[config.END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def save(tokenizer: Tokenizer, folder: Path, positions: int) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json` for `AutoTokenizer`."""
    PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        bos_token=config.END_OF_TEXT,
        eos_token=config.END_OF_TEXT,
        pad_token=config.END_OF_TEXT,
        model_max_length=positions,
        clean_up_tokenization_spaces=False,
    ).save_pretrained(folder)


def write_tokens(tokenizer: Tokenizer, name: str) -> int:
    """Write `build/{name}.npy`, uint16 (tokens,), each document ended by id 0; return its length."""
    end = tokenizer.token_to_id(config.END_OF_TEXT)
    encoded = tokenizer.encode_batch_fast(read_documents(name))
    tokens = np.concatenate([np.array([*e.ids, end], dtype=np.uint16) for e in encoded])
    np.save(config.WORK / f"{name}.npy", tokens)
    return len(tokens)


def main() -> None:
    """Write `build/vocabulary/` and the token files of both parts."""
    settings = config.load()
    texts = read_documents("train")[:: settings.vocabulary.sample_every]
    tokenizer = learn(texts, settings.vocabulary)
    save(tokenizer, FOLDER, settings.model.positions)
    for name in ("train", "validation"):
        print(f"vocabulary: {write_tokens(tokenizer, name):,} {name} tokens", flush=True)


if __name__ == "__main__":
    main()
