"""What a job is as one of OpenAI's responses: so the API shows it, and so webhooks tell its end."""

from typing import Literal

from quire.store.job import State

Status = Literal["queued", "in_progress", "completed", "failed", "cancelled", "incomplete"]

_STATUS: dict[State, Status] = {
    State.QUEUED: "queued",
    State.RUNNING: "in_progress",
    State.SUCCEEDED: "completed",
    State.FAILED: "failed",
    State.CANCELLED: "cancelled",
    State.EXPIRED: "incomplete",
}


def status_of(state: State, *, cut: bool) -> Status:
    """Return a response's status; `cut`: its text ended at `max_output_tokens`."""
    return "incomplete" if cut and state is State.SUCCEEDED else _STATUS[state]
