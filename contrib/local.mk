# SPDX-License-Identifier: MIT
# What monitoring reads: Prometheus' rules and Grafana's dashboard, installed beside the program.
monitoringdir = $(pkgdatadir)/monitoring
dist_monitoring_DATA = \
	contrib/grafana/limpet.json \
	contrib/prometheus/limpet-rules.yml \
	contrib/prometheus/prometheus.yml
EXTRA_DIST += contrib/prometheus/limpet-rules-test.yml
