"""Which kind of jobs a checkpoint is for, and when a worker for music does not start."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from quire import testing
from quire.settings import Settings
from quire.store.job import Kind
from worker.engine import ModelRefused
from worker.kinds import FIELD, kind_of
from worker.service import Service


def folder(path: Path, **config: str) -> str:
    (path / "config.json").write_text(json.dumps({"model_type": "gpt2"} | config))
    return str(path)


def test_a_checkpoint_that_says_nothing_is_for_texts(tmp_path: Path) -> None:
    assert kind_of(folder(tmp_path)) is Kind.TEXT


def test_a_checkpoint_for_music_says_so(tmp_path: Path) -> None:
    assert kind_of(folder(tmp_path, **{FIELD: "music"})) is Kind.MUSIC


def test_a_kind_that_is_not_known_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="jobs of kind dance"):
        kind_of(folder(tmp_path, **{FIELD: "dance"}))


def test_a_model_that_cannot_write_tunes_is_not_served_for_music() -> None:
    settings = Settings(
        database_url="postgresql://nowhere", redis_url="redis://nowhere", master_keys=testing.MASTER_KEYS,
        models={"tiny": "nowhere"},
    )  # fmt: skip
    written = [b"", b"word"]
    tokenizer = SimpleNamespace(texts=["", "word"], written=lambda: written, end_ids=frozenset({0}), encode=list)
    engine = SimpleNamespace(tokenizer=tokenizer, vocab_size=2, context_length=8, slots=1, numerics=None)

    with pytest.raises(ModelRefused, match="tiny cannot make music: The vocabulary cannot write tunes"):
        Service(settings, engine, Kind.MUSIC)  # type: ignore[arg-type]
