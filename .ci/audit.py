"""Looks up every pinned dependency among the known vulnerabilities: `python .ci/audit.py`.

Fails on a finding, and on anything that it does not understand. Only where the service that knows them cannot be
reached it says so and passes: a check must work without a network too.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

CONSTRAINTS = Path(__file__).parent.parent / "constraints.txt"
COMMAND = [
    sys.executable, "-m", "pip_audit", "--requirement", str(CONSTRAINTS), "--no-deps", "--disable-pip",
    "--vulnerability-service", "osv",
    "--format", "json", "--progress-spinner", "off", "--timeout", "10",
]  # fmt: skip
UNREACHABLE = re.compile(
    r"ConnectionError|ConnectTimeout|ReadTimeout|ProxyError|NewConnectionError|NameResolutionError|MaxRetryError"
    r"|Could not connect|timed out"
)


def verdict(output: str, errors: str) -> tuple[int, str]:
    """Return the exit code and what is said, from what pip-audit wrote."""
    try:
        dependencies = json.loads(output)["dependencies"]
    except (ValueError, KeyError, TypeError):
        if UNREACHABLE.search(errors):
            return 0, "The vulnerability service is not reachable: not audited."
        return 1, f"The audit failed:\n{errors}"
    audited = [each for each in dependencies if "skip_reason" not in each]
    skipped = [f"  {each['name']}: {each['skip_reason']}" for each in dependencies if "skip_reason" in each]
    found = [
        f"  {each['name']} {each['version']}: {finding['id']}, fixed in {finding['fix_versions'] or 'no version'}"
        for each in audited
        for finding in each["vulns"]
    ]
    if found:
        return 1, "\n".join(["Known vulnerabilities:", *found])
    if not audited:
        return 0, "The vulnerability service knows none of the dependencies: not audited."
    return 0, "\n".join(
        [f"No known vulnerability in {len(audited)} of {len(dependencies)} dependencies.", *skipped]
    )


if __name__ == "__main__":
    done = subprocess.run(COMMAND, capture_output=True, text=True, check=False)
    code, message = verdict(done.stdout, done.stderr)
    print(message)
    sys.exit(code)
