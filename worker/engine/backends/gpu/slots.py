"""What the draws of each slot's sequence depend on, on the host and on the device.

All of it follows from the request, so it is sent when a sequence comes to its slot and not at every step.
"""

from collections.abc import Sequence
from enum import IntEnum, IntFlag

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worker.engine.backends.gpu.history import History
from worker.engine.backends.gpu.transfers import to_device
from worker.engine.draws import uniforms_at
from worker.engine.request import Sampling
from worker.engine.sampler import Row


class Setting(IntEnum):
    """Columns of the table of settings, which holds float64."""

    TEMPERATURE = 0
    TOP_K = 1
    TOP_P = 2
    MIN_P = 3
    REPETITION = 4
    PRESENCE = 5
    FREQUENCY = 6
    MIN_TOKENS = 7
    PROMPT_LENGTH = 8


class Needs(IntFlag):
    """What a sequence asks for besides a plain draw."""

    NOTHING = 0
    BIAS = 1
    PENALTY = 2
    NEVER = 4
    LOGPROBS = 8


class Slots:
    """The sequences that were drawn for last, by slot."""

    def __init__(self, history: History, device: torch.device) -> None:
        self._history = history
        self._device = device
        self._occupants: list[tuple[Sequence[int], Sampling] | None] = []
        self.settings: NDArray[np.float64] = np.zeros((0, len(Setting)))
        self.needs: NDArray[np.uint8] = np.zeros(0, np.uint8)
        # Another number for each sequence, so that what was sent for a group of them is known again.
        self.serials: NDArray[np.int64] = np.zeros(0, np.int64)
        self._streams: NDArray[np.uint32] = np.zeros(
            (0, 4), np.uint32
        )  # sample, retry, and the halves of the seed
        self._noted: NDArray[np.int64] = np.zeros(0, np.int64)  # up to which position the history holds all tokens
        self._entered = 0
        self._sent = to_device(self.settings, device)

    def enter(self, rows: Sequence[Row], slots: NDArray[np.int32], lengths: NDArray[np.int32]) -> Tensor:
        """Note whose draws come next; return the settings by slot on the device."""
        self._fit(int(slots.max()) + 1, int(lengths.max()) + 1)
        # The list of its tokens is what a sequence keeps as long as it lives.
        fresh = [
            row
            for row in rows
            if (known := self._occupants[row.slot]) is None
            or known[0] is not row.ids
            or known[1] is not row.sampling
        ]
        for row in fresh:
            self._take(row)
        if fresh:
            self._sent = to_device(self.settings, self._device)
        self._note(rows, slots, lengths)
        return self._sent

    def uniforms(
        self, slots: NDArray[np.int32], lengths: NDArray[np.int32], attempts: Sequence[int]
    ) -> NDArray[np.float64]:
        """Return the uniform number of each draw."""
        streams = self._streams[slots]
        positions = lengths - self.settings[slots, Setting.PROMPT_LENGTH].astype(np.int64)
        counter = np.column_stack([positions, attempts, streams[:, 0], streams[:, 1]]).astype(np.uint32)
        return uniforms_at(counter, streams[:, 2:])

    def _fit(self, slots: int, positions: int) -> None:
        self._history.fit(slots, positions)
        if (missing := slots - len(self._occupants)) > 0:
            self._occupants += [None] * missing
            self.settings = np.pad(self.settings, ((0, missing), (0, 0)))
            self._streams = np.pad(self._streams, ((0, missing), (0, 0)))
            self.needs = np.pad(self.needs, (0, missing))
            self.serials = np.pad(self.serials, (0, missing))
            self._noted = np.pad(self._noted, (0, missing))

    def _take(self, row: Row) -> None:
        sampling, slot = row.sampling, row.slot
        self._occupants[slot] = (row.ids, sampling)
        self.settings[slot] = (
            sampling.temperature,
            sampling.top_k,
            sampling.top_p,
            sampling.min_p,
            sampling.repetition_penalty,
            sampling.presence_penalty,
            sampling.frequency_penalty,
            sampling.min_tokens,
            row.prompt_length,
        )
        words = (sampling.sample, sampling.retry, sampling.seed, sampling.seed >> 32)
        self._streams[slot] = [word & 0xFFFFFFFF for word in words]
        self.needs[slot] = _needs(row)
        self._entered += 1
        self.serials[slot] = self._entered
        self._noted[slot] = 0

    def _note(self, rows: Sequence[Row], slots: NDArray[np.int32], lengths: NDArray[np.int32]) -> None:
        """Send the tokens that penalties must see and the device has not; the draw notes its own."""
        lacking = (self.needs[slots] & Needs.PENALTY != 0) & (self._noted[slots] < lengths)
        for i in np.flatnonzero(lacking).tolist():
            ids = rows[i].ids
            self._history.tokens[rows[i].slot, : len(ids)] = to_device(np.array(ids, np.int64), self._device)
        self._noted[slots] = lengths + 1


def _needs(row: Row) -> Needs:
    sampling = row.sampling
    penalties = (sampling.repetition_penalty - 1, sampling.presence_penalty, sampling.frequency_penalty)
    return (
        (Needs.BIAS if sampling.logit_bias else Needs.NOTHING)
        | (Needs.PENALTY if any(penalties) else Needs.NOTHING)
        | (Needs.NEVER if row.never is not None and len(row.never) else Needs.NOTHING)
        | (Needs.LOGPROBS if sampling.logprobs else Needs.NOTHING)
    )
