"""Steps 1 to 5 of `sampler` on the device: what changes single scores before a token is drawn.

Most draws need none of them; then the logits are passed on as they are.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worker.engine.backends.gpu.history import History
from worker.engine.backends.gpu.slots import Needs, Setting, Slots
from worker.engine.backends.gpu.transfers import to_device
from worker.engine.sampler import Row


@dataclass(frozen=True, slots=True)
class Draws:
    """The draws of a step: the rows, and by row their slots and lengths on the host and on the device.

    `settings`: by slot, on the device.
    """

    rows: Sequence[Row]
    slots: NDArray[np.int32]
    lengths: NDArray[np.int32]
    device_slots: Tensor
    device_lengths: Tensor
    settings: Tensor


class Edits:
    """Keeps what it sent until the sequences change that it was sent for."""

    def __init__(self, slots: Slots, history: History, device: torch.device) -> None:
        self._slots = slots
        self._history = history
        self._device = device
        self._kept: dict[str, tuple[bytes, Tensor]] = {}
        self._ends: dict[frozenset[int], Tensor] = {}

    def scores(self, logits: Tensor, draws: Draws, end_ids: frozenset[int]) -> Tensor:
        """Return the scores after step 5; `logits` itself if nothing changes them, else it is left as it was."""
        needs = self._slots.needs[draws.slots]
        settings = self._slots.settings[draws.slots]
        short = draws.lengths - settings[:, Setting.PROMPT_LENGTH] < settings[:, Setting.MIN_TOKENS]
        special = [i for i, row in enumerate(draws.rows) if row.masked or row.allowed is not None]
        changed = needs & (Needs.BIAS | Needs.PENALTY | Needs.NEVER)
        if not (special or changed.any() or (end_ids and short.any())):
            return logits
        scores = _copy(logits)
        if (biased := np.flatnonzero(needs & Needs.BIAS)).size:
            self._bias(scores, draws, biased)
        if (penalised := np.flatnonzero(needs & Needs.PENALTY)).size:
            self._penalise(scores, draws, penalised)
        if end_ids and short.any():
            self._mask_ends(scores, draws, end_ids)
        if (never := np.flatnonzero(needs & Needs.NEVER)).size:
            self._mask_never(scores, draws, never)
        _mask_rejected(scores, [(i, draws.rows[i].masked) for i in special])
        _mask_forbidden(scores, {i: allowed for i in special if (allowed := draws.rows[i].allowed) is not None})
        return scores

    def _bias(self, scores: Tensor, draws: Draws, chosen: NDArray[np.intp]) -> None:
        def values() -> NDArray[np.float32]:
            biases = [draws.rows[i].sampling.logit_bias.values() for i in chosen]
            return np.array([value for of_row in biases for value in of_row], np.float32)

        places = self._sent(
            "biased",
            draws,
            chosen,
            lambda: _places((i, list(draws.rows[i].sampling.logit_bias)) for i in chosen),
        )
        # No token is named twice in a row.
        scores[places[0], places[1]] += self._sent("biases", draws, chosen, values)

    def _penalise(self, scores: Tensor, draws: Draws, chosen: NDArray[np.intp]) -> None:
        """Change scores by old value and count alone: what stands twice is written twice, the same each time."""
        rows = self._sent("penalised", draws, chosen, lambda: chosen)
        slots, lengths = draws.device_slots[rows], draws.device_lengths[rows, None]
        settings = draws.settings[slots]
        tokens = self._history.tokens[slots, : int(draws.lengths[chosen].max())]
        at = torch.arange(tokens.shape[1], device=self._device)
        # Past the end stands the first token once more.
        tokens = torch.where(at < lengths, tokens, tokens[:, :1])
        generated = (at >= settings[:, Setting.PROMPT_LENGTH, None]) & (at < lengths)
        counts = torch.zeros((len(chosen), scores.shape[1]), device=self._device)
        counts = counts.scatter_add_(1, tokens, generated.float()).gather(1, tokens)

        factor = settings[:, Setting.REPETITION, None].float()
        old = scores[rows[:, None], tokens]
        repeated = torch.where(old < 0, old * factor, old / factor)
        presence, frequency = settings[:, Setting.PRESENCE, None], settings[:, Setting.FREQUENCY, None]
        present = torch.where(counts > 0, presence + counts * frequency, 0.0)
        scores[rows[:, None], tokens] = repeated - present.float()

    def _mask_ends(self, scores: Tensor, draws: Draws, end_ids: frozenset[int]) -> None:
        if end_ids not in self._ends:
            self._ends = {end_ids: to_device(np.array(sorted(end_ids), np.int64), self._device)}
        ends, settings = self._ends[end_ids], draws.settings[draws.device_slots]
        short = draws.device_lengths - settings[:, Setting.PROMPT_LENGTH] < settings[:, Setting.MIN_TOKENS]
        scores[:, ends] = scores[:, ends].masked_fill(short[:, None], -torch.inf)

    def _mask_never(self, scores: Tensor, draws: Draws, chosen: NDArray[np.intp]) -> None:
        never = ((i, draws.rows[i].never) for i in chosen)
        places = self._sent(
            "never", draws, chosen, lambda: _places((i, ids) for i, ids in never if ids is not None)
        )
        scores[places[0], places[1]] = -torch.inf

    def _sent(
        self, name: str, draws: Draws, chosen: NDArray[np.intp], values: Callable[[], NDArray[np.generic]]
    ) -> Tensor:
        """Return what was sent under this name for the same sequences in the same rows, else send `values`."""
        key = chosen.tobytes() + self._slots.serials[draws.slots[chosen]].tobytes()
        kept = self._kept.get(name)
        if kept is None or kept[0] != key:
            kept = self._kept[name] = (key, to_device(values(), self._device))
        return kept[1]


def _copy(logits: Tensor) -> Tensor:
    """Return a copy whose rows begin where those of `logits` do, so that wide loads stay possible."""
    columns = max(logits.stride(0), logits.shape[1])
    copied = torch.empty((len(logits), columns), dtype=logits.dtype, device=logits.device)[:, : logits.shape[1]]
    return copied.copy_(logits)


def _mask_rejected(scores: Tensor, rejected: Sequence[tuple[int, Sequence[int]]]) -> None:
    if any(tokens for _, tokens in rejected):
        places = to_device(_places(rejected), scores.device)
        scores[places[0], places[1]] = -torch.inf


def _mask_forbidden(scores: Tensor, allowed: Mapping[int, NDArray[np.bool_]]) -> None:
    """Mask what the constraints of some rows do not allow."""
    if allowed:
        index = to_device(np.array(list(allowed)), scores.device)
        masks = to_device(np.stack(list(allowed.values())), scores.device)
        scores[index] = scores[index].masked_fill(~masks, -torch.inf)


def _places(tokens: Iterable[tuple[int, Sequence[int] | NDArray[np.int64]]]) -> NDArray[np.int64]:
    """Return the rows and the tokens (2, places)."""
    pairs = [(row, np.asarray(of_row, np.int64)) for row, of_row in tokens]
    rows = np.repeat([row for row, _ in pairs], [len(of_row) for _, of_row in pairs])
    return np.stack([rows, np.concatenate([of_row for _, of_row in pairs])])
