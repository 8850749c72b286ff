"""Words for people: what a job did, and text that is safe to show."""

import re
from datetime import datetime

from quire_client.job import Job, Music

# A model can write any character; on a terminal these would move the cursor, or worse.
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# What keeps a job waiting, as `blocked_by` names it.
WHY = {
    "not_before": "its time has not come",
    "quota": "the budget is used up",
    "paused": "the job or its tenant is paused",
    "no_worker": "no worker serves this model now",
    "cap": "as many jobs run as the tenant may have",
    "fairness": "it is the turn of others",
    "busy": "all slots are taken",
}
SEPARATOR = "\n\n* * *\n\n"


def printable(text: str) -> str:
    """Return the text without control characters other than tab and newline."""
    return CONTROLS.sub("", text)


def pieces(job: Job) -> str:
    """Return all that is written, as the API's plain text has it."""
    return SEPARATOR.join(piece.text for piece in job.pieces)


def one_line(text: str, width: int = 60) -> str:
    """Return the beginning of a text, fit for a line of its own."""
    words = " ".join(text.split())
    return words if len(words) <= width else words[: width - 1] + "…"


def summary(job: Job) -> str:
    """Say in a line who wrote it, from which seed, how much and how fast."""
    tokens, running = job.usage.completion_tokens, job.timings.running_seconds
    parts = [job.model, f"seed {job.parameters.seed}", f"{tokens} tokens"]
    if running:
        parts += [f"{tokens / running:.0f} tokens/s", f"{running:.1f} s"]
    return " · ".join(parts)


def tune(music: Music) -> str:
    """Say in a line what tune was asked for."""
    return f"{music.style} in {music.key}, {music.meter}, {music.bars} bars, {music.tempo} a minute"


def standing(job: Job) -> str:
    """Say in a few words where a job is."""
    if job.state != "queued":
        return job.state
    if job.queue_position:
        return f"queued, place {place(job)}"
    return f"queued, held: {job.blocked_by}" if job.blocked_by else job.state


def place(job: Job) -> str | None:
    """Say where in its queue a job stands, as `17` or `1000+`."""
    return f"{job.queue_position}{'+' if job.queue_more else ''}" if job.queue_position else None


def reason(job: Job) -> str | None:
    """Say what keeps a queued job from running."""
    return WHY.get(job.blocked_by, job.blocked_by) if job.blocked_by else None


def expected(job: Job) -> str | None:
    """Say when a queued job will start."""
    if job.eta is None:
        return None
    return f"about {local(job.eta.p50)}; nine times in ten by {local(job.eta.p90)}"


def local(moment: datetime | None) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S") if moment else "-"
