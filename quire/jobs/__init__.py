"""The one door through which jobs move. Each function is one transition, inside the caller's transaction.

    queued -> running -> succeeded | failed | cancelled | expired,  and  running -> queued

Three things hold everywhere. A transition locks its jobs first, in the order of their ids, then their lanes, in
key order. What a worker says is fenced: it counts only while the job is running under the fence that the worker
claimed. A terminal state never changes.

Who knocks: the API (`submitting`, `bulk`), a worker (`working`), a scheduler (`keeping`, `batching`).
Their steps end in `steps`.
"""

from quire.jobs.backlogs import Backlogs
from quire.jobs.batching import NextItem, collect, end_live, next_items, queue_items, uncollected
from quire.jobs.bulk import submit_many
from quire.jobs.keeping import (
    acquit_neighbours,
    cancel_live,
    expire_overdue,
    hold_over_budget,
    put_back_suspended,
    release_due,
    release_within_budget,
    requeue_orphans,
)
from quire.jobs.submitting import (
    Once,
    Submission,
    cancel,
    delete,
    first_made_before,
    made_before,
    pause,
    resume,
    submit,
)
from quire.jobs.working import Claimed, Outcome, Report, claim, commit, keep_artifacts, put_back_unknown

__all__ = [
    "Backlogs",
    "Claimed",
    "NextItem",
    "Once",
    "Outcome",
    "Report",
    "Submission",
    "acquit_neighbours",
    "cancel",
    "cancel_live",
    "claim",
    "collect",
    "commit",
    "delete",
    "end_live",
    "expire_overdue",
    "first_made_before",
    "hold_over_budget",
    "keep_artifacts",
    "made_before",
    "next_items",
    "pause",
    "put_back_suspended",
    "put_back_unknown",
    "queue_items",
    "release_due",
    "release_within_budget",
    "requeue_orphans",
    "resume",
    "submit",
    "submit_many",
    "uncollected",
]
