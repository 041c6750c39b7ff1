// SPDX-License-Identifier: MIT
'use strict';

const { listen } = require('./lib/listen');
const { drain } = require('./lib/drain');
const { acceptProxy } = require('./lib/accept');
const { parseHeader } = require('./lib/header');

// Written out name by name, so that `import { listen } from 'limpet-worker'` finds the names.
module.exports = { listen, drain, acceptProxy, parseHeader };
