# SPDX-License-Identifier: MIT
"""The files that are ours to look at.  No git: lint also runs in an unpacked release."""
import os

TOPS = ("src", "include", "tests", "bench", "contrib", "examples", "tools")
NOT_OURS = ("node_modules", "__pycache__", "corpus")


def files(kinds, tops=TOPS):
    """Paths below TOPS whose names end in one of KINDS, sorted."""
    for top in tops:
        for directory, below, names in os.walk(top):
            below[:] = sorted(d for d in below if d not in NOT_OURS)
            for name in sorted(names):
                if name.endswith(kinds):
                    yield os.path.join(directory, name)
