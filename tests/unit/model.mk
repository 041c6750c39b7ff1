# SPDX-License-Identifier: MIT
UNIT_TESTS += tests/unit/test_regex
tests_unit_test_regex_SOURCES = tests/unit/test_regex.c
tests_unit_test_regex_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_yaml
tests_unit_test_yaml_SOURCES = tests/unit/test_yaml.c
tests_unit_test_yaml_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_match
tests_unit_test_match_SOURCES = tests/unit/test_match.c
tests_unit_test_match_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_config
tests_unit_test_config_SOURCES = tests/unit/test_config.c
tests_unit_test_config_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_config_errors
tests_unit_test_config_errors_SOURCES = tests/unit/test_config_errors.c
tests_unit_test_config_errors_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_config_lint
tests_unit_test_config_lint_SOURCES = tests/unit/test_config_lint.c
tests_unit_test_config_lint_LDADD = $(LDADD) $(CMOCKA_LIBS)
# What the operator changes at run time.
UNIT_TESTS += tests/unit/test_override
tests_unit_test_override_SOURCES = tests/unit/test_override.c
tests_unit_test_override_LDADD = $(LDADD) $(CMOCKA_LIBS)
UNIT_TESTS += tests/unit/test_weight
tests_unit_test_weight_SOURCES = tests/unit/test_weight.c
tests_unit_test_weight_LDADD = $(LDADD) $(CMOCKA_LIBS)
