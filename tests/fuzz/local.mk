# SPDX-License-Identifier: MIT
include tests/fuzz/http1.mk
include tests/fuzz/health.mk
include tests/fuzz/proto.mk
include tests/fuzz/model.mk
include tests/fuzz/main.mk
include tests/fuzz/mirror_redis.mk
include tests/fuzz/beat.mk
include tests/fuzz/mirror_wire.mk
include tests/fuzz/client_hello.mk
include tests/fuzz/h2.mk
