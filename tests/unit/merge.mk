# SPDX-License-Identifier: MIT
# Nodes that share a table, and what Redis is to them.
UNIT_TESTS += tests/unit/test_merge_property
tests_unit_test_merge_property_SOURCES = tests/unit/test_merge_property.c tests/unit/merge_node.c \
	tests/unit/merge_node.h tests/unit/redis_model.c tests/unit/redis_model.h
tests_unit_test_merge_property_LDADD = $(LDADD) $(CMOCKA_LIBS)

UNIT_TESTS += tests/unit/test_redis_model
tests_unit_test_redis_model_SOURCES = tests/unit/test_redis_model.c tests/unit/redis_model.c \
	tests/unit/redis_model.h
tests_unit_test_redis_model_LDADD = $(LDADD) $(CMOCKA_LIBS)
