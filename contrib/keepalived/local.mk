# SPDX-License-Identifier: MIT
# One address for a pair of nodes: keepalived's configuration and the scripts that it runs.
keepaliveddir = $(pkgdatadir)/keepalived
dist_keepalived_DATA = contrib/keepalived/limpet.conf
dist_keepalived_SCRIPTS = contrib/keepalived/limpet-check contrib/keepalived/limpet-notify
EXTRA_DIST += contrib/keepalived/README.md
