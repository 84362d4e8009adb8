/** What tests read of the page. */

/** The state of a run's page as text, without what follows the clock, and without previews, which are of no event: two pages at one seq must say the same. */
export async function stateOf(page) {
  return page.evaluate(() => {
    const head = document.querySelector('.run-head');
    if (!head) return undefined;
    const copy = document.querySelector('.run-page')?.cloneNode(true);
    if (!copy) return undefined;
    for (const ticking of copy.querySelectorAll('[data-clock], .restored, .timeline, .log, .preview')) ticking.remove();
    return {
      seq: Number(head.getAttribute('data-seq')),
      status: head.getAttribute('data-status'),
      percent: Number(head.querySelector('[role=progressbar]')?.getAttribute('aria-label')?.split(' ')[0]),
      nodes: Object.fromEntries([...document.querySelectorAll('.graph .node')].map((node) => [node.getAttribute('data-node'), node.getAttribute('data-state')])),
      text: copy.textContent.replace(/\s+/g, ' '),
    };
  });
}

/** How far a node's state is: it never goes back. */
export const RANK = { waiting: 0, blocked: 1, not_reached: 1, running: 2, cached: 3, done: 3, failed: 3, interrupted: 3 };

/** Scrolls a box, as soon as it is long enough for that. */
export async function scroll(page, selector, top) {
  const there = ([of, wanted]) => {
    const box = document.querySelector(of);
    if (box) box.scrollTop = wanted;
    return box?.scrollTop === wanted;
  };
  await page.waitForFunction(there, [selector, top]);
}
