# SPDX-License-Identifier: MIT
# Examples; tests/it/a_examples.py loads them all.
EXTRA_DIST += \
	examples/README.md \
	examples/ha-pair/README.md \
	examples/ha-pair/node.yaml \
	examples/one-tier/limpet.yaml \
	examples/routes/limpet.yaml \
	examples/socketio-chat/check.js \
	examples/socketio-chat/limpet.yaml \
	examples/socketio-chat/package-lock.json \
	examples/socketio-chat/package.json \
	examples/socketio-chat/page.html \
	examples/socketio-chat/run.sh \
	examples/socketio-chat/server.js \
	examples/tcp/redis.yaml \
	examples/tcp/sni.yaml \
	examples/tls/README.md \
	examples/tls/certs.sh \
	examples/tls/limpet.yaml \
	examples/two-tier/README.md \
	examples/two-tier/edge.yaml \
	examples/two-tier/node.yaml
