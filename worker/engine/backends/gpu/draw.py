"""The draw of a step on the device, in the order of `sampler`, without waiting for it."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from worker.engine.backends.gpu.edits import Draws, Edits
from worker.engine.backends.gpu.history import History
from worker.engine.backends.gpu.pick import pick
from worker.engine.backends.gpu.slots import Needs, Slots
from worker.engine.backends.gpu.transfers import padded, to_device, to_host
from worker.engine.sampler import Drawn, Row

Top = Sequence[tuple[tuple[int, float], ...]]


class DeviceDraw:
    """Draws for one running batch; what it knows of the sequences it knows by their slots."""

    def __init__(self, history: History, device: torch.device) -> None:
        self._history = history
        self._device = device
        self._slots = Slots(history, device)
        self._edits = Edits(self._slots, history, device)

    @torch.inference_mode()
    def begin(self, logits: Tensor, rows: Sequence[Row], end_ids: frozenset[int]) -> Callable[[], list[Drawn]]:
        """Begin to draw a token for each of `rows`, all of different slots; what is returned waits for them."""
        draws, uniforms = self._send(rows)
        scores = self._edits.scores(logits, draws, end_ids)
        picked = pick(
            logits,
            scores,
            draws.device_slots,
            draws.device_lengths,
            uniforms,
            draws.settings,
            self._history.tokens,
        )
        drawn = to_host(picked[:2])
        top = self._top(logits, picked[2].view(torch.float32), draws)

        def wait() -> list[Drawn]:
            tokens, bits = drawn()[:, : len(rows)]
            logprobs = bits.view(torch.float32).tolist()
            found = [token if token >= 0 else None for token in tokens.tolist()]
            return list(map(Drawn._make, zip(found, logprobs, top(), strict=True)))

        return wait

    def _send(self, rows: Sequence[Row]) -> tuple[Draws, Tensor]:
        """Send what differs from step to step: slots, lengths and uniform numbers, in one piece."""
        count, columns = len(rows), padded(len(rows))
        piece = np.zeros((2, columns))
        slots, lengths = piece[1].view(np.int32).reshape(2, columns)[:, :count]
        slots[:] = [row.slot for row in rows]
        lengths[:] = [row.length for row in rows]
        settings = self._slots.enter(rows, slots, lengths)
        piece[0, :count] = self._slots.uniforms(slots, lengths, [len(row.masked) for row in rows])
        sent = to_device(piece, self._device)
        device_slots, device_lengths = sent[1].view(torch.int32).view(2, columns)[:, :count]
        return Draws(rows, slots, lengths, device_slots, device_lengths, settings), sent[0, :count]

    def _top(self, logits: Tensor, totals: Tensor, draws: Draws) -> Callable[[], Top]:
        """Begin to find the most probable tokens for the rows that ask for them.

        `totals`: what a row's logits lie above their log-probabilities. torch's own log_softmax adds up a row in
        another order when it lies elsewhere in memory.
        """
        counts = [row.sampling.logprobs or 0 for row in draws.rows] if self._asked(draws) else []
        asking = [i for i, count in enumerate(counts) if count]
        if not asking:
            return lambda: [()] * len(draws.rows)
        index = to_device(np.array(asking, np.int64), self._device)
        best = logits[index].topk(min(max(counts), logits.shape[1]), dim=-1)
        tokens, values = to_host(best.indices), to_host(best.values - totals[index, None])

        def wait() -> Top:
            found: list[tuple[tuple[int, float], ...]] = [()] * len(draws.rows)
            for i, ids, logprobs in zip(asking, tokens().tolist(), values().tolist(), strict=True):
                found[i] = tuple(zip(ids[: counts[i]], logprobs[: counts[i]], strict=True))
            return found

        return wait

    def _asked(self, draws: Draws) -> bool:
        return bool((self._slots.needs[draws.slots] & Needs.LOGPROBS).any())
