# SPDX-License-Identifier: MIT
# End-to-end tests with real Socket.IO: tests/e2e/run.sh.
EXTRA_DIST += \
	tests/e2e/README.md \
	tests/e2e/browser.mjs \
	tests/e2e/conformance.mjs \
	tests/e2e/dashboard.mjs \
	tests/e2e/failure.mjs \
	tests/e2e/handshake.mjs \
	tests/e2e/http2.mjs \
	tests/e2e/keepalive.mjs \
	tests/e2e/lib/app.mjs \
	tests/e2e/lib/chromium.mjs \
	tests/e2e/lib/cluster.mjs \
	tests/e2e/lib/crowd.mjs \
	tests/e2e/lib/eio.mjs \
	tests/e2e/lib/fake.mjs \
	tests/e2e/lib/farm.mjs \
	tests/e2e/lib/fleet.mjs \
	tests/e2e/lib/http.mjs \
	tests/e2e/lib/limpet.mjs \
	tests/e2e/lib/net.mjs \
	tests/e2e/lib/page.html \
	tests/e2e/lib/pair.mjs \
	tests/e2e/lib/pair_clients.mjs \
	tests/e2e/lib/proxy.mjs \
	tests/e2e/lib/raw.mjs \
	tests/e2e/lib/relay.mjs \
	tests/e2e/lib/util.mjs \
	tests/e2e/lib/worker.mjs \
	tests/e2e/matrix.mjs \
	tests/e2e/metrics.mjs \
	tests/e2e/package-lock.json \
	tests/e2e/package.json \
	tests/e2e/pair.mjs \
	tests/e2e/pair-failover.mjs \
	tests/e2e/rolling.mjs \
	tests/e2e/run.sh
