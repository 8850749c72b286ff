import sys

import pytest

from training import __main__ as steps
from training import config


def test_every_step_names_a_function_that_exists() -> None:
    import importlib

    for kind in ("text", "tunes"):
        for step in steps.STEPS.values():
            module = importlib.import_module(step.module.format(kind=kind))
            assert callable(getattr(module, step.function))


@pytest.mark.parametrize("name", ["text", "tunes"])
def test_a_configuration_is_whole_and_fits_its_network(name: str) -> None:
    settings = config.load(config.HERE / f"{name}.toml")

    assert settings.kind == name
    assert settings.model.width % settings.model.heads == 0
    assert settings.training.rows % settings.training.rows_at_once == 0
    assert settings.evaluation.sample_tokens < settings.model.positions
    assert len(settings.evaluation.prompts) == 10


@pytest.mark.parametrize("words", [[], ["opera"], ["tunes", "sing"]])
def test_an_unknown_checkpoint_or_step_is_refused(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["training", *words])

    with pytest.raises(SystemExit, match="usage: python -m training"):
        steps.main()
