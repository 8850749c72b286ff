"""`quire jobs …`: look at jobs, wait for them, read them, end them."""

import argparse
from dataclasses import asdict
from itertools import islice
from pathlib import Path

from quire_client.cli.exits import Exit, UsageError
from quire_client.cli.following import save, wait
from quire_client.cli.output import Output
from quire_client.cli.parser import Groups, command, group, moment, seconds
from quire_client.cli.text import expected, local, one_line, pieces, reason, standing, tune
from quire_client.client import Quire
from quire_client.job import Job

LARGEST_PAGE = 100
BOOKS = {".md": "markdown", ".txt": "text", ".html": "html", ".epub": "epub"}


def add(groups: Groups) -> None:
    commands = group(groups, "jobs", "job", "look at jobs, wait for them, read them, end them")
    _list(command(commands, "list", list_, "list jobs, newest first"))
    for name, run, text in (
        ("show", show, "show everything about a job"),
        ("wait", wait_, "show a job as it grows, until it ends"),
        ("output", output, "print the text of a job that has ended"),
        ("book", book, "write a finished book into a file"),
        ("artifacts", artifacts, "list the files that a job has made"),
        ("save", save_, "write the files that a job has made into a folder"),
        ("cancel", cancel, "end a job now; what is written stays"),
        ("pause", pause, "hold a job; what is written stays"),
        ("resume", resume, "let a paused job go on"),
        ("continue", continue_, "hand in a job that writes more parts of a finished book, and print its id"),
        ("delete", delete, "remove a job that has ended, with its text"),
    ):
        parser = command(commands, name, run, text)
        parser.add_argument("job_id", metavar="JOB", help="its id, job_…")
        if name == "wait":
            parser.add_argument("--timeout", type=seconds, metavar="SECONDS", help="leave after this long")
        if name == "save":
            parser.add_argument("folder", metavar="DIR", type=Path, help="made if it is not there")
        if name == "book":
            parser.add_argument("file", metavar="FILE", type=Path, help="ends in .md, .txt, .html or .epub")
        if name == "continue":
            _more(parser)
        if name == "output":
            parser.add_argument("--piece", type=int, metavar="N", help="only this one, counted from 0")


def _list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state", action="append", help="repeatable")
    parser.add_argument("--kind")
    parser.add_argument("--model")
    parser.add_argument("--created-after", type=moment, metavar="TIME")
    parser.add_argument("--created-before", type=moment, metavar="TIME")
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--limit", type=int, default=20, metavar="N", help="at most this many (default: 20)")
    amount.add_argument("--all", action="store_true", help="every one")


def _more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--parts", type=int, required=True, metavar="N", help="how many more")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--tokens", type=int, metavar="N", help="of each part")
    length.add_argument("--words", type=int, metavar="N", help="of each part, in place of tokens")
    parser.add_argument("--seed", type=int, metavar="N", help="drawn if not given")


def list_(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    found = quire.jobs.list(
        state=args.state,
        kind=args.kind,
        model=args.model,
        created_after=args.created_after,
        created_before=args.created_before,
        limit=LARGEST_PAGE if args.all else min(args.limit, LARGEST_PAGE),
    )
    out.rows(
        found if args.all else islice(found, max(args.limit, 0)),
        raw=lambda job: job.raw,
        columns=("job", "state", "model", "tokens", "created"),
        cells=lambda job: (job.id, standing(job), job.model, _tokens(job), local(job.created_at)),
    )
    return Exit.OK


def show(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    job = quire.jobs.get(args.job_id)
    out.facts(job.raw, _facts(job))
    return Exit.OK


def wait_(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    wait(quire, out, args.job_id, args.timeout)
    return Exit.OK


def output(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    text = quire.jobs.output(args.job_id, args.piece)
    out.result({"id": args.job_id, "piece": args.piece, "text": text}, text)
    return Exit.OK


def book(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    wanted = BOOKS.get(args.file.suffix)
    if wanted is None:
        raise UsageError(f"{args.file} should end in {', '.join(BOOKS)}")
    args.file.write_bytes(quire.jobs.book(args.job_id, wanted))
    out.result({"id": args.job_id, "saved": str(args.file)}, str(args.file))
    return Exit.OK


def artifacts(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    out.rows(
        quire.jobs.artifacts(args.job_id),
        raw=asdict,
        columns=("file", "type", "bytes", "sha256"),
        cells=lambda each: (each.name, each.media_type, each.size, each.sha256 or f"none: {each.unavailable}"),
    )
    return Exit.OK


def save_(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    saved = save(quire, out, args.job_id, args.folder)
    out.result({"id": args.job_id, "saved": [str(path) for path in saved]}, "\n".join(map(str, saved)))
    return Exit.OK


def cancel(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    job = quire.jobs.cancel(args.job_id)
    out.result(job.raw, job.state)
    return Exit.OK


def pause(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    job = quire.jobs.pause(args.job_id)
    out.result(job.raw, standing(job))
    return Exit.OK


def resume(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    job = quire.jobs.resume(args.job_id)
    out.result(job.raw, standing(job))
    return Exit.OK


def continue_(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    given = {name: getattr(args, name) for name in ("tokens", "words", "seed")}
    job = quire.jobs.go_on(
        args.job_id, args.parts, **{name: each for name, each in given.items() if each is not None}
    )
    out.result(job.raw, job.id)
    return Exit.OK


def delete(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    quire.jobs.delete(args.job_id)
    out.result({"id": args.job_id, "deleted": True}, "deleted")
    return Exit.OK


def _tokens(job: Job) -> str:
    return f"{job.progress.tokens}/{job.progress.max_tokens}"


def _facts(job: Job) -> dict[str, object]:
    asked = job.input
    facts: dict[str, object] = {
        "job": job.id,
        "state": standing(job),
        "waits because": reason(job),
        "will start": expected(job),
        "error": f"{job.error.code}: {job.error.message}" if job.error else None,
        "model": job.model,
        "tune": tune(asked.music) if asked and asked.music else None,
        "form": asked.form if asked else None,
        "title": asked.title if asked else None,
        "theme": asked.theme if asked else None,
        "style": asked.style if asked else None,
        "prompt": one_line(asked.prompt) if asked and not (asked.form or asked.music) else None,
        "pieces": job.parameters.n,
        "seed": job.parameters.seed,
        "tokens": _tokens(job),
        "priority": job.priority or None,
        "metadata": ", ".join(f"{name}={value}" for name, value in job.metadata.items()) or None,
        "attempts": job.attempts or None,
        "created": local(job.created_at),
        "not before": local(job.not_before) if job.not_before else None,
        "deadline": local(job.deadline) if job.deadline else None,
        "started": local(job.started_at),
        "files": ", ".join(each.name for each in job.artifacts if not each.unavailable) or None,
        "finished": local(job.finished_at),
        "changes": ", ".join(f"{each.what} ({each.count})" for each in asked.changes) if asked else None,
    }
    facts["text"] = f"\n\n{pieces(job)}" if job.pieces else None
    return {name: value for name, value in facts.items() if value not in (None, "")}
