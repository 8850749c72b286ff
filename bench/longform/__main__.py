"""`python -m bench.longform quality`: whether books loop; see quality.py.

`python -m bench.longform costs`: what books cost; see costs.py.
`python -m bench.longform kills`: whether a killed book is the same; see kills.py.
"""

import argparse

from bench.longform import costs, kills, quality
from quire.settings import REPOSITORY


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    books = parts.add_parser("quality", formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    books.add_argument("--books", type=int, default=100)
    books.add_argument("--tokens", type=int, default=10_000, help="of each book")
    books.add_argument("--temperature", type=float, help="in the place of the model's own; low ones loop")
    books.add_argument("--variants", nargs="+", default=list(quality.VARIANTS), choices=quality.VARIANTS)
    books.add_argument("--model", default=str(REPOSITORY / "checkpoints" / "quire-english"))
    cost = parts.add_parser("costs", formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    cost.add_argument("--books", type=int, default=8, help="rounds of a book beside plain jobs")
    cost.add_argument("--probes", type=int, default=20, help="short jobs that wait beside books")
    cost.add_argument("--note", help="what is to be known of the machine, beside the figures")
    killed = parts.add_parser("kills", formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    killed.add_argument("--kills", type=int, default=3, help="of each book")
    killed.add_argument("--books", type=int, default=3, help="of each model")
    asked = parser.parse_args()
    if asked.part == "costs":
        costs.main(asked.books, asked.probes, asked.note)
    elif asked.part == "kills":
        kills.main(asked.kills, asked.books)
    else:
        quality.main(asked.model, asked.books, asked.tokens, asked.temperature, asked.variants)


if __name__ == "__main__":
    main()
