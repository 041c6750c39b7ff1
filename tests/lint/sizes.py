# SPDX-License-Identifier: MIT
"""Files and functions stay short.

A file has at most 600 lines, a C function at most 60 from its opening to its closing brace.
tests/lint/exceptions.txt names those that are longer, and how long they may be:

    file PATH LINES
    function PATH NAME LINES

An exception that could be lower, or go, is a failure too: the list only shrinks. No exception goes
past 100 lines of a function.
"""
import re
import sys

from tree import files

FILE_LINES = 600
FUNCTION_LINES = 60
FUNCTION_LINES_HARD = 100
EXCEPTIONS = "tests/lint/exceptions.txt"
KINDS = (".c", ".h", ".def", ".py", ".js", ".mjs", ".sh", ".mk")



def functions(lines):
    """(name, lines from brace to brace) of each C function: braces in the first column, as clang-format sets them."""
    opened = None
    head = ""
    for number, line in enumerate(lines, 1):
        if line.startswith("{") and opened is None:
            opened = number
        elif line.startswith("}") and opened is not None:
            names = re.findall(r"(\w+)\s*\(", head)
            yield names[0] if names else "?", number - opened + 1
            opened, head = None, ""
        elif opened is None:
            # The head starts at the last line with a letter in the first column.
            head = line if re.match(r"[A-Za-z_]", line) else head + line


def read_exceptions():
    allowed = {}
    with open(EXCEPTIONS) as f:
        for line in f:
            words = line.split("#")[0].split()
            if words:
                allowed[tuple(words[:-1])] = int(words[-1])
    return allowed


def judge(key, size, limit, allowed, wrong):
    """Looks at one file or function; takes its exception out of ALLOWED."""
    name = " ".join(key[1:])
    most = allowed.pop(key, None)
    if size > limit and most is None:
        wrong.append("%s: %d lines, at most %d" % (name, size, limit))
    elif most is not None and size > most:
        wrong.append("%s: %d lines, and its exception in %s says %d" % (name, size, EXCEPTIONS, most))
    elif most is not None and size <= limit:
        wrong.append("%s: %d lines: it needs no exception any more" % (name, size))
    elif most is not None and size < most:
        wrong.append("%s: %d lines: lower its exception from %d" % (name, size, most))
    if key[0] == "function" and size > FUNCTION_LINES_HARD:
        wrong.append("%s: more than %d lines, whatever the reason" % (name, FUNCTION_LINES_HARD))


def main():
    allowed = read_exceptions()
    wrong = []
    for path in files(KINDS):
        with open(path, encoding="utf-8") as f:
            lines = f.readlines()
        judge(("file", path), len(lines), FILE_LINES, allowed, wrong)
        if path.endswith((".c", ".h")):
            for name, size in functions(lines):
                judge(("function", path, name), size, FUNCTION_LINES, allowed, wrong)
    wrong += ["%s: '%s' names nothing" % (EXCEPTIONS, " ".join(key)) for key in allowed]
    print("\n".join(wrong))
    return bool(wrong)


sys.exit(main())
