"""Learn the byte-level BPE vocabulary, and write every document as token ids.

Byte-level without a prefix space and without any clean-up, so that decoding an
encoded text gives the very same text, whatever its script.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from rich.progress import track
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from training import config, documents

AT_ONCE = 20_000
"""Documents encoded together: the tokenizer uses all cores on them."""


def learn(texts: Iterable[str], settings: config.Vocabulary) -> Tokenizer:
    """Learn the merges; id 0 is the end-of-text mark, all 256 bytes are in the alphabet.

    Merges never cross the pieces that the pattern `pieces` cuts a text into.
    """
    tokenizer = Tokenizer(models.BPE())
    pieces = pre_tokenizers.Split(Regex(settings.pieces), behavior="isolated")
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pieces, plain])
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


def run(settings: config.Config) -> None:
    """Write `tokenizer.json`, learnt on every n-th training document."""
    found = documents.read(settings.work / "train.jsonl")
    sample = (d.text for i, d in enumerate(found) if i % settings.vocabulary.sample_every == 0)
    tokenizer = learn(sample, settings.vocabulary)
    tokenizer.save(str(settings.work / "tokenizer.json"))
    print(f"vocabulary: {tokenizer.get_vocab_size():,} entries", flush=True)


def batches(path: Path) -> Iterator[list[documents.Document]]:
    """Documents in groups of `AT_ONCE`."""
    group: list[documents.Document] = []
    for document in documents.read(path):
        group.append(document)
        if len(group) == AT_ONCE:
            yield group
            group = []
    if group:
        yield group


def encode(settings: config.Config) -> None:
    """Write `{part}.npy`, uint16 (tokens,), each document ended by id 0, and `{part}.domains.npy`, one a document.

    `encoded.json` names the domains, in the order of their numbers, and counts the tokens.
    """
    tokenizer = Tokenizer.from_file(str(settings.work / "tokenizer.json"))
    end = tokenizer.token_to_id(config.END_OF_TEXT)
    names: list[str] = []
    counts: dict[str, dict[str, int]] = {}
    for part in documents.PARTS:
        pieces, kinds = [], []
        sizes: dict[str, int] = {}
        for group in track(batches(settings.work / f"{part}.jsonl"), f"encode: {part}"):
            encoded = tokenizer.encode_batch_fast([document.text for document in group])
            for document, encoding in zip(group, encoded, strict=True):
                if document.domain not in names:
                    names.append(document.domain)
                kinds.append(names.index(document.domain))
                pieces.append(np.array([*encoding.ids, end], dtype=np.uint16))
                sizes[document.domain] = sizes.get(document.domain, 0) + len(pieces[-1])
        np.save(settings.work / f"{part}.npy", np.concatenate(pieces))
        np.save(settings.work / f"{part}.domains.npy", np.array(kinds, dtype=np.uint8))
        counts[part] = sizes
        print(f"encode: {sum(sizes.values()):,} {part} tokens: {sizes}", flush=True)
    (settings.work / "encoded.json").write_text(json.dumps({"domains": names, "tokens": counts}), encoding="utf-8")
