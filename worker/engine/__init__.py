"""Runs GPT-2 models: many requests in one batch, each text a function of its seed and tokens.

It speaks token ids and knows no job, database, queue or web. Start at `engine.py`.
"""

# First, before anything imports torch.
from worker.engine import strict  # noqa: F401 - imported for its effect

# isort: split

from worker.engine.constraint import Constraint, MakeConstraint
from worker.engine.engine import Engine
from worker.engine.errors import (
    EngineCancelled,
    EngineDead,
    EngineError,
    EngineExpired,
    EngineStopped,
    ModelRefused,
)
from worker.engine.request import Delta, EngineStats, Finished, Request, Sampling, TokenLogprob
from worker.engine.tokenizer import Tokenizer

__all__ = [
    "Constraint",
    "Delta",
    "Engine",
    "EngineCancelled",
    "EngineDead",
    "EngineError",
    "EngineExpired",
    "EngineStats",
    "EngineStopped",
    "Finished",
    "MakeConstraint",
    "ModelRefused",
    "Request",
    "Sampling",
    "TokenLogprob",
    "Tokenizer",
]
