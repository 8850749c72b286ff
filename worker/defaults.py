"""How a checkpoint is drawn from where a request does not say: as its generation_config.json has it."""

import json
from pathlib import Path

from pydantic import ValidationError
from transformers.utils import GENERATION_CONFIG_NAME
from transformers.utils.hub import cached_file

from quire.spec import Parameters
from worker.engine import ModelRefused

OWN = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")


def sampling_of(source: str) -> dict[str, float]:
    """Return what a checkpoint, a local folder or a hub id, says of sampling; nothing if it is not to sample.

    Raises:
        ModelRefused: the file cannot be read, or a value is outside of what a request may ask for.

    """
    path = cached_file(source, GENERATION_CONFIG_NAME, _raise_exceptions_for_missing_entries=False)
    if path is None:
        return {}
    try:
        said = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelRefused(f"the {GENERATION_CONFIG_NAME} of {source} is no JSON: {error}") from error
    if not isinstance(said, dict):
        raise ModelRefused(f"the {GENERATION_CONFIG_NAME} of {source} is no JSON object")
    if not said.get("do_sample"):
        return {}
    found = {name: said[name] for name in OWN if said.get(name) is not None}
    try:
        return Parameters.model_validate(found).model_dump(include=set(found))
    except ValidationError as error:
        wrong = error.errors()[0]
        value = f"{wrong['loc'][0]} {wrong['input']!r}"
        raise ModelRefused(f"the {GENERATION_CONFIG_NAME} of {source} has {value}: {wrong['msg']}") from None
