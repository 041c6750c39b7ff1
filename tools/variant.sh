#!/bin/sh
# SPDX-License-Identifier: MIT
# Configures a build beside the usual one, in ./build-NAME, once.
#
#	tools/variant.sh NAME SRCDIR [CONFIGURE_OPTION...]
#
# Sources that are configured in place cannot be built a second way from the same files: they are
# copied to build-NAME/tree, as a release would have them, and brought up to date by each call.
set -eu
name=$1
srcdir=$2
shift 2
mkdir -p "build-$name"
if [ -f "$srcdir/config.status" ]; then
	make -s distdir "distdir=build-$name/tree"
	srcdir=build-$name/tree
fi
srcdir=$(cd "$srcdir" && pwd)
cd "build-$name"
[ -f config.status ] || "$srcdir/configure" -q "$@"
