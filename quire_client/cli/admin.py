"""`quire admin …`, for the operator: what runs, and what does not get on."""

import argparse

from quire_client.cli.exits import Exit
from quire_client.cli.output import Output
from quire_client.cli.parser import Groups, command, group
from quire_client.cli.text import local
from quire_client.client import Quire
from quire_client.values import Worker


def add(groups: Groups) -> None:
    commands = group(groups, "admin", None, "look at workers and at stuck jobs (operator)")
    command(commands, "workers", workers, "list the workers, and how their leases stand")
    parser = command(commands, "stuck", stuck, "list jobs that are stuck, oldest first, and why")
    parser.add_argument("--seconds", type=int, metavar="N", help="what counts as long (default: 120)")


def workers(_args: argparse.Namespace, quire: Quire, out: Output) -> int:
    out.rows(
        quire.admin.workers(),
        raw=lambda worker: worker.raw,
        columns=("worker", "model", "host", "pid", "running", "lease", "started", "numerics"),
        cells=lambda worker: (
            worker.id,
            worker.model,
            worker.host,
            worker.pid,
            f"{worker.running}/{worker.slots}",
            _lease(worker),
            local(worker.started_at),
            worker.numerics,
        ),
    )
    return Exit.OK


def stuck(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    out.rows(
        quire.admin.stuck(seconds=args.seconds),
        raw=lambda job: job.raw,
        columns=("job", "tenant", "model", "state", "why", "since", "attempts", "worker"),
        cells=lambda job: (
            job.id,
            job.tenant_id,
            job.model,
            job.state,
            " ".join(job.why),
            local(job.since),
            job.attempts,
            job.worker_id,
        ),
    )
    return Exit.OK


def _lease(worker: Worker) -> str:
    if not worker.live:
        return f"lapsed {-worker.lease_seconds:.0f} s ago"
    return f"{worker.lease_seconds:.0f} s{', draining' if worker.draining else ''}"
