"""How long it took after each fault until things went on, from the audit and the clients' log."""

import statistics
from collections.abc import Iterable, Sequence

from chaos.evidence import Evidence, Step
from chaos.faults import Injected
from chaos.figures import Figure, label
from chaos.history import SUBMIT, Event


def recoveries(
    injected: Iterable[Injected], events: Sequence[Event], evidence: Evidence
) -> dict[str, list[float]]:
    """Return by fault the seconds until all was well again, one for each time that it hit something."""
    found: dict[str, list[float]] = {}
    steps = evidence.steps
    for fault in injected:
        times = found.setdefault(fault.name, [])
        if fault.skipped:
            continue
        if fault.back == "hit jobs run again":
            seconds = _runs_again(fault, steps)
        elif fault.back == "new jobs start":
            seconds = _starts(fault, steps)
        else:
            answers = (event.at for event in events if event.what == SUBMIT and event.accepted)
            seconds = min((at - fault.at for at in answers if at > fault.at), default=None)
        if seconds is not None:
            times.append(seconds)
    return found


def _runs_again(fault: Injected, steps: Iterable[Step]) -> float | None:
    """Until the last of the jobs it hit was claimed again; None if none was."""
    hit = set(fault.hit)
    again: dict[str, float] = {}
    for step in steps:
        if step.job in hit and step.new_state == "running" and step.at > fault.at:
            again.setdefault(step.job, step.at - fault.at)
    return max(again.values(), default=None)


def _starts(fault: Injected, steps: Iterable[Step]) -> float | None:
    """Until the first job that was submitted after it was claimed."""
    young = set()
    for step in steps:
        if step.at <= fault.at:
            continue
        if step.old_state is None:
            young.add(step.job)
        elif step.new_state == "running" and step.job in young:
            return step.at - fault.at
    return None


def as_figures(found: dict[str, list[float]]) -> list[Figure]:
    figures = []
    for name, times in sorted(found.items()):
        after = f"recovery_after_{label(name)}"
        figures.append(Figure(f"{after}_measured", len(times), "times"))
        if times:
            figures.append(Figure(f"{after}_p50", statistics.median(times), "s"))
            figures.append(Figure(f"{after}_max", max(times), "s"))
    return figures
