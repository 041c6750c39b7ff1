# SPDX-License-Identifier: MIT
liblimpet_a_SOURCES += \
	include/model/config.h \
	include/model/counters.def include/model/counters.h src/model/counters.c \
	include/model/histogram.h src/model/histogram.c \
	include/model/host_state.h src/model/host_state.c \
	include/model/match.h \
	include/model/override.h src/model/override.c \
	include/model/server.h src/model/server.c \
	include/model/weight.h src/model/weight.c

# The configuration file.
liblimpet_a_SOURCES += \
	include/model/diag.h src/model/diag.c \
	include/model/load.h src/model/config_load.c \
	src/model/config_address.c src/model/config_backend.c src/model/config_frontend.c src/model/config_log.c \
	src/model/config_health.c \
	src/model/config_http.c src/model/config_hosts.c src/model/config_match.c src/model/config_route.c \
	src/model/config_route_mode.c \
	src/model/config_rate.c src/model/config_tls.c \
	include/model/server_tls.h src/model/config_tls_client.c \
	include/model/match_build.h src/model/match.c \
	include/model/names.h src/model/names.c \
	include/model/out.h src/model/out.c src/model/dump.c src/model/dump_shapes.c \
	include/model/route_index.h src/model/route_index.c \
	include/model/said.h src/model/said.c \
	include/model/schema.h src/model/schema.c src/model/reference.c \
	include/model/schema_fns.h src/model/schema_read.c src/model/schema_types.c \
	src/model/schema_values.c src/model/lint.c \
	include/model/yaml.h src/model/yaml.c src/model/yaml_expand.c
noinst_PROGRAMS += limpet-gendoc
limpet_gendoc_SOURCES = src/model/gendoc.c
EXTRA_DIST += doc/configuration.md
.PHONY: gen-config-doc
gen-config-doc: limpet-gendoc
	./limpet-gendoc > $(top_srcdir)/doc/configuration.md
