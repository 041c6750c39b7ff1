#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds Limpet in build/, from whatever state the sources are in.
#
#	tools/build.sh [CONFIGURE_OPTION...]
set -eu
cd "$(dirname "$0")/.."

if [ -f config.status ]; then
	echo "The sources are configured in place: building there." >&2
	exec make -j"$(nproc)"
fi
[ -x configure ] || ./bootstrap
mkdir -p build
cd build
if [ ! -f config.status ] || [ $# -gt 0 ]; then
	../configure -q "$@"
fi
exec make -s -j"$(nproc)"
