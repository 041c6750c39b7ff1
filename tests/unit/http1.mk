# SPDX-License-Identifier: MIT
# The HTTP/1 codec.
http1_replay = tests/unit/http1_replay.c tests/unit/http1_replay.h

UNIT_TESTS += tests/unit/test_http1_request
tests_unit_test_http1_request_SOURCES = tests/unit/test_http1_request.c $(http1_replay)
tests_unit_test_http1_request_LDADD = $(LDADD) $(CMOCKA_LIBS)

UNIT_TESTS += tests/unit/test_http1_fields
tests_unit_test_http1_fields_SOURCES = tests/unit/test_http1_fields.c $(http1_replay)
tests_unit_test_http1_fields_LDADD = $(LDADD) $(CMOCKA_LIBS)

UNIT_TESTS += tests/unit/test_http1_framing
tests_unit_test_http1_framing_SOURCES = tests/unit/test_http1_framing.c $(http1_replay)
tests_unit_test_http1_framing_LDADD = $(LDADD) $(CMOCKA_LIBS)

UNIT_TESTS += tests/unit/test_http1_response
tests_unit_test_http1_response_SOURCES = tests/unit/test_http1_response.c $(http1_replay)
tests_unit_test_http1_response_LDADD = $(LDADD) $(CMOCKA_LIBS)

UNIT_TESTS += tests/unit/test_http1_chunked
tests_unit_test_http1_chunked_SOURCES = tests/unit/test_http1_chunked.c
tests_unit_test_http1_chunked_LDADD = $(LDADD) $(CMOCKA_LIBS)

UNIT_TESTS += tests/unit/test_http1_names
tests_unit_test_http1_names_SOURCES = tests/unit/test_http1_names.c
tests_unit_test_http1_names_LDADD = $(LDADD) $(CMOCKA_LIBS)
