/** An IP address: 4 or 16 bytes. */
export type Address = readonly number[];

/**
 * Returns undefined for a name: browsers hide host addresses behind multicast DNS names. An IPv4-mapped IPv6 address is
 * returned as IPv4.
 */
export function parseAddress(text: string): Address | undefined {
  const plain = text.replace(/^\[|\]$/g, '').replace(/%.*$/, '');
  const address = plain.includes(':') ? parseIPv6(plain) : parseIPv4(plain);
  return address?.length === 16 && mapped.every((b, i) => address[i] === b) ? address.slice(12) : address;
}

const mapped = [...new Array<number>(10).fill(0), 255, 255]; // ::ffff:0:0/96

function parseIPv4(text: string): Address | undefined {
  const parts = text.split('.');
  const bytes = parts.map((p) => (/^\d{1,3}$/.test(p) ? Number(p) : 256));
  return bytes.length === 4 && bytes.every((b) => b < 256) ? bytes : undefined;
}

function parseIPv6(text: string): Address | undefined {
  const halves = text.split('::');
  const [head, tail] = [groups(halves[0]!), groups(halves[1] ?? '')];
  if (head === undefined || tail === undefined || halves.length > 2) return undefined;
  const gap = 16 - head.length - tail.length;
  return (halves.length === 2 ? gap > 0 : gap === 0)
    ? [...head, ...new Array<number>(gap).fill(0), ...tail]
    : undefined;
}

function groups(text: string): number[] | undefined {
  const bytes: number[] = [];
  for (const g of text === '' ? [] : text.split(':')) {
    const v4 = parseIPv4(g);
    if (v4) bytes.push(...v4);
    else if (/^[0-9a-f]{1,4}$/i.test(g)) bytes.push(parseInt(g, 16) >> 8, parseInt(g, 16) & 255);
    else return undefined;
  }

  return bytes;
}

/** Reports whether address lies in the network of this prefix. */
export function within(address: Address, network: Address, bits: number): boolean {
  if (address.length !== network.length) return false;
  for (let i = 0; i * 8 < bits; i++) {
    const mask = (0xff00 >> Math.min(8, bits - 8 * i)) & 0xff;
    if (((address[i]! ^ network[i]!) & mask) !== 0) return false;
  }
  return true;
}

type Block = readonly [text: string, bits: number];
const loopback: Block[] = [
  ['127.0.0.0', 8],
  ['::1', 128],
];
const privateBlocks: Block[] = [
  ['10.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['fc00::', 7],
];
const linkLocal: Block[] = [
  ['169.254.0.0', 16],
  ['fe80::', 10],
];
// The last is RFC 6598.
const notGlobal: Block[] = [
  ['0.0.0.0', 32],
  ['::', 128],
  ['224.0.0.0', 4],
  ['255.255.255.255', 32],
  ['ff00::', 8],
  ['100.64.0.0', 10],
];

const some = (a: Address, blocks: Block[]): boolean =>
  blocks.some(([text, bits]) => within(a, parseAddress(text)!, bits));

export const isLoopback = (a: Address): boolean => some(a, loopback);

/** Reports whether an address is valid only within its own network. */
export const isLocal = (a: Address): boolean => some(a, privateBlocks) || some(a, linkLocal);

/** Reports whether an address can be reached from anywhere. */
export const isPublic = (a: Address): boolean => !isLoopback(a) && !isLocal(a) && !some(a, notGlobal);

export const same = (a: Address, b: Address): boolean => within(a, b, 8 * a.length);
