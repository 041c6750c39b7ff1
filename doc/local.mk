# SPDX-License-Identifier: MIT
# Manual pages are installed, the rest of the documents go into the release.
dist_man_MANS = doc/limpet.8 doc/limpet.yaml.5 doc/limpetctl.1
EXTRA_DIST += \
	README.md HACKING.md CONTRIBUTING CHANGELOG.md LICENSE \
	doc/architecture.md doc/threads.md doc/threat-model.md doc/engineio.md doc/performance.md \
	doc/deploys.md doc/ha.md doc/mirror.md doc/tcp.md \
	doc/dashboard.md doc/img/dashboard-light.png doc/img/dashboard-dark.png doc/img/dashboard-phone.png \
	doc/decisions/README.md \
	doc/decisions/0001-heads-are-built-in-one-piece.md \
	doc/decisions/0002-servers-are-never-freed.md \
	doc/decisions/0003-server-sets-retire-through-mailboxes.md \
	doc/decisions/0004-siphash-of-our-own.md \
	doc/decisions/0005-half-close.md \
	doc/decisions/0006-unknown-sids-are-not-learned.md \
	doc/decisions/0007-the-last-ready-server-stays.md \
	doc/decisions/0008-log-rings-and-a-writer-thread.md \
	doc/decisions/0009-cookie-values-are-keyed-tokens.md \
	doc/decisions/0010-when-a-websocket-ends-a-session.md \
	doc/decisions/0011-a-request-that-nobody-read-is-sent-again.md \
	doc/decisions/0012-last-resort-without-checks.md \
	doc/decisions/0014-upgrade.md doc/operations.md \
	doc/decisions/0016-dirty-bits.md \
	doc/decisions/0015-how-sessions-are-ended-evenly.md doc/decisions/0017-redis-link.md \
	doc/http2.md doc/decisions/0023-http2-streams-speak-http1.md \
	doc/decisions/0018-check-again.md doc/decisions/0019-faces-of-a-connection.md \
	doc/tls.md doc/decisions/0020-certificates-by-name.md doc/decisions/0021-ticket-keys.md doc/decisions/0022-splice.md \
	doc/decisions/0024-source-limits.md doc/decisions/0025-kernel-tls.md doc/decisions/0026-idle-memory.md \
	doc/decisions/0028-tls-flights.md doc/decisions/0029-what-an-http2-stream-costs.md \
	doc/decisions/0027-connection-calls.md doc/decisions/0030-what-a-server-costs.md doc/decisions/0031-what-a-request-costs-us.md doc/decisions/0032-io-uring.md doc/decisions/0035-memory-of-tables-and-after-peaks.md doc/decisions/0033-bursts-of-connections.md doc/decisions/0034-large-buffers-are-kept.md \
	doc/decisions/0013-changes-at-run-time-outlive-reloads.md
