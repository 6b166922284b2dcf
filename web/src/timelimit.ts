/** How often the time is counted, in milliseconds. */
const step = 250;

/**
 * Calls passed after the page has had that many milliseconds to work; returns a function that cancels it. While the
 * device sleeps or is too busy, messages may have arrived without being read, so a step that comes late counts as one
 * step only and is never the last.
 */
export function afterOwnTime(ms: number, passed: () => void): () => void {
  let left = ms;
  let last = performance.now();
  const count = (): void => {
    const took = performance.now() - last;
    last += took;
    left = took < 2 * step ? left - took : Math.max(left - step, 1);
    if (left > 0) timer = setTimeout(count, step);
    else passed();
  };

  let timer = setTimeout(count, step);
  return () => clearTimeout(timer);
}
