# SPDX-License-Identifier: MIT
UNIT_TESTS += tests/unit/test_health
tests_unit_test_health_SOURCES = tests/unit/test_health.c \
	tests/unit/health_rig.c tests/unit/health_rig.h
tests_unit_test_health_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_discovery
tests_unit_test_discovery_SOURCES = tests/unit/test_discovery.c \
	tests/unit/health_rig.c tests/unit/health_rig.h
tests_unit_test_discovery_LDADD = $(LDADD) $(CMOCKA_LIBS)
