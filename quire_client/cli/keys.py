"""`quire key …`, for the operator."""

import argparse

from quire_client.cli.exits import Exit
from quire_client.cli.output import Output
from quire_client.cli.parser import Groups, command, group
from quire_client.cli.tenants import tenant_id
from quire_client.cli.text import local
from quire_client.client import Quire


def add(groups: Groups) -> None:
    commands = group(groups, "key", "keys", "make, list and revoke API keys (operator)")
    parser = command(commands, "create", create, "make a key and print its secret, this once")
    parser.add_argument("tenant", metavar="TENANT", help="its name or its id, ten_…")
    parser.add_argument("--name")
    parser.add_argument(
        "--scope", action="append", dest="scopes", help="jobs:read or jobs:write; repeatable (default: both)"
    )
    parser = command(commands, "list", list_, "list a tenant's keys, without secrets")
    parser.add_argument("tenant", metavar="TENANT", help="its name or its id, ten_…")
    parser = command(commands, "revoke", revoke, "close a key at once")
    parser.add_argument("tenant", metavar="TENANT", help="its name or its id, ten_…")
    parser.add_argument("key_id", metavar="KEY", help="its id, key_…")


def create(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    key = quire.keys.create(tenant_id(quire, args.tenant), name=args.name, scopes=args.scopes)
    out.result(key.raw, key.secret or "")
    out.note(f"{key.id}: keep the secret, it is not shown again; use it as QUIRE_API_KEY")
    return Exit.OK


def list_(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    out.rows(
        quire.keys.list(tenant_id(quire, args.tenant)),
        raw=lambda key: key.raw,
        columns=("key", "name", "prefix", "scopes", "created", "revoked"),
        cells=lambda key: (
            key.id, key.name, key.prefix, " ".join(key.scopes), local(key.created_at), local(key.revoked_at)
        ),
    )  # fmt: skip
    return Exit.OK


def revoke(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    quire.keys.revoke(tenant_id(quire, args.tenant), args.key_id)
    out.result({"id": args.key_id, "revoked": True}, "revoked")
    return Exit.OK
