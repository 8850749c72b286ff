"""`quire tenant …`, for the operator."""

import argparse

from quire_client.cli.exits import Exit
from quire_client.cli.output import Output
from quire_client.cli.parser import Groups, command, group, number
from quire_client.cli.text import local
from quire_client.client import Quire
from quire_client.values import Receipt


def add(groups: Groups) -> None:
    commands = group(groups, "tenant", "tenants", "make and list tenants (operator)")
    parser = command(commands, "create", create, "make a tenant and print its id")
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--weight", type=number, metavar="X", help="share of the machines beside other tenants")
    parser.add_argument("--max-running", type=int, metavar="N", help="jobs at a time")
    parser.add_argument("--max-queued", type=int, metavar="N", help="jobs that may wait")
    parser.add_argument("--retention-days", type=int, metavar="N", help="delete finished jobs after so long")
    command(commands, "list", list_, "list all tenants")
    for name, run, text in (
        ("show", show, "show a tenant"),
        ("suspend", suspend, "refuse its keys and run nothing of it; nothing is lost"),
        ("resume", resume, "let a suspended tenant go on"),
        ("delete", delete, "destroy the data key of a suspended tenant, and remove all it has"),
        ("receipt", receipt, "show the receipt of a deleted tenant"),
    ):
        parser = command(commands, name, run, text)
        parser.add_argument("tenant", metavar="TENANT", help="its name or its id, ten_…")


def create(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    tenant = quire.tenants.create(
        args.name,
        weight=args.weight,
        max_running=args.max_running,
        max_queued=args.max_queued,
        retention_days=args.retention_days,
    )
    out.result(tenant.raw, tenant.id)
    out.note(f"give it a key with: quire key create {tenant.id}")
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
    tenant = quire.tenants.get(tenant_id(quire, args.tenant))
    facts = {
        "tenant": tenant.id,
        "name": tenant.name,
        "weight": f"{tenant.weight:g}",
        "running at most": tenant.max_running,
        "queued at most": tenant.max_queued,
        "state": tenant.state,
        "days kept": tenant.retention_days,
        "created": local(tenant.created_at),
    }
    out.facts(tenant.raw, facts)
    return Exit.OK


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
