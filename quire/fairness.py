"""Virtual token counters (Sheng et al., "Fairness in Serving Large Language Models", arXiv 2401.00588).

Each lane carries a virtual time: the tokens of work it was served, divided by its tenant's weight. A claim serves
the backlogged lanes with the least. A job is charged its estimate when it is claimed, so that a lane cannot win
every slot before its first job ends, and corrected to the work done when the claim ends.
A book is charged as it goes, and gives way when a lane waits that was served less.
All work is charged, also what is recomputed or thrown away; only delivered text is billed (quire/store/ledger.py).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from quire.store.job import Run


def estimate(prompt_tokens: int, max_tokens: int, draws: int) -> int:
    """Work in tokens of a job that uses all it may: one prefill of the prompt and every draw to its end."""
    return prompt_tokens + max_tokens * draws


def work_of_claim(prompt_tokens: int, logged_tokens: int) -> int:
    """Work in tokens of one claim, from what it left in the log.

    What an earlier claim had logged was prefilled again by this one, so the whole log counts.
    """
    return prompt_tokens + logged_tokens


def work_unheard(prompt_tokens: int, max_tokens: int, estimated: int, logged_tokens: int) -> int:
    """Work in tokens of a claim whose worker was not heard: it died, or its job was cancelled.

    Draws of which the best is chosen in the end leave no log until then, and the log of a book is that of many
    claims. How far they were is not known, so such a job is charged its estimate.
    """
    if estimated != estimate(prompt_tokens, max_tokens, 1):
        return estimated
    return work_of_claim(prompt_tokens, logged_tokens)


@dataclass(frozen=True)
class Waiting:
    """A lane that has runnable jobs and may run so many more."""

    tenant_id: UUID
    virtual_time: float
    jobs: int


def giving_way(
    running: Mapping[Run, UUID], virtual_times: Mapping[UUID, float], waiting: Iterable[Waiting]
) -> list[Run]:
    """Return which of the running books, each with its tenant, give way: one for each job of a lane served less.

    The books of the lanes that were served most go first.
    """
    left = sorted(running, key=lambda run: (-virtual_times[running[run]], run))
    gone: list[Run] = []
    for lane in sorted(waiting, key=lambda lane: lane.virtual_time):
        for _ in range(lane.jobs):
            found = next((run for run in left if virtual_times[running[run]] > lane.virtual_time), None)
            if found is None:
                return gone
            gone.append(found)
            left.remove(found)
    return gone
