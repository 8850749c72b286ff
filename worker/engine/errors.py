"""What the engine can answer besides a result.

EngineError
├── EngineStopped     the engine was stopped while the request waited or ran
├── EngineCancelled   the request was cancelled
├── EngineExpired     the request's deadline passed
├── EngineDead        the engine's thread died of an error (its cause)
└── ModelRefused      the checkpoint cannot be run; the message is one sentence for the operator
"""


class EngineError(Exception):
    pass


class EngineStopped(EngineError):
    """The engine was stopped."""

    def __init__(self) -> None:
        super().__init__("the engine was stopped")


class EngineCancelled(EngineError):
    """The request was cancelled."""

    def __init__(self) -> None:
        super().__init__("the request was cancelled")


class EngineExpired(EngineError):
    """The request's deadline passed before its text was finished."""

    def __init__(self) -> None:
        super().__init__("the request's deadline passed")


class EngineDead(EngineError):
    """The engine's thread died; `__cause__` is the error it died of."""

    def __init__(self) -> None:
        super().__init__("the engine died")


class ModelRefused(EngineError):
    """The checkpoint cannot be run here."""
