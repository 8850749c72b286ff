"""`python -m worker.models pull|check SOURCE`: fetch a checkpoint from the hub, or try if it can be served."""

import argparse
import json
import sys
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError as HubError

from quire.settings import ModelSettings
from worker.engine import Engine, EngineError, Request, Sampling


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="quire models", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("pull", "download a checkpoint from the hub into its cache"),
        ("check", "load a checkpoint, run its self-test and a few tokens"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("source", help="a name of QUIRE_MODELS, a local folder or a hub id")
        command.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    source = ModelSettings().models.get(options.source, options.source)
    try:
        report = pull(source) if options.command == "pull" else check(source)
    except (EngineError, OSError, HubError) as error:
        print(json.dumps({"error": str(error)}) if options.json else f"refused: {error}", file=sys.stderr)
        return 2
    print(json.dumps(report) if options.json else "\n".join(f"{key:<16} {value}" for key, value in report.items()))
    return 0


def pull(source: str) -> dict[str, object]:
    """Fetch a checkpoint; a local folder is left as it is.

    Raises:
        OSError: the hub cannot be reached, or has no such checkpoint.

    """
    folder = source if Path(source).is_dir() else snapshot_download(source)
    return {"source": source, "folder": folder}


def check(source: str) -> dict[str, object]:
    """Load a checkpoint and run it.

    Raises:
        EngineError: it cannot be served; the message says why.

    """
    engine = Engine.load(source, slots=2)
    engine.start()
    try:
        request = Request(tuple(engine.tokenizer.encode("The")), Sampling(seed=1, max_tokens=8))
        finished = engine.submit(request, lambda _: None).result(timeout=60)
    finally:
        engine.stop()
    return {
        "source": source,
        "context_length": engine.context_length,
        "vocab_size": engine.vocab_size,
        "numerics": engine.numerics,
        "tokens_tried": finished.tokens,
    }


if __name__ == "__main__":
    sys.exit(main())
