"""`quire tenant …`, for the operator."""

import argparse

from quire_client.cli.exits import Exit
from quire_client.cli.output import Output
from quire_client.cli.parser import Groups, command, group, number
from quire_client.cli.text import local
from quire_client.client import Quire


def add(groups: Groups) -> None:
    commands = group(groups, "tenant", "tenants", "make and list tenants (operator)")
    parser = command(commands, "create", create, "make a tenant and print its id")
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--weight", type=number, metavar="X", help="share of the machines beside other tenants")
    parser.add_argument("--max-running", type=int, metavar="N", help="jobs at a time")
    parser.add_argument("--max-queued", type=int, metavar="N", help="jobs that may wait")
    command(commands, "list", list_, "list all tenants")
    parser = command(commands, "show", show, "show a tenant")
    parser.add_argument("tenant", metavar="TENANT", help="its name or its id, ten_…")


def create(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    tenant = quire.tenants.create(
        args.name, weight=args.weight, max_running=args.max_running, max_queued=args.max_queued
    )
    out.result(tenant.raw, tenant.id)
    out.note(f"give it a key with: quire key create {tenant.id}")
    return Exit.OK


def list_(_args: argparse.Namespace, quire: Quire, out: Output) -> int:
    out.rows(
        quire.tenants.list(),
        raw=lambda tenant: tenant.raw,
        columns=("tenant", "name", "weight", "running at most", "queued at most", "created"),
        cells=lambda tenant: (
            tenant.id,
            tenant.name,
            f"{tenant.weight:g}",
            tenant.max_running,
            tenant.max_queued,
            local(tenant.created_at),
        ),
    )
    return Exit.OK


def show(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    tenant = quire.tenants.get(tenant_id(quire, args.tenant))
    facts = {
        "tenant": tenant.id,
        "name": tenant.name,
        "weight": f"{tenant.weight:g}",
        "running at most": tenant.max_running,
        "queued at most": tenant.max_queued,
        "created": local(tenant.created_at),
    }
    out.facts(tenant.raw, facts)
    return Exit.OK


def tenant_id(quire: Quire, name_or_id: str) -> str:
    """Return the id of a tenant; what names none is returned as it is, for the server to refuse."""
    if name_or_id.startswith("ten_"):
        return name_or_id
    return next((tenant.id for tenant in quire.tenants.list(name=name_or_id)), name_or_id)
