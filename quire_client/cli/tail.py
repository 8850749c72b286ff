"""`quire tail`: the text of a job as it grows, and nothing else, on standard output."""

import argparse
import json
from dataclasses import asdict

from quire_client.cli.exits import Exit
from quire_client.cli.output import Output
from quire_client.cli.parser import Groups, command, seconds
from quire_client.cli.transcript import Transcript
from quire_client.client import Quire
from quire_client.events import Draft, TextEvent


def add(groups: Groups) -> None:
    parser = command(groups, "tail", run, "print the text of a job as it grows, until the job ends")
    parser.add_argument("job_id", metavar="JOB", help="its id, job_…")
    parser.add_argument("--after", metavar="ID", help="go on behind this event, as 1:57 (--json tells ids)")
    parser.add_argument("--timeout", type=seconds, metavar="SECONDS", help="leave after this long")


def run(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    """Print text as it comes; in JSON, each event on a line of its own.

    Raises:
        JobEndedError: the job did not succeed; what was written by then is printed.

    """
    draft, transcript = Draft(quire.jobs.get(args.job_id).without_text()), Transcript()
    for event in quire.jobs.stream(args.job_id, after=args.after, timeout=args.timeout):
        job = draft.apply(event)
        if out.as_json:
            out.write(json.dumps({"event": event.name} | asdict(event), ensure_ascii=False, default=str))
        elif isinstance(event, TextEvent):
            out.write(transcript.grow(job), end="")
    if transcript.told:
        out.write("")
    draft.job.raise_for_state()
    return Exit.OK
