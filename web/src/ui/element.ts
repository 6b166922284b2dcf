/**
 * Returns the element below root that the selector names. Throws if the page lacks it, which is a bug in this program.
 */
export function element<T extends Element>(root: ParentNode, selector: string, type: new () => T): T {
  const found = root.querySelector(selector);
  if (!(found instanceof type)) throw new Error(`find ${selector}: not on the page`);
  return found;
}
