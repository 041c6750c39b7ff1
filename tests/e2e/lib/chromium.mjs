/* SPDX-License-Identifier: MIT */
/* A headless Chromium with an empty profile, driven over its debugging protocol. */
import fs from 'node:fs';
import { chromium } from 'playwright-core';
import { temp_dir } from './util.mjs';

export const CHROMIUM = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((file) => file && fs.existsSync(file));

export async function start_browser(more = [])
{
	return chromium.launchPersistentContext(temp_dir('b'), {
		executablePath: CHROMIUM, headless: true, chromiumSandbox: false, timeout: 30000,
		args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
			'--disable-component-update', '--disable-sync', '--no-proxy-server', '--disable-dev-shm-usage', ...more],
	});
}
