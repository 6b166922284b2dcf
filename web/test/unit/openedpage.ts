// A tab of a browser, with a page's address and the tab's session storage.

export interface Opened {
  /** The addresses that the page has opened in place of itself. */
  gone: string[];
  /** What the address bar shows. */
  address: string;
}

let page: Opened;

/** The page that is open now. */
export const opened = (): Opened => page;

/** Starts with an empty session storage. */
export function newTab(): void {
  const kept = new Map<string, string>();
  globalThis.sessionStorage = {
    getItem: (k: string) => kept.get(k) ?? null,
    setItem: (k: string, v: string) => void kept.set(k, v),
    removeItem: (k: string) => void kept.delete(k),
  } as unknown as Storage;
}

/** Opens an address, by a link or by hand, or again with the browser's buttons. */
export function openPage(address: string, type: NavigationTimingType = 'navigate'): Opened {
  page = { gone: [], address };
  const { origin, pathname, search, hash } = new URL(address);
  const replace = (to: string): void => void page.gone.push(to);
  globalThis.location = {
    origin,
    pathname,
    search,
    hash,
    replace,
  } as unknown as Location;

  const replaceState = (_: unknown, __: string, to: string): void => void (page.address = origin + to);
  globalThis.history = { replaceState } as unknown as History;
  performance.getEntriesByType = (kind: string) => (kind === 'navigation' ? [{ type }] : []) as never;
  return page;
}
