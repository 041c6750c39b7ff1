# SPDX-License-Identifier: MIT
UNIT_TESTS += tests/unit/test_health
tests_unit_test_health_SOURCES = tests/unit/test_health.c \
	tests/unit/health_rig.c tests/unit/health_rig.h
tests_unit_test_health_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_health_unchecked
tests_unit_test_health_unchecked_SOURCES = tests/unit/test_health_unchecked.c \
	tests/unit/health_rig.c tests/unit/health_rig.h
tests_unit_test_health_unchecked_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_agent_words
tests_unit_test_agent_words_SOURCES = tests/unit/test_agent_words.c
tests_unit_test_agent_words_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_config_health
tests_unit_test_config_health_SOURCES = tests/unit/test_config_health.c
tests_unit_test_config_health_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_tls_client
tests_unit_test_tls_client_SOURCES = tests/unit/test_tls_client.c
tests_unit_test_tls_client_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_host_state
tests_unit_test_host_state_SOURCES = tests/unit/test_host_state.c
tests_unit_test_host_state_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_checks
tests_unit_test_checks_SOURCES = tests/unit/test_checks.c \
	tests/unit/health_rig.c tests/unit/health_rig.h
tests_unit_test_checks_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_discovery
tests_unit_test_discovery_SOURCES = tests/unit/test_discovery.c \
	tests/unit/health_rig.c tests/unit/health_rig.h
tests_unit_test_discovery_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_ocsp_ask
tests_unit_test_ocsp_ask_SOURCES = tests/unit/test_ocsp_ask.c
tests_unit_test_ocsp_ask_LDADD = $(LDADD) $(CMOCKA_LIBS)
