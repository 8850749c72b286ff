"""`quire usage`: what was billed."""

import argparse
from datetime import date

from quire_client.cli.exits import Exit
from quire_client.cli.output import Output
from quire_client.cli.parser import Groups, command
from quire_client.cli.tenants import NAMED, tenant_id
from quire_client.client import Quire


def add(groups: Groups) -> None:
    parser = command(groups, "usage", show, "tell what was billed, by day and model")
    parser.add_argument("--first-day", type=date.fromisoformat, metavar="DAY", help="in UTC; default: 30 in all")
    parser.add_argument("--last-day", type=date.fromisoformat, metavar="DAY", help="in UTC; default: today")
    parser.add_argument("--tenant", metavar="TENANT", help=f"another's, for the operator: {NAMED}")


def show(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    if args.tenant is None:
        usage = quire.accounts.usage(first_day=args.first_day, last_day=args.last_day)
    else:
        owner = tenant_id(quire, args.tenant)
        usage = quire.tenants.usage(owner, first_day=args.first_day, last_day=args.last_day)
    if out.as_json:
        out.result(usage.raw, "")
        return Exit.OK
    out.rows(
        usage.lines,
        raw=lambda line: line,
        columns=("day", "model", "jobs", "prompt tokens", "tokens written", "reserved"),
        cells=lambda line: (
            line.day, line.model, line.jobs, line.prompt_tokens, line.completion_tokens, line.reserved_tokens,
        ),
    )  # fmt: skip
    if usage.remaining_tokens is not None:
        out.note(f"{usage.remaining_tokens} of {usage.max_tokens_per_day} tokens are left today")
    return Exit.OK
