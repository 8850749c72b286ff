"""Which kind of jobs a checkpoint is for: its config.json says so by `quire_kind`; without it, text."""

from transformers import PretrainedConfig

from quire.store.job import Kind
from worker.engine import ModelRefused

FIELD = "quire_kind"


def kind_of(source: str) -> Kind:
    """Return the kind of a checkpoint, a local folder or a hub id.

    Raises:
        ModelRefused: it names one that is not known here.

    """
    config, _ = PretrainedConfig.get_config_dict(source)
    named = config.get(FIELD, Kind.TEXT.value)
    try:
        return Kind(named)
    except ValueError:
        raise ModelRefused(f"{source} is for jobs of kind {named}, which this version does not know") from None
