# SPDX-License-Identifier: MIT
# Integration tests: python3, TAP.  tests/it/README.md.
IT_TESTS = \
	tests/it/b_relay.py \
	tests/it/b_keepalive.py
IT_LIB = \
	tests/it/lib/__init__.py \
	tests/it/lib/case.py \
	tests/it/lib/limpet.py \
	tests/it/lib/msg.py \
	tests/it/lib/peer.py
TESTS += $(IT_TESTS)
EXTRA_DIST += $(IT_TESTS) $(IT_LIB) tests/it/README.md
