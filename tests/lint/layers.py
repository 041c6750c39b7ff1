# SPDX-License-Identifier: MIT
"""Includes go down only (doc/layers.txt), name their layer, and are few in headers."""
import os
import re
import sys

from tree import files

MAX_OWN_INCLUDES = 6
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)


def read_layers():
    with open("doc/layers.txt") as f:
        return [line.split()[0] for line in f if line.strip() and not line.startswith("#")]



def check_file(path, rank):
    """Sentences about what is wrong with the includes of the file at PATH."""
    layer = path.split(os.sep)[1]
    if layer not in rank:
        return ["%s: layer '%s' is not in doc/layers.txt" % (path, layer)]
    with open(path) as f:
        text = f.read()
    wrong = []
    own = 0
    for name in INCLUDE.findall(text):
        if name == "config.h":
            continue
        above, slash, _ = name.partition("/")
        if not slash or above not in rank:
            wrong.append('%s: "%s" does not name its layer' % (path, name))
            continue
        own += not name.endswith(".def")
        if rank[above] > rank[layer]:
            wrong.append("%s: includes %s, which is above %s" % (path, name, layer))
        if not os.path.exists(os.path.join("include", name)):
            wrong.append("%s: includes %s, which is not in include/" % (path, name))
    if path.endswith(".h") and own > MAX_OWN_INCLUDES:
        wrong.append("%s: includes %d headers of ours, at most %d" % (path, own, MAX_OWN_INCLUDES))
    return wrong


def main():
    layers = read_layers()
    rank = {name: i for i, name in enumerate(layers)}
    wrong = ["doc/layers.txt: there is no src/%s" % name
             for name in layers if not os.path.isdir(os.path.join("src", name))]
    for path in files((".c", ".h", ".def"), ("include", "src")):
        wrong += check_file(path, rank)
    print("\n".join(wrong))
    return bool(wrong)


sys.exit(main())
