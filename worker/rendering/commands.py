"""Running another program on somebody's data: with limits, and with words for what went wrong."""

import resource
import signal
import subprocess
from collections.abc import Sequence

MEMORY = 2**30  # bytes of address space
SHOWN = 200  # characters of what a program complained


class CommandFailed(Exception):
    """The program did not do its part; the message says how it ended."""


def run(command: Sequence[str], *, seconds: float, data: bytes = b"", memory: int = MEMORY) -> bytes:
    """Run a program to its end; returns what it wrote.

    Raises:
        CommandFailed: it cannot be started, takes longer than `seconds`, crashes, or says that it failed.

    """
    name = command[0].rsplit("/", 1)[-1]
    try:
        done = subprocess.run(  # noqa: S603 - our own command lines
            list(command),
            input=data,
            capture_output=True,
            timeout=seconds,
            check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (memory, memory)),
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        raise CommandFailed(f"took longer than {seconds:g} s") from None
    except OSError as error:
        raise CommandFailed(f"{name} cannot be started: {error.strerror}") from None
    if done.returncode < 0:
        raise CommandFailed(f"crashed ({signal.Signals(-done.returncode).name})")
    if done.returncode:
        said = " ".join(done.stderr.decode(errors="replace").split())[-SHOWN:]
        raise CommandFailed(f"ended with status {done.returncode}" + (f": {said}" if said else ""))
    return done.stdout
