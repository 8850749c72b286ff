"""What a batch counts, true at the moment of the question: one statement sees one moment."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

# What has ended and is not collected yet is counted among the jobs, of which there is a window's worth.
COUNTS = text("""
    SELECT batches.id, total, held, batches.succeeded + coalesce(live.succeeded, 0) AS succeeded,
        batches.failed + coalesce(live.failed, 0) AS failed,
        batches.cancelled + coalesce(live.cancelled, 0) AS cancelled,
        batches.expired + coalesce(live.expired, 0) AS expired,
        coalesce(live.queued, 0) AS queued, coalesce(live.running, 0) AS running
    FROM batches LEFT JOIN LATERAL (
        SELECT count(*) FILTER (WHERE state = 'queued') AS queued,
            count(*) FILTER (WHERE state = 'running') AS running,
            count(*) FILTER (WHERE state = 'succeeded') AS succeeded,
            count(*) FILTER (WHERE state = 'failed') AS failed,
            count(*) FILTER (WHERE state = 'cancelled') AS cancelled,
            count(*) FILTER (WHERE state = 'expired') AS expired
        FROM jobs WHERE batch_id = batches.id AND batch_id IS NOT NULL AND NOT collected) AS live ON true
    WHERE batches.id = ANY (CAST(:batches AS uuid[]))
""")


@dataclass(frozen=True)
class Counts:
    """Items by their states; they add up to `total`."""

    total: int
    held: int
    queued: int
    running: int
    succeeded: int
    failed: int
    cancelled: int
    expired: int


def counts(session: Session, batches: Sequence[UUID]) -> dict[UUID, Counts]:
    """Count the items of some batches."""
    if not batches:
        return {}
    rows = session.execute(COUNTS, {"batches": list(batches)}).mappings()
    return {row["id"]: Counts(**{name: row[name] for name in Counts.__dataclass_fields__}) for row in rows}
