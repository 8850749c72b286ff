"""`quire submit`: hand in a job, and see it through if asked."""

import argparse
import sys
from pathlib import Path
from typing import cast

from quire_client.cli.exits import Exit, UsageError
from quire_client.cli.following import save, wait
from quire_client.cli.output import Output
from quire_client.cli.parser import Groups, bias, command, document, file, moment, number, pair, seconds
from quire_client.client import Quire
from quire_client.fields import JobFields


def add(groups: Groups) -> None:
    parser = command(groups, "submit", run, "hand in a job and print its id")
    _asked(parser.add_argument_group("what to write"))
    _shaped(parser.add_argument_group("what form it has to hold"))
    _music(parser.add_argument_group("which tune to make (--kind music)"))
    _drawn(parser.add_argument_group("how to draw it (defaults are the server's)"))
    _planned(parser.add_argument_group("when and how"))


def _asked(options: argparse._ArgumentGroup) -> None:
    options.add_argument(
        "prompt", nargs="?", metavar="PROMPT", help="text to continue; - reads it from standard input"
    )
    options.add_argument(
        "--form",
        help="story, poem, article, verse, 五绝, 七绝, 五律, 七律, 词 or 曲, in place of a prompt; "
        "give a title or a theme with it",
    )
    options.add_argument("--title")
    options.add_argument("--theme")
    options.add_argument(
        "--style",
        help="an adjective or two, needs --theme; with a Chinese form a poet; of music: jig, reel, waltz …",
    )
    options.add_argument("--model", help="one of `quire models list`")
    options.add_argument("--kind", help="what is made: text (default), music or longform")
    options.add_argument(
        "--longform",
        type=document,
        metavar="FILE",
        help="of kind longform: the book, as JSON; - reads it from standard input",
    )
    options.add_argument("--truncate", help="start or end: which side of a prompt that is too long may be cut")


def _shaped(options: argparse._ArgumentGroup) -> None:
    options.add_argument("--lines", type=int, metavar="N", help="exactly so many; with --form poem or verse")
    options.add_argument("--stanza", type=int, metavar="N", help="lines of each stanza")
    options.add_argument(
        "--rhyme",
        metavar="SCHEME",
        help="a letter for each line of a stanza, or of the poem, as ABAB; X rhymes with none; "
        "none switches that of a Chinese form off",
    )
    options.add_argument(
        "--meter", metavar="M", help="as 'iambic tetrameter', with --form verse; of music: as 6/8"
    )
    options.add_argument("--syllables", type=int, metavar="N", help="exactly so many in each line")


def _music(options: argparse._ArgumentGroup) -> None:
    options.add_argument("--key", metavar="KEY", help="with its mode, as 'G major' or 'A dorian'")
    options.add_argument("--tempo", type=int, metavar="N", help="pulses a minute: dotted quarters in 6/8")
    options.add_argument("--bars", type=int, metavar="N", help="without pickups and second endings")
    options.add_argument("--accidentals", action="store_true", default=None, help="allow those that suit the key")
    options.add_argument("--opening", metavar="ABC", help="what the tune begins with")
    options.add_argument("--opening-midi", type=file, metavar="FILE", help="the same, from a MIDI file")
    options.add_argument("--instrument", metavar="NAME", help="of General MIDI, as fiddle, flute, harpsichord")
    options.add_argument(
        "--artifacts", action="append", metavar="KIND",
        help="midi, wav or svg beside ABC; repeatable (default: all that the worker can make)",
    )  # fmt: skip


def _drawn(options: argparse._ArgumentGroup) -> None:
    options.add_argument("-n", "--n", type=int, metavar="N", help="pieces")
    options.add_argument("--best-of", type=int, metavar="N", help="draws, of which the best n are kept")
    options.add_argument("--seed", type=int, metavar="N", help="for the same text again")
    options.add_argument("--max-tokens", type=int, metavar="N", help="new tokens of each piece, at most")
    options.add_argument("--min-tokens", type=int, metavar="N", help="no stop before")
    options.add_argument("--temperature", type=number, metavar="X", help="0 is greedy, above 1 is wild")
    options.add_argument("--top-k", type=int, metavar="N", help="draw from the N likeliest tokens; 0 is off")
    options.add_argument("--top-p", type=number, metavar="X", help="draw from the likeliest tokens that sum to X")
    options.add_argument("--min-p", type=number, metavar="X", help="drop tokens below X times the likeliest")
    options.add_argument("--repetition-penalty", type=number, metavar="X", help="over prompt and piece; 1 is off")
    options.add_argument("--presence-penalty", type=number, metavar="X", help="for tokens that the piece has")
    options.add_argument("--frequency-penalty", type=number, metavar="X", help="for each time that it has them")
    options.add_argument(
        "--logit-bias",
        type=bias,
        action="append",
        metavar="TOKEN_ID=X",
        help="raise or lower a token; repeatable",
    )
    options.add_argument("--stop", action="append", metavar="TEXT", help="end the piece before this; repeatable")
    options.add_argument("--banned", action="append", metavar="TEXT", help="never write this; repeatable")
    options.add_argument("--logprobs", type=int, metavar="N", help="tell log-probabilities, with N alternatives")


def _planned(options: argparse._ArgumentGroup) -> None:
    options.add_argument(
        "--not-before", type=moment, metavar="TIME", help="RFC 3339, or from now as +10m, +2h, +1d"
    )
    options.add_argument(
        "--deadline", type=moment, metavar="TIME", help="the job expires if it is not finished by then"
    )
    options.add_argument("--priority", type=int, metavar="N", help="higher goes first, inside your own queue")
    options.add_argument(
        "--meta",
        dest="metadata",
        type=pair,
        action="append",
        metavar="NAME=VALUE",
        help="your own note; repeatable",
    )
    options.add_argument(
        "--retention-hours", type=int, metavar="N", help="delete the job and its text so long after its end"
    )
    options.add_argument(
        "--idempotency-key", metavar="KEY", help="the same key gives the same job, not a second one"
    )
    options.add_argument("--wait", action="store_true", help="show the piece as it grows, until the job ends")
    options.add_argument(
        "--save", type=Path, metavar="DIR", help="with --wait: write the files that the job makes into a folder"
    )
    options.add_argument("--timeout", type=seconds, metavar="SECONDS", help="with --wait: leave after this long")


def run(args: argparse.Namespace, quire: Quire, out: Output) -> int:
    if args.prompt is None and args.form is None and args.kind not in {"music", "longform"}:
        raise UsageError(
            "nothing to write: give a PROMPT, - to read it from standard input, --form, --kind music or --longform"
        )
    for name in ("timeout", "save"):
        if getattr(args, name) is not None and not args.wait:
            raise UsageError(f"--{name} goes with --wait")
    job = quire.jobs.submit(_prompt(args.prompt), idempotency_key=args.idempotency_key, **fields(args))
    if args.wait:
        out.note(job.id)
        wait(quire, out, job.id, args.timeout)
        if args.save is not None:
            save(quire, out, job.id, args.save)
    else:
        out.result(job.raw, job.id)
    return Exit.OK


def _prompt(given: str | None) -> str | None:
    if given != "-":
        return given
    try:
        return sys.stdin.buffer.read().decode("utf-8")  # strictly: sys.stdin may let broken bytes pass
    except UnicodeDecodeError as error:
        raise UsageError(f"standard input is not UTF-8: {error.reason} at byte {error.start}") from error


def fields(args: argparse.Namespace) -> JobFields:
    """Pick the job's fields from the command line; what was not given stays the server's."""
    given = {name: getattr(args, name) for name in JobFields.__annotations__}
    for name in ("logit_bias", "metadata"):
        given[name] = dict(given[name]) if given[name] else None
    return cast(JobFields, given)
