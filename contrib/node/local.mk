# SPDX-License-Identifier: MIT
# The Node package for workers.
EXTRA_DIST += \
	contrib/node/README.md \
	contrib/node/fixtures/peer.js \
	contrib/node/fixtures/worker.js \
	contrib/node/index.d.ts \
	contrib/node/index.js \
	contrib/node/lib/accept.js \
	contrib/node/lib/drain.js \
	contrib/node/lib/header.js \
	contrib/node/lib/listen.js \
	contrib/node/package.json \
	contrib/node/test/accept.test.js \
	contrib/node/test/drain.test.js \
	contrib/node/test/header.test.js \
	contrib/node/test/listen.test.js \
	contrib/node/test/socketio.test.js
