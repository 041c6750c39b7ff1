# SPDX-License-Identifier: MIT
# One block per test program; each layer has its own fragment.
include tests/unit/base.mk
include tests/unit/http1.mk
include tests/unit/proto.mk
include tests/unit/model.mk
include tests/unit/balance.mk
include tests/unit/health.mk
include tests/unit/control.mk
include tests/unit/dashboard.mk
include tests/unit/h2.mk
include tests/unit/run.mk
include tests/unit/beat.mk
include tests/unit/main.mk
include tests/unit/merge.mk
include tests/unit/mirror_redis.mk
include tests/unit/mirror_ask.mk
include tests/unit/mirror_core.mk
include tests/unit/tls_face.mk
include tests/unit/tls_server.mk
