import { random, toHex } from '../bytes';

// The pairing code that this tab asks about. While the question or the pairing is open, the tab's session storage keeps
// the code, so that a reload and the browser's buttons lead back to the question. They never answer it: a yes counts
// only for the page that was opened because of it.

const key = 'peephole.code';

/** A page that is opened because of a yes must start within this time, or the person is asked again. Milliseconds. */
const handOverTime = 60_000;

export interface PendingCode {
  link: string;
  /** A person has agreed to it. */
  agreed: boolean;
}

interface Kept extends PendingCode {
  /** Identifies the page that is opened for the code; empty if there is none. */
  next: string;
  /** When that page was opened, in Unix milliseconds. */
  at: number;
}

const keep = (kept: Kept): void => sessionStorage.setItem(key, JSON.stringify(kept));

/** Stores the code that a person is asked about. */
export const keepCode = (link: string): void => keep({ link, agreed: false, next: '', at: 0 });

export const dropCode = (): void => sessionStorage.removeItem(key);

/** Hands a code to the page that opens next, and returns the fragment that its address must have. */
export function handOver(code: PendingCode): string {
  const next = toHex(random(16));
  keep({ ...code, next, at: Date.now() });
  return `#${next}`;
}

/**
 * Returns the code with which, or for which, the page was opened, or about which it asked before a reload. Removes
 * secret and token from the page's address, so that no history keeps them.
 */
export function takeCode(): PendingCode | undefined {
  const fragment = location.hash.slice(1);
  const opened = location.pathname.endsWith('/pair');
  if (opened || fragment !== '') history.replaceState(null, '', `/${location.search}`);
  const code = opened ? { link: linkOf(fragment), agreed: false } : keptCode(fragment);
  if (code === undefined) dropCode();
  else keepCode(code.link);
  return code;
}

/**
 * Returns the link that was this page's address: its code belongs to the relay that serves the page, or names another
 * relay in full.
 */
const linkOf = (fragment: string): string =>
  fragment.includes('/pair#') ? fragment : `${location.origin}/pair#${fragment}`;

function keptCode(fragment: string): PendingCode | undefined {
  const text = sessionStorage.getItem(key);
  if (text === null) return undefined;

  const { link, agreed, next, at } = JSON.parse(text) as Kept;

  const [navigation] = performance.getEntriesByType('navigation') as PerformanceNavigationTiming[];
  if (navigation?.type !== 'navigate') return { link, agreed: false }; // reloaded, by a person or by the browser
  if (next === '' || next !== fragment) return undefined; // a new visit, which leaves the question
  return { link, agreed: agreed && Math.abs(Date.now() - at) < handOverTime };
}
