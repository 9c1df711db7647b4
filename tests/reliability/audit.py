"""`make audit`: known weaknesses of what constraints.txt pins, as pip-audit finds them; says so where nothing could be asked.

pip-audit itself ends well when its service knows none of the packages: that is no answer, and is told as one that is missing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def main(program: str) -> int:
    """Exit code 1 if a pinned package has a known weakness."""
    words = [program, "--requirement", str(ROOT / "constraints.txt"), "--no-deps", "--disable-pip", "--format", "json"]
    try:
        said = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
        found = json.loads(said.stdout)["dependencies"]
    except (OSError, ValueError, KeyError, subprocess.TimeoutExpired) as error:
        print(f"skipped: pip-audit gave no answer ({type(error).__name__}); its service may not be reachable from here")
        return 0
    asked = [one for one in found if "skip_reason" not in one]
    weak = [one for one in asked if one["vulns"]]
    for one in weak:
        print(f"{one['name']} {one['version']}: {', '.join(v['id'] for v in one['vulns'])}")
    missing = len(found) - len(asked)
    if not asked:
        print(f"skipped: the service of pip-audit knows none of the {missing} packages; it is not reachable from here")
        return 0
    print(
        f"{len(asked)} packages asked for, {len(weak)} with known weaknesses"
        + f", {missing} unknown to the service" * bool(missing)
    )
    return 1 if weak else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
