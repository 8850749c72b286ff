"""Where a running `quire up` is, for commands that look at it from another terminal."""

import json
from pathlib import Path

from quire.errors import ConfigurationError


def settings_of(ready_file: Path) -> dict[str, str]:
    """Read the settings of a running system from the file that it wrote when it was ready.

    Raises:
        ConfigurationError: there is no such file, or it is another one.

    """
    try:
        facts = json.loads(ready_file.read_text())
        known = {name: str(facts[name]) for name in ("database_url", "redis_url")}
        keys = Path(facts["data"]) / "master_keys"
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{ready_file} is not the ready file of a running system: {error}") from error
    # Not there if whoever started the system gave the keys himself: then he has to give them here as well.
    return known | ({"master_keys": keys.read_text().strip()} if keys.exists() else {})
