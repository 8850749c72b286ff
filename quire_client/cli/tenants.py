"""`quire tenant …`, for the operator."""

import argparse
from typing import cast

from quire_client.cli.exits import Exit, UsageError
from quire_client.cli.output import Output
from quire_client.cli.parser import Groups, command, group, number
from quire_client.cli.text import local
from quire_client.client import Quire
from quire_client.resources.tenants import Limits
from quire_client.values import Receipt, Tenant

NAMED = "its name or its id, ten_…"


def add(groups: Groups) -> None:
    commands = group(groups, "tenant", "tenants", "make and list tenants (operator)")
    parser = command(commands, "create", create, "make a tenant and print its id")
    parser.add_argument("name", metavar="NAME")
    _limits(parser)
    command(commands, "list", list_, "list all tenants")
    parser = command(commands, "set", change, "change what is named, from now on")
    parser.add_argument("tenant", metavar="TENANT", help=NAMED)
    _limits(parser)
    paused = parser.add_mutually_exclusive_group()
    text = "run nothing new of it; what runs goes on"
    paused.add_argument("--pause", dest="paused", action="store_true", default=argparse.SUPPRESS, help=text)
    text = "run its jobs again"
    paused.add_argument("--unpause", dest="paused", action="store_false", default=argparse.SUPPRESS, help=text)
    for name, run, text in (
        ("show", show, "show a tenant"),
        ("suspend", suspend, "refuse its keys and run nothing of it; nothing is lost"),
        ("resume", resume, "let a suspended tenant go on"),
        ("delete", delete, "destroy the data key of a suspended tenant, and remove all it has"),
        ("receipt", receipt, "show the receipt of a deleted tenant"),
    ):
        parser = command(commands, name, run, text)
        parser.add_argument("tenant", metavar="TENANT", help=NAMED)


def _limits(parser: argparse.ArgumentParser) -> None:
    """Options without a default: what is not named is the server's business."""
    for option, kind, metavar, text in (
        ("--weight", number, "X", "share of the machines beside other tenants"),
        ("--max-running", limit, "N", "jobs at a time, of each model"),
        ("--max-queued", int, "N", "jobs that may wait"),
        ("--max-tokens-per-day", limit, "N", "tokens billed and reserved a day, in UTC"),
        ("--max-requests-per-minute", limit, "N", "requests a minute"),
        ("--retention-days", limit, "N", "delete finished jobs after so long"),
    ):
        none = ", or none" if kind is limit else ""
        parser.add_argument(option, type=kind, metavar=metavar, default=argparse.SUPPRESS, help=text + none)


def limit(text: str) -> int | None:
    """Read a number; `none` takes a limit away."""
    return None if text == "none" else int(text)


def given(args: argparse.Namespace) -> Limits:
    named = {name: getattr(args, name) for name in Limits.__annotations__ if hasattr(args, name)}
    return cast(Limits, named)


def create(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    tenant = quire.tenants.create(args.name, **given(args))
    out.result(tenant.raw, tenant.id)
    out.note(f"give it a key with: quire key create {tenant.id}")
    return Exit.OK


def change(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    changes = given(args)
    if not changes:
        raise UsageError("nothing to change: name a limit, --pause or --resume")
    _show(quire.tenants.change(tenant_id(quire, args.tenant), **changes), out)
    return Exit.OK


def list_(_args: argparse.Namespace, quire: Quire, out: Output) -> int:
    out.rows(
        quire.tenants.list(),
        raw=lambda tenant: tenant.raw,
        columns=("tenant", "name", "weight", "running at most", "queued at most", "state", "created"),
        cells=lambda tenant: (
            tenant.id,
            tenant.name,
            f"{tenant.weight:g}",
            tenant.max_running,
            tenant.max_queued,
            tenant.state,
            local(tenant.created_at),
        ),
    )
    return Exit.OK


def show(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    _show(quire.tenants.get(tenant_id(quire, args.tenant)), out)
    return Exit.OK


def _show(tenant: Tenant, out: Output) -> None:
    facts = {
        "tenant": tenant.id,
        "name": tenant.name,
        "weight": f"{tenant.weight:g}",
        "running at most": tenant.max_running,
        "queued at most": tenant.max_queued,
        "tokens a day": tenant.max_tokens_per_day,
        "requests a minute": tenant.max_requests_per_minute,
        "days kept": tenant.retention_days,
        "state": tenant.state,
        "created": local(tenant.created_at),
    }
    out.facts(tenant.raw, facts)


def suspend(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    tenant = quire.tenants.suspend(tenant_id(quire, args.tenant))
    out.result(tenant.raw, tenant.state)
    return Exit.OK


def resume(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    tenant = quire.tenants.resume(tenant_id(quire, args.tenant))
    out.result(tenant.raw, tenant.state)
    return Exit.OK


def delete(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    _show_receipt(quire.tenants.delete(tenant_id(quire, args.tenant)), out)
    return Exit.OK


def receipt(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    _show_receipt(quire.tenants.receipt(tenant_id(quire, args.tenant)), out)
    return Exit.OK


def _show_receipt(kept: Receipt, out: Output) -> None:
    facts = {
        "tenant": kept.tenant_id,
        "name": kept.name,
        "asked for by request": kept.request_id,
        "fingerprint of the destroyed key": kept.key_fingerprint,
        "API keys revoked": kept.keys,
        "jobs removed": kept.jobs,
        "rows of text removed": kept.chunks,
        "key destroyed": local(kept.created_at),
        "all removed": local(kept.completed_at),
    }
    out.facts(kept.raw, facts)


def tenant_id(quire: Quire, name_or_id: str) -> str:
    """Return the id of a tenant; what names none is returned as it is, for the server to refuse."""
    if name_or_id.startswith("ten_"):
        return name_or_id
    return next((tenant.id for tenant in quire.tenants.list(name=name_or_id)), name_or_id)
