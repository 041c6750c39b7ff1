# SPDX-License-Identifier: MIT
"""The harness of the integration tests; README.md beside tests/it tells how to use it."""
from .msg import *
from .peer import *
from .limpet import *
from .case import *
