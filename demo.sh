#!/bin/sh
# SPDX-License-Identifier: MIT
# From a clone to a Socket.IO chat behind Limpet, in one command, on Debian 12:
#
#	./demo.sh            installs what is missing, builds, and runs the chat until Ctrl-C
#	./demo.sh --check    the same, but 40 clients try the chat, and the status says how it went
set -eu
cd "$(dirname "$0")"

tools/setup-debian.sh build run
tools/build.sh
LIMPET=$PWD/build/limpet
[ -x "$LIMPET" ] || LIMPET=$PWD/limpet
export LIMPET
exec examples/socketio-chat/run.sh "$@"
