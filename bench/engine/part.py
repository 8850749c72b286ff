"""What every part of the benchmark gives back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.report import Figure


@dataclass(frozen=True)
class Measured:
    """The figures of one part, and what is worth knowing about how they came about."""

    figures: Sequence[Figure]
    notes: Mapping[str, str] = field(default_factory=dict)
