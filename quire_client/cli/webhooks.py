"""`quire webhook …`: endpoints that are told when jobs and batches end."""

import argparse
from itertools import islice

from quire_client.cli.exits import Exit, UsageError
from quire_client.cli.output import Output
from quire_client.cli.parser import Groups, command, group
from quire_client.cli.text import local
from quire_client.client import Quire
from quire_client.webhook import Delivery, Webhook


def add(groups: Groups) -> None:
    commands = group(groups, "webhook", "webhooks", "endpoints that are told when jobs and batches end")
    parser = command(commands, "create", create, "set an endpoint up and print its secret")
    parser.add_argument("target", metavar="URL", help="https://…")  # --url is the server's
    _options(parser)
    command(commands, "list", list_, "list endpoints")
    for name, run, text in (
        ("show", show, "show an endpoint"),
        ("set", change, "change what is named"),
        ("rotate", rotate, "print a new secret; the one before signs as well for a while"),
        ("test", test, "send a test event"),
        ("deliveries", deliveries, "list what was sent, and what came of it"),
        ("redeliver", redeliver, "send something again, now"),
        ("delete", delete, "delete an endpoint"),
    ):
        parser = command(commands, name, run, text)
        parser.add_argument("webhook_id", metavar="WEBHOOK", help="its id, whk_…")
        if name == "set":
            parser.add_argument("--to", dest="target", metavar="URL", help="another address")
            _options(parser)
            switch = parser.add_mutually_exclusive_group()
            switch.add_argument("--enable", dest="enabled", action="store_true", default=None)
            switch.add_argument("--disable", dest="enabled", action="store_false", default=None)
        if name == "rotate":
            parser.add_argument("--overlap-hours", type=int, metavar="N", help="default: 24")
        if name == "deliveries":
            parser.add_argument(
                "--limit", type=int, default=20, metavar="N", help="at most this many (default: 20)"
            )
        if name == "redeliver":
            parser.add_argument("delivery_id", metavar="DELIVERY", help="its id, dlv_…")


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--event",
        action="append",
        metavar="NAME",
        help="as batch.completed, response.* or *; repeatable (default: *)",
    )
    parser.add_argument("--description", metavar="TEXT")


def create(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    webhook = quire.webhooks.create(args.target, events=args.event, description=args.description)
    out.note(f"{webhook.id}; its secret is shown this once")
    out.result(webhook.raw, str(webhook.secret))
    return Exit.OK


def list_(_args: argparse.Namespace, quire: Quire, out: Output) -> int:
    out.rows(
        quire.webhooks.list(),
        raw=lambda webhook: webhook.raw,
        columns=("webhook", "url", "events", "state", "failures"),
        cells=lambda webhook: (
            webhook.id, webhook.url, ", ".join(webhook.events), _state(webhook), webhook.failures,
        ),
    )  # fmt: skip
    return Exit.OK


def show(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    _show(quire.webhooks.get(args.webhook_id), out)
    return Exit.OK


def _show(webhook: Webhook, out: Output) -> None:
    facts = {
        "webhook": webhook.id,
        "url": webhook.url,
        "events": ", ".join(webhook.events),
        "description": webhook.description,
        "state": _state(webhook),
        "because": webhook.disabled_why,
        "failures since the last success": webhook.failures,
        "created": local(webhook.created_at),
    }
    out.facts(webhook.raw, facts)


def _state(webhook: Webhook) -> str:
    return "enabled" if webhook.enabled else "disabled"


def change(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    if all(value is None for value in (args.target, args.event, args.description, args.enabled)):
        raise UsageError("nothing to change: name --to, --event, --description, --enable or --disable")
    webhook = quire.webhooks.change(
        args.webhook_id, url=args.target, events=args.event, description=args.description, enabled=args.enabled
    )
    _show(webhook, out)
    return Exit.OK


def rotate(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    webhook = quire.webhooks.rotate(args.webhook_id, overlap_hours=args.overlap_hours)
    out.result(webhook.raw, str(webhook.secret))
    return Exit.OK


def test(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    delivery = quire.webhooks.test(args.webhook_id)
    out.result(delivery.raw, delivery.id)
    return Exit.OK


def deliveries(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    out.rows(
        islice(quire.webhooks.deliveries(args.webhook_id), args.limit),
        raw=lambda delivery: delivery.raw,
        columns=("delivery", "event", "of", "state", "attempts", "last answer", "next try", "created"),
        cells=lambda delivery: (
            delivery.id,
            delivery.type,
            delivery.subject,
            delivery.state,
            len(delivery.attempts),
            _answer(delivery),
            local(delivery.due_at),
            local(delivery.created_at),
        ),
    )
    return Exit.OK


def _answer(delivery: Delivery) -> object:
    if not delivery.attempts:
        return None
    last = delivery.attempts[-1]
    return last.status or last.error


def redeliver(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    delivery = quire.webhooks.redeliver(args.webhook_id, args.delivery_id)
    out.result(delivery.raw, delivery.state)
    return Exit.OK


def delete(args: argparse.Namespace, quire: Quire, _out: Output) -> int:
    quire.webhooks.delete(args.webhook_id)
    return Exit.OK
