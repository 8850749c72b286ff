"""`quire batch …`: many jobs from a file, and their results."""

import argparse
import json
import sys
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from quire_client.batch import Batch
from quire_client.cli.exits import Exit, UsageError
from quire_client.cli.output import Output
from quire_client.cli.parser import Groups, command, group, moment, pair, seconds
from quire_client.cli.text import local
from quire_client.client import Quire
from quire_client.errors import WaitTimeoutError

LARGEST_PAGE = 100


def add(groups: Groups) -> None:
    commands = group(groups, "batch", "batches", "many jobs from a file, and their results")
    _submit(command(commands, "submit", submit, "hand in a file of items or of rows, and print the batch's id"))
    parser = command(commands, "list", list_, "list batches, newest first")
    parser.add_argument("--state")
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="at most this many (default: 20)")
    for name, run, text in (
        ("show", show, "show everything about a batch"),
        ("watch", watch, "show how far a batch is, until it ends"),
        ("results", results, "print what has ended, also while the batch runs"),
        ("cancel", cancel, "end a batch now; what is written stays"),
        ("retry", retry, "run again what failed or expired, as a batch of its own"),
        ("delete", delete, "remove a batch that is over, with its jobs"),
    ):
        parser = command(commands, name, run, text)
        parser.add_argument("batch_id", metavar="BATCH", help="its id, batch_…")
        if name == "watch":
            parser.add_argument("--timeout", type=seconds, metavar="SECONDS", help="leave after this long")
        if name == "results":
            parser.add_argument(
                "--csv", action="store_true", help="as CSV, a row for each piece (else JSON lines)"
            )
            parser.add_argument("--output", type=Path, metavar="FILE", help="write them there")
        if name == "retry":
            parser.add_argument("--state", action="append", help="which: failed, expired, cancelled; repeatable")


def _submit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="a job a line (.jsonl); with --template rows, as .jsonl or .csv"
    )
    parser.add_argument(
        "--template", metavar="JSON", help="a job with {{placeholders}} for the rows; @FILE reads it from there"
    )
    parser.add_argument("--priority", type=int, metavar="N", help="of its jobs; single jobs have 0")
    parser.add_argument("--max-running", type=int, metavar="N", help="jobs of it at once")
    parser.add_argument("--max-tokens", type=int, metavar="N", help="that it may be billed")
    parser.add_argument("--deadline", type=moment, metavar="TIME", help="what is not finished by then expires")
    parser.add_argument("--retention-hours", type=int, metavar="N", help="delete it so long after its end")
    parser.add_argument(
        "--meta", dest="metadata", type=pair, action="append", metavar="NAME=VALUE", help="yours; repeatable"
    )
    parser.add_argument("--idempotency-key", metavar="KEY", help="the same key makes no second batch")
    parser.add_argument("--wait", action="store_true", help="see it through")
    parser.add_argument("--timeout", type=seconds, metavar="SECONDS", help="with --wait: leave after this long")


def submit(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    if not args.file.is_file():
        raise UsageError(f"there is no file {args.file}")
    batch = quire.batches.submit(
        file=args.file,
        template=template(args.template),
        priority=args.priority,
        max_running=args.max_running,
        max_tokens=args.max_tokens,
        deadline=args.deadline,
        retention_hours=args.retention_hours,
        metadata=dict(args.metadata) if args.metadata else None,
        idempotency_key=args.idempotency_key,
    )
    out.note(f"{batch.counts.total} items")
    if not args.wait:
        out.result(batch.raw, batch.id)
        return Exit.OK
    return _wait(quire, out, batch.id, args.timeout)


def template(text: str | None) -> dict[str, Any] | None:
    """Read a JSON object, or the file that `@FILE` names."""
    if text is None:
        return None
    value = json_of(text, "template")
    if not isinstance(value, dict):
        raise UsageError("the template is no JSON object")
    return value


def json_of(text: str, what: str) -> Any:
    """Read a JSON value, or the file that `@FILE` names."""
    try:
        return json.loads(Path(text[1:]).read_text() if text.startswith("@") else text)
    except OSError as error:
        raise UsageError(f"the {what} cannot be read: {error}") from None
    except ValueError as error:
        raise UsageError(f"the {what} is not JSON: {error}") from None


def list_(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    found = quire.batches.list(state=args.state, limit=min(args.limit, LARGEST_PAGE))
    out.rows(
        islice(found, args.limit),
        raw=lambda batch: batch.raw,
        columns=("batch", "state", "items", "ended", "failed", "created"),
        cells=lambda batch: (
            batch.id,
            batch.state,
            batch.counts.total,
            batch.counts.ended,
            batch.counts.failed,
            local(batch.created_at),
        ),
    )
    return Exit.OK


def show(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    _show(quire.batches.get(args.batch_id), out)
    return Exit.OK


def _show(batch: Batch, out: Output) -> None:
    counts = batch.counts
    facts = {
        "batch": batch.id,
        "state": batch.state,
        "blocked by": batch.blocked_by,
        "items": counts.total,
        **{name: getattr(counts, name) for name in ("held", "queued", "running")},
        **{name: getattr(counts, name) for name in ("succeeded", "failed", "cancelled", "expired")},
        "tokens billed": batch.usage.total_tokens,
        "of at most": batch.max_tokens,
        "running at most": batch.max_running,
        "priority": batch.priority,
        "deadline": local(batch.deadline),
        "run again from": batch.parent_id,
        "created": local(batch.created_at),
        "finished": local(batch.finished_at),
    }
    out.facts(batch.raw, facts)


def watch(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    return _wait(quire, out, args.batch_id, args.timeout)


def _wait(quire: Quire, out: Output, batch_id: str, timeout: float | None) -> int:
    try:
        batch = _follow(quire, out, batch_id, timeout)
    except (KeyboardInterrupt, WaitTimeoutError):
        out.note(f"{batch_id} goes on; come back with: quire batch watch {batch_id}")
        raise
    _show(batch, out)
    batch.raise_for_state()
    return Exit.OK


def _follow(quire: Quire, out: Output, batch_id: str, timeout: float | None) -> Batch:
    """Draw a bar where a person sees it; else say nothing."""
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TimeRemainingColumn(), console=out.stderr, transient=True, disable=out.as_json,
    )  # fmt: skip
    with bar if out.stderr.is_terminal else ExitStack():
        task = bar.add_task(batch_id, total=None)
        for batch in quire.batches.watch(batch_id, timeout):
            told = f"{batch.state}, waits for {batch.blocked_by}" if batch.blocked_by else batch.state
            bar.update(task, description=told, completed=batch.counts.ended, total=batch.counts.total)
            last = batch
    return last


def results(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    pages = quire.batches.download(args.batch_id, "csv" if args.csv else "jsonl")
    if args.output is None:
        for page in pages:
            sys.stdout.write(page.decode())
        sys.stdout.flush()
        return Exit.OK
    with args.output.open("wb") as file:
        file.writelines(pages)
    out.note(f"wrote {args.output}")
    return Exit.OK


def cancel(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    batch = quire.batches.cancel(args.batch_id)
    out.result(batch.raw, batch.state)
    return Exit.OK


def retry(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    batch = quire.batches.retry(args.batch_id, args.state)
    out.note(f"{batch.counts.total} items")
    out.result(batch.raw, batch.id)
    return Exit.OK


def delete(args: argparse.Namespace, quire: Quire, _out: Output) -> int:
    quire.batches.delete(args.batch_id)
    return Exit.OK
