"""How a checkpoint is drawn from where a request does not say."""

from pathlib import Path

import pytest

from worker.defaults import sampling_of
from worker.engine import ModelRefused


def folder(path: Path, text: str) -> str:
    (path / "generation_config.json").write_text(text)
    return str(path)


def test_what_the_checkpoint_says_is_taken(tmp_path: Path) -> None:
    said = '{"do_sample": true, "temperature": 0.8, "top_k": 40, "top_p": null, "eos_token_id": 0}'

    assert sampling_of(folder(tmp_path, said)) == {"temperature": 0.8, "top_k": 40}


@pytest.mark.parametrize("said", ["{}", '{"temperature": 0.8}', '{"do_sample": false, "temperature": 0.8}'])
def test_a_checkpoint_that_is_not_to_sample_says_nothing(tmp_path: Path, said: str) -> None:
    assert sampling_of(folder(tmp_path, said)) == {}


def test_values_are_of_the_types_that_requests_have(tmp_path: Path) -> None:
    found = sampling_of(folder(tmp_path, '{"do_sample": true, "temperature": 1, "top_k": 40.0}'))

    assert [(name, type(value)) for name, value in found.items()] == [("temperature", float), ("top_k", int)]


def test_a_checkpoint_without_the_file_says_nothing(tmp_path: Path) -> None:
    assert sampling_of(str(tmp_path)) == {}


@pytest.mark.parametrize("said", ['{"do_samp', "[]"])
def test_a_file_that_is_no_json_object_is_refused(tmp_path: Path, said: str) -> None:
    with pytest.raises(ModelRefused, match="is no JSON"):
        sampling_of(folder(tmp_path, said))


def test_a_value_that_no_request_may_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="has temperature 7: Input should be less than or equal to 2"):
        sampling_of(folder(tmp_path, '{"do_sample": true, "temperature": 7}'))
