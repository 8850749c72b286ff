"""`python -m worker.rendering.engraving`: ABC on standard input to a score in SVG on standard output.

verovio may end the whole process on what it does not understand, so it never runs in the worker's own.
"""

import sys

import verovio

OPTIONS = {
    "inputFrom": "abc",
    "adjustPageHeight": True,
    "pageHeight": 60_000,  # one page, however long the tune
    "pageWidth": 2_100,
    "scale": 40,
    "footer": "none",
    "header": "auto",
}


def engrave(abc: str) -> str:
    """Return the score of a tune.

    Raises:
        ValueError: verovio makes nothing of it.

    """
    verovio.enableLog(verovio.LOG_OFF)
    toolkit = verovio.toolkit()
    toolkit.setOptions(OPTIONS)
    if not toolkit.loadData(abc):
        raise ValueError("verovio does not read this tune")
    score = str(toolkit.renderToSVG(1))
    if "<svg" not in score or "notehead" not in score:
        raise ValueError("verovio drew no notes")
    return score


if __name__ == "__main__":
    try:
        sys.stdout.write(engrave(sys.stdin.read()))
    except ValueError as error:
        sys.exit(str(error))
