# SPDX-License-Identifier: MIT
"""dist.py FILE: every file named on standard input is named in FILE, or is below a directory that is."""
import sys

# For work on the repository alone.
NOT_RELEASED = (".ci/", ".gitignore", ".gitattributes", "changes/")


def main():
    with open(sys.argv[1]) as f:
        released = {name.removeprefix("./") for name in f.read().split()}
    missing = []
    for path in sys.stdin.read().split("\n"):
        parts = path.split("/")
        above = {"/".join(parts[:n]) for n in range(1, len(parts) + 1)}
        if path and not above & released and not path.startswith(NOT_RELEASED) \
                and not path.endswith("/.gitignore"):
            missing.append(path)
    for path in missing:
        print("%s is not released: add it to EXTRA_DIST" % path)
    return bool(missing)


sys.exit(main())
