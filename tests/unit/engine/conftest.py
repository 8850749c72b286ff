"""A tiny random GPT-2 with a byte-level tokenizer, and ways to run requests without a thread."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.engine import asking
from tests.unit.engine.asking import Answer
from worker.engine import Engine, Request, Sampling
from worker.engine.constraint import MakeConstraint
from worker.engine.loading import LoadedModel, load_model

CORPUS = [
    "the rose of the morning and the sea, a song of stone",
    "She walks in the night; the moon is low and the wind is cold.",
    "春眠不觉晓、处处闻啼鸟。 déjà vu — naïve café 🌹🌊",
    "winter comes, and the snow comes again, again and again.",
]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Matrices this small gain nothing from threads, which wait for each other by spinning."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


Run = Callable[..., list[Answer]]
MakeCheckpoint = Callable[..., Path]


@pytest.fixture(scope="session")
def make_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> MakeCheckpoint:
    """Return a factory of checkpoint folders; its keywords override the config."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    def make(**overrides: object) -> Path:
        folder = tmp_path_factory.mktemp("checkpoint")
        backend = Tokenizer(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
        backend.train_from_iterator(
            CORPUS,
            trainers.BpeTrainer(
                vocab_size=400,
                special_tokens=["<end>"],
                initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                show_progress=False,
            ),
        )
        PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<end>").save_pretrained(folder)
        settings = {
            "vocab_size": 400,
            "n_positions": 128,
            "n_embd": 64,
            "n_layer": 2,
            "n_head": 2,
            # Wide enough that greedy texts of a random model vary instead of repeating one token.
            "initializer_range": 0.4,
            "bos_token_id": 0,
            "eos_token_id": 0,
        }
        torch.manual_seed(7)
        GPT2LMHeadModel(GPT2Config(**{**settings, **overrides})).save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def checkpoint(make_checkpoint: MakeCheckpoint) -> Path:
    return make_checkpoint()


@pytest.fixture(scope="session")
def loaded(checkpoint: Path) -> LoadedModel:
    return load_model(str(checkpoint), kv_blocks=64, device="cpu")


@pytest.fixture
def engine(loaded: LoadedModel) -> Engine:
    """An engine of 8 slots whose thread is not started: tests call `step`."""
    return Engine(loaded, slots=8)


@pytest.fixture(scope="session", params=("native-fp32", "native-int8", "plain-fp32"))
def any_loaded(request: pytest.FixtureRequest, checkpoint: Path) -> LoadedModel:
    """The model on each backend in turn; those that promise the same bits in any company."""
    import torch

    kind, _, precision = request.param.partition("-")
    with pytest.MonkeyPatch.context() as patch:
        if kind == "plain":
            if not torch.backends.mkl.is_available():
                pytest.skip("torch without MKL promises nothing")
            patch.setattr("worker.engine.loading.kernels", lambda: None)
        loaded = load_model(str(checkpoint), kv_blocks=64, device="cpu", precision=precision, threads=2)
    name = loaded.model.backend.name
    assert name == request.param, "the kernels are not compiled: python -m worker.engine.native.build"
    assert loaded.numerics is not None
    return loaded


@pytest.fixture(scope="session")
def run() -> Run:
    """Return a function that submits requests at once and steps the engine until all have ended."""
    return asking.run


@pytest.fixture(scope="session")
def ask(loaded: LoadedModel) -> Callable[..., Request]:
    """Return a factory of requests: a prompt text, and any fields of Sampling."""

    def make(
        prompt: str = "the rose of ",
        *,
        generated: tuple[int, ...] = (),
        published: int = 0,
        constraint: MakeConstraint | None = None,
        deadline: float | None = None,
        **sampling: object,
    ) -> Request:
        return Request(
            prompt=tuple(loaded.tokenizer.encode(prompt)),
            sampling=Sampling(**{"seed": 1, "max_tokens": 24, **sampling}),
            generated=generated,
            published=published,
            constraint=constraint,
            deadline=deadline,
        )

    return make


@pytest.fixture(scope="session")
def word_piece_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer as Chinese GPT-2s have it: one word piece a character, decoded with spaces between."""
    from transformers import BertTokenizer

    folder = tmp_path_factory.mktemp("word-pieces")
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [*"春眠不觉晓、。处闻啼鸟", "walk", "##ing", "stone", "the", *"abcdefghij"]
    (folder / "vocab.txt").write_text("\n".join([*special, *words]))
    BertTokenizer(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    return folder
