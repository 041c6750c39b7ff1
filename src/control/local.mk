# SPDX-License-Identifier: MIT
liblimpet_a_SOURCES += \
	include/control/command.h \
	include/control/commands.def include/control/commands.h src/control/commands.c \
	include/control/console.h src/control/console.c \
	include/control/control.h src/control/control.c \
	include/control/frontends.h src/control/cmd_frontend.c \
	include/control/gather.h src/control/gather.c \
	include/control/http.h src/control/http.c \
	include/control/http_auth.h src/control/http_auth.c \
	include/control/http_client.h src/control/http_client.c \
	include/control/http_routes.h src/control/http_routes.c \
	src/control/http_action.c src/control/http_mirror.c src/control/http_events.c src/control/http_page.c \
	include/control/api.h src/control/api.c \
	include/control/api_objects.h src/control/api_objects.c \
	include/control/dashboard.h \
	include/control/json.h src/control/json.c \
	include/control/line.h src/control/line.c \
	include/control/metrics.h src/control/metrics.c \
	include/control/metrics_family.h src/control/metrics_counters.c src/control/metrics_families.c \
	include/control/metrics_process.h src/control/metrics_process.c \
	include/control/metrics_reference.h src/control/metrics_reference.c \
	src/control/cmd_mirror.c include/control/mirror_view.h src/control/mirror_view.c \
	include/control/metrics_mirror.h src/control/metrics_mirror.c \
	include/control/certificate_view.h src/control/certificate_view.c \
	include/control/sample.h src/control/sample.c \
	src/control/cmd_sources.c \
	include/control/stat.def include/control/stat.h src/control/stat.c \
	include/control/value.h src/control/value.c \
	include/control/drain.h src/control/drain.c \
	src/control/cmd_console.c src/control/cmd_ending.c \
	src/control/cmd_errors.c \
	src/control/cmd_info.c \
	src/control/cmd_process.c \
	src/control/cmd_server.c include/control/server_args.h src/control/cmd_server_add.c \
	src/control/cmd_config_diff.c src/control/cmd_server_set.c \
	src/control/cmd_sess.c \
	include/control/ssl_args.h src/control/cmd_ssl.c src/control/cmd_ssl_ocsp.c \
	src/control/cmd_ssl_show.c src/control/cmd_ssl_tickets.c \
	src/control/cmd_stat.c \
	src/control/cmd_none.c src/control/cmd_switch.c src/control/cmd_system.c \
	src/control/cmd_threads.c include/control/startup_log.h src/control/startup_log.c \
	src/control/cmd_table.c src/control/cmd_state.c src/control/cmd_upgrade.c \
	include/control/outcome.h src/control/outcome.c \
	include/control/table_args.h src/control/cmd_table_set.c \
	include/control/delay.h src/control/delay.c src/control/cmd_trace.c src/control/cmd_wait.c \
	src/control/help.c \
	src/control/run.c

# The dashboard's page, embedded.  The scripts are one script, in this order.
DASHBOARD = \
	src/control/dashboard/index.html \
	src/control/dashboard/style.css \
	src/control/dashboard/util.js \
	src/control/dashboard/model.js \
	src/control/dashboard/charts.js \
	src/control/dashboard/view.js \
	src/control/dashboard/details.js \
	src/control/dashboard/mirror.js \
	src/control/dashboard/certificates.js \
	src/control/dashboard/live.js
nodist_liblimpet_a_SOURCES = src/control/dashboard_page.c
src/control/dashboard_page.c: $(DASHBOARD) src/control/dashboard/embed.awk
	$(AM_V_GEN)$(MKDIR_P) src/control && cd $(srcdir) && \
	  $(AWK) -f src/control/dashboard/embed.awk $(DASHBOARD) > $(abs_builddir)/$@.tmp && \
	  mv $(abs_builddir)/$@.tmp $(abs_builddir)/$@
CLEANFILES += src/control/dashboard_page.c
EXTRA_DIST += $(DASHBOARD) src/control/dashboard/embed.awk

bin_PROGRAMS += limpetctl
limpetctl_SOURCES = src/main/limpetctl.c include/main/ctl_table.h src/main/ctl_table.c
noinst_PROGRAMS += limpet-gencommands limpet-genmetrics
limpet_genmetrics_SOURCES = src/control/genmetrics.c
.PHONY: gen-metrics-doc
gen-metrics-doc: limpet-genmetrics$(EXEEXT)
	./limpet-genmetrics > $(top_srcdir)/doc/metrics.md
limpet_gencommands_SOURCES = src/control/gencommands.c
EXTRA_DIST += contrib/limpetctl.bash-completion doc/runtime-api.md doc/metrics.md
