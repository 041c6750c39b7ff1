# SPDX-License-Identifier: MIT
UNIT_TESTS += tests/unit/test_redis_url
tests_unit_test_redis_url_SOURCES = tests/unit/test_redis_url.c
tests_unit_test_redis_url_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_redis
tests_unit_test_redis_SOURCES = tests/unit/test_redis.c tests/unit/redis_rig.c tests/unit/redis_rig.h
tests_unit_test_redis_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_redis_greeting
tests_unit_test_redis_greeting_SOURCES = tests/unit/test_redis_greeting.c tests/unit/redis_rig.c tests/unit/redis_rig.h
tests_unit_test_redis_greeting_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_redis_answers
tests_unit_test_redis_answers_SOURCES = tests/unit/test_redis_answers.c
tests_unit_test_redis_answers_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_redis_server
tests_unit_test_redis_server_SOURCES = tests/unit/test_redis_server.c tests/unit/redis_rig.c tests/unit/redis_rig.h
tests_unit_test_redis_server_LDADD = $(LDADD) $(CMOCKA_LIBS)
