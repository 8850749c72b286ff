"""`quire schedule …`: batches at moments of a series."""

import argparse
import json
from itertools import islice
from typing import Any

from quire_client.cli.batches import json_of, template
from quire_client.cli.exits import Exit, UsageError
from quire_client.cli.output import Output
from quire_client.cli.parser import Groups, command, group, moment, pair
from quire_client.cli.text import local
from quire_client.client import Quire
from quire_client.schedule import Occurrence, Schedule

TIMING = ("cron", "rule", "at", "zone", "starts_at", "ends_at")
OPTIONS = (
    *("rows_per_run", "catch_up", "catch_up_most", "overlap", "jitter_seconds", "publish_by", "priority"),
    *("max_running", "max_tokens", "deadline_minutes", "retention_hours"),
)


def add(groups: Groups) -> None:
    commands = group(groups, "schedule", "schedules", "batches at moments of a series")
    parser = command(commands, "create", create, "make a schedule and print its id")
    _schedule(parser)
    parser = command(commands, "edit", edit, "put another in its place, whole; what it was is kept")
    parser.add_argument("schedule_id", metavar="SCHEDULE", help="its id, sch_…")
    _schedule(parser)
    parser = command(commands, "preview", preview, "tell the next moments, of a schedule or of a time")
    parser.add_argument("schedule_id", metavar="SCHEDULE", nargs="?", help="its id; else one of the options")
    _timing(parser)
    parser.add_argument("--count", type=int, default=10, metavar="N", help="moments (default: 10)")
    command(commands, "list", list_, "list schedules")
    for name, run, text in (
        ("show", show, "show a schedule"),
        ("pause", pause, "fire nothing until it is resumed"),
        ("resume", resume, "go on with its next moment"),
        ("run", run_, "fire it once more, now"),
        ("history", history, "tell what it was before each edit"),
        ("occurrences", occurrences, "list what became of its moments"),
        ("delete", delete, "delete a schedule; the batches that it made stay"),
    ):
        parser = command(commands, name, run, text)
        parser.add_argument("schedule_id", metavar="SCHEDULE", help="its id, sch_…")
        if name == "occurrences":
            parser.add_argument(
                "--limit", type=int, default=20, metavar="N", help="at most this many (default: 20)"
            )


def _timing(parser: argparse.ArgumentParser) -> None:
    times = parser.add_argument_group("when: one of the first three")
    times.add_argument("--cron", metavar="EXPR", help="minute hour day month weekday, as '30 7 * * MON-FRI'")
    times.add_argument("--rule", metavar="RULE", help="of RFC 5545, as 'FREQ=MONTHLY;BYDAY=1MO;BYHOUR=9'")
    times.add_argument("--at", type=moment, metavar="TIME", help="once")
    times.add_argument("--zone", metavar="ZONE", help="of IANA, as Europe/Paris (default: UTC)")
    times.add_argument("--starts-at", type=moment, metavar="TIME", help="nothing before")
    times.add_argument("--ends-at", type=moment, metavar="TIME", help="nothing after")


def _schedule(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    _timing(parser)
    what = parser.add_argument_group("what")
    what.add_argument(
        "--template", required=True, metavar="JSON", help="a job with {{placeholders}}; @FILE reads it from there"
    )
    what.add_argument(
        "--rows", metavar="JSON", help="a list of variables, an item a row; @FILE reads it from there"
    )
    what.add_argument("--rows-per-run", type=int, metavar="N", help="the next so many, in rotation (default: all)")
    how = parser.add_argument_group("how")
    how.add_argument("--catch-up", help="what becomes of moments that were missed: skip, once (default) or all")
    how.add_argument("--catch-up-most", type=int, metavar="N", help="with all: the last so many (default: 10)")
    how.add_argument("--overlap", help="if the batch before still runs: queue (default), skip or cancel it")
    how.add_argument("--jitter-seconds", type=int, metavar="N", help="put each moment off by up to so long")
    how.add_argument("--publish-by", action="store_true", default=None, help="be complete by these moments")
    how.add_argument("--priority", type=int, metavar="N")
    how.add_argument("--max-running", type=int, metavar="N")
    how.add_argument("--max-tokens", type=int, metavar="N")
    how.add_argument("--deadline-minutes", type=int, metavar="N", help="after a batch's start")
    how.add_argument("--retention-hours", type=int, metavar="N")
    how.add_argument(
        "--meta", dest="metadata", type=pair, action="append", metavar="NAME=VALUE", help="repeatable"
    )


def _fields(args: argparse.Namespace) -> dict[str, Any]:
    named = {name: getattr(args, name) for name in (*TIMING, *OPTIONS)}
    return named | {
        "template": template(args.template) or {},
        "rows": _rows(args.rows),
        "metadata": dict(args.metadata) if args.metadata else None,
    }


def _rows(text: str | None) -> list[dict[str, Any]] | None:
    if text is None:
        return None
    rows = json_of(text, "rows")
    if not isinstance(rows, list):
        raise UsageError("the rows are no JSON list")
    return rows


def create(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    schedule = quire.schedules.create(args.name, **_fields(args))
    _tell(schedule, out)
    out.result(schedule.raw, schedule.id)
    return Exit.OK


def edit(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    schedule = quire.schedules.edit(args.schedule_id, args.name, **_fields(args))
    _tell(schedule, out)
    out.result(schedule.raw, schedule.id)
    return Exit.OK


def _tell(schedule: Schedule, out: Output) -> None:
    out.note(f"next at {local(schedule.next_at)}, version {schedule.version}")
    if not schedule.feasible:
        out.note(f"it takes about {schedule.lead_seconds} s: the first cannot be complete by its moment")


def preview(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    if args.schedule_id:
        moments = quire.schedules.upcoming(args.schedule_id, args.count)
    else:
        timing: Any = {name: getattr(args, name) for name in TIMING}
        moments = quire.schedules.preview(args.count, **timing)
    out.rows(
        moments, raw=lambda each: each.isoformat(), columns=("moment",), cells=lambda each: (each.isoformat(),)
    )
    return Exit.OK


def list_(_args: argparse.Namespace, quire: Quire, out: Output) -> int:
    out.rows(
        quire.schedules.list(),
        raw=lambda schedule: schedule.raw,
        columns=("schedule", "name", "when", "zone", "state", "next", "fired"),
        cells=lambda schedule: (
            schedule.id, schedule.name, schedule.when, schedule.zone, _state(schedule), local(schedule.next_at),
            schedule.fired,
        ),
    )  # fmt: skip
    return Exit.OK


def _state(schedule: Schedule) -> str:
    if schedule.paused:
        return "paused"
    return "active" if schedule.next_at else "over"


def show(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    return _show(quire.schedules.get(args.schedule_id), out)


def _show(schedule: Schedule, out: Output) -> int:
    facts = {
        "schedule": schedule.id,
        "name": schedule.name,
        "version": schedule.version,
        "when": schedule.when,
        "zone": schedule.zone,
        "state": _state(schedule),
        "next at": local(schedule.next_at),
        "acted upon at": local(schedule.fire_at),
        "complete by then": schedule.feasible if schedule.publish_by else None,
        "catch up": schedule.catch_up,
        "overlap": schedule.overlap,
        "fired": schedule.fired,
    }
    out.facts(schedule.raw, facts)
    return Exit.OK


def pause(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    return _show(quire.schedules.pause(args.schedule_id), out)


def resume(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    return _show(quire.schedules.resume(args.schedule_id), out)


def run_(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    occurrence = quire.schedules.run(args.schedule_id)
    out.result(occurrence.raw, str(occurrence.raw["moment"]))
    return Exit.OK


def history(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    out.rows(
        quire.schedules.history(args.schedule_id),
        raw=lambda version: version.raw,
        columns=("version", "made", "asked"),
        cells=lambda version: (version.version, local(version.created_at), json.dumps(version.asked)),
    )
    return Exit.OK


def occurrences(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    out.rows(
        islice(quire.schedules.occurrences(args.schedule_id), args.limit),
        raw=lambda occurrence: occurrence.raw,
        columns=("moment", "number", "state", "batch", "why"),
        cells=lambda occurrence: (
            local(occurrence.moment), occurrence.number, _end(occurrence), occurrence.batch_id, occurrence.why,
        ),
    )  # fmt: skip
    return Exit.OK


def _end(occurrence: Occurrence) -> str:
    return f"{occurrence.state}, late" if occurrence.late else occurrence.state


def delete(args: argparse.Namespace, quire: Quire, _out: Output) -> int:
    quire.schedules.delete(args.schedule_id)
    return Exit.OK
