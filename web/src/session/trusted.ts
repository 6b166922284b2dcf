// Trusted Types: in browsers that support them, the page's policy lets no string become code, markup or the address of
// a script unless it passes here.

interface PolicyFactory {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): { createScriptURL(url: string): string };
}

const worker = '/worker.js';

const policy = (globalThis as { trustedTypes?: PolicyFactory }).trustedTypes?.createPolicy('peephole', {
  createScriptURL: (url) => {
    if (url !== worker) throw new TypeError(`${url} is no script of this page`);
    return url;
  },
});

/** The address of the page's only worker. */
export const workerURL = policy?.createScriptURL(worker) ?? worker;
