/** Debian's Chromium, headless, with a profile of its own. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

const open = new Set();

/** Closes what a test that failed left open: a browser keeps the tests from ending. */
export async function closeBrowsers() {
  await Promise.all([...open].map((browser) => browser.close()));
}

/** Opens a browser. `page` opens a page of a size, and remembers what it complained of. */
export async function openBrowser({ width = 1440, height = 900, scheme = 'dark', phone = false, reducedMotion = 'no-preference' } = {}) {
  const profile = await mkdtemp(join(tmpdir(), 'comfyd-chromium-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', headless: true, args: FLAGS, viewport: { width, height }, colorScheme: scheme, reducedMotion,
    ...(phone && { isMobile: true, hasTouch: true, deviceScaleFactor: 2 }), permissions: ['clipboard-read', 'clipboard-write'],
  });
  // A machine that builds meanwhile is slow, and not wrong.
  context.setDefaultTimeout(60_000);
  const complaints = [];
  context.on('weberror', (error) => complaints.push(String(error.error())));
  context.on('console', (message) => {
    if (message.type() === 'error' && !/Failed to load resource|net::ERR_/.test(message.text())) complaints.push(message.text());
  });
  const browser = {
    context, complaints,
    page: async (url) => {
      const page = await context.newPage();
      if (url) await page.goto(url);
      return page;
    },
    close: async () => {
      open.delete(browser);
      await context.close();
      await rm(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
  open.add(browser);
  return browser;
}
