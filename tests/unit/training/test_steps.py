import sys

import pytest

from training import __main__ as steps
from training import config
from training.text import shares


def test_every_step_names_a_function_that_exists() -> None:
    import importlib

    for kind in ("text", "tunes"):
        for step in steps.STEPS.values():
            module = importlib.import_module(step.module.format(kind=kind))
            assert callable(getattr(module, step.function))


@pytest.mark.parametrize(
    ("name", "kind"), [("bilingual", "text"), ("english", "text"), ("chinese", "text"), ("tunes", "tunes")]
)
def test_a_configuration_is_whole_and_fits_its_network(name: str, kind: str) -> None:
    settings = config.load(config.HERE / f"{name}.toml")

    assert settings.kind == kind
    assert settings.model.width % settings.model.heads == 0
    assert settings.training.rows % settings.training.rows_at_once == 0
    assert settings.evaluation.sample_tokens < settings.model.positions
    assert len(settings.evaluation.prompts) == 10


@pytest.mark.parametrize(("name", "languages"), [("bilingual", "en zh"), ("english", "en"), ("chinese", "zh")])
def test_a_text_checkpoint_has_the_languages_of_its_corpus(name: str, languages: str) -> None:
    read = shares.read(config.load(config.HERE / f"{name}.toml").corpus)

    assert [language for language in ("en", "zh") if getattr(read, language)] == languages.split()


def test_a_language_that_no_corpus_has_is_refused() -> None:
    with pytest.raises(TypeError, match=r"not \['fr'\]"):
        shares.read({"fr": {}})


@pytest.mark.parametrize("words", [[], ["opera"], ["tunes", "sing"]])
def test_an_unknown_checkpoint_or_step_is_refused(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["training", *words])

    with pytest.raises(SystemExit, match="usage: python -m training"):
        steps.main()
