# SPDX-License-Identifier: MIT
TESTS += tests/it/k_control.py
EXTRA_DIST += tests/it/k_control.py
