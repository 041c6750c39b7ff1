# SPDX-License-Identifier: MIT
"""Licence line, header guards, functions that are not to be called."""
import re
import sys

from tree import files

BANNED = re.compile(r"(?<![\w.>])(strcpy|strcat|sprintf|vsprintf|atoi|atol|strtok|gets|alloca)\s*\(")
SPDX = "SPDX-License-Identifier: MIT"
KINDS = (".c", ".h", ".def", ".py", ".js", ".mjs", ".ts", ".sh", ".mk")
NO_CODE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.S)



def check_spdx(path, text):
    first = "".join(text.splitlines(True)[:2])  # the second line of what begins with #!
    return [] if SPDX in first else ["%s: its first line must be %s" % (path, SPDX)]


def check_guard(path, text):
    if not path.startswith("include/") or not path.endswith(".h"):
        return []
    name = re.sub(r"\W", "_", path[len("include/"):]).upper()
    wrong = [] if re.search(r"^#ifndef %s\n#define %s$" % (name, name), text, re.M) else [
        "%s: no guard %s" % (path, name)]
    return wrong


def check_calls(path, text):
    if not path.endswith((".c", ".h")):
        return []
    code = NO_CODE.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)
    return ["%s:%d: %s is not to be called" % (path, code.count("\n", 0, m.start()) + 1, m.group(1))
            for m in BANNED.finditer(code)]


def main():
    wrong = []
    for path in files(KINDS):
        with open(path, encoding="utf-8") as f:
            text = f.read()
        for check in (check_spdx, check_guard, check_calls):
            wrong += check(path, text)
    print("\n".join(wrong))
    return bool(wrong)


sys.exit(main())
