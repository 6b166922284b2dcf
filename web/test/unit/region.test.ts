import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toBase64url, utf8, type Bytes } from '../../src/bytes';
import { sign, signingKeyFromSeed } from '../../src/crypto/label';
import { MapError, maxMap, openMap, placeOrder, replaces, type RegionMap } from '../../src/signaling/region';
import { readJSON } from './testdata';

const base64 = (s: string): Bytes => Uint8Array.from(Buffer.from(s, 'base64'));

interface Vector {
  name: string;
  seed: string;
  wire: string;
  now: number;
  error?: string;
  regions?: object[];
}

const vectors = readJSON<Vector[]>('signaling/region/testdata/vectors.json');
const { key, publicKey } = await signingKeyFromSeed(new Uint8Array(32).fill(1));
const stranger = (await signingKeyFromSeed(new Uint8Array(32).fill(2))).publicKey;

/** Signs what an operator would not. */
async function signText(map: string, label = 'region map'): Promise<string> {
  const signature = toBase64url(await sign(key, label, utf8(map)));
  return `${JSON.stringify({ map, key: toBase64url(publicKey), signature })}\n`;
}

/** Returns why a map does not open. */
const fault = (wire: string, operator = publicKey): Promise<string | undefined> =>
  openMap(wire, operator).then(
    () => undefined,
    (e: unknown) => (e instanceof MapError ? e.why : String(e)),
  );

test('maps open as in Go', async () => {
  assert.ok(vectors.length > 3);

  for (const { name, seed, wire, now, error, regions } of vectors) {
    const operator = (await signingKeyFromSeed(base64(seed))).publicKey;
    if (error !== undefined && error !== 'expired') {
      assert.equal(await fault(wire, operator), error, name);
      continue;
    }

    const map = await openMap(wire, operator);
    assert.deepEqual(map.regions, regions, name);
    assert.equal(map.notAfter < now, error === 'expired', name);
  }
});

const good = vectors[0]!.wire;
const { map: text, signature } = JSON.parse(good) as { map: string; signature: string };

test('what is no map in its one spelling does not open', async () => {
  const outside = (from: string, to: string): string => good.replace(from, () => to);
  const inside = (from: string, to: string): Promise<string> => {
    assert.ok(text.includes(from), from);
    return signText(text.replace(from, to));
  };
  const ofRegions = (n: number): Promise<string> => {
    const regions = Array.from({ length: n }, (_, i) => ({ name: `r${i}`, url: `https://r${i}.a`, turn: `r${i}.a:1` }));
    return signText(JSON.stringify({ v: 1, issued: 1, not_after: 2, regions }));
  };

  const keyed = (...first: string[]): string => {
    const key = (c: string): string => c.padEnd(43, 'A');
    const regions = first.map((c, i) => ({ name: `r${i}`, url: `https://r${i}.a`, turn: 'a:1', key: key(c) }));
    return JSON.stringify({ v: 2, issued: 1, not_after: 2, regions });
  };

  assert.equal(await fault(await signText(keyed('A', 'B'))), undefined);
  assert.equal(await fault(await signText(text)), undefined);
  assert.equal(await fault(await ofRegions(256)), undefined);
  assert.equal(await fault(await inside('issued":1800000000', 'issued":0')), undefined);
  assert.equal(await fault(await inside('not_after":1807776000', 'not_after":253402300799')), undefined);

  for (const [name, wire] of Object.entries({
    nothing: '',
    'a torn one': good.slice(0, 99),
    two: good + good,
    null: 'null\n',
    'a page': '<html>\n',
    'an unknown field': outside('"key"', '"age":1,"key"'),
    'a field in another case': outside('"map"', '"MAP"'),
    'a field twice': outside('"key"', '"map":"{}","key"'),
    'a byte order mark': `\ufeff${good}`,
    'a signature cut short': outside(signature, signature.slice(0, 84)),
    'padding of a signature': outside(signature, `${signature}==`),
    'unused bits of a signature': outside(signature, `${signature.slice(0, -1)}R`),
    'an escaped letter': outside('frankfurt', '\\u0066rankfurt'),
    'too much': await signText('a'.repeat(maxMap)),
    'no regions': await ofRegions(0),
    'regions beyond the limit': await ofRegions(257),
    'an unknown field inside': await inside('"name"', '"age":1,"name"'),
    'another case inside': await inside('"url"', '"URL"'),
    'another order inside': await inside('"v":1,"issued":1800000000', '"issued":1800000000,"v":1'),
    'an empty stun': await inside('relay.example:3478"', 'relay.example:3478","stun":""'),
    'an empty key': await inside('relay.example:3478"', 'relay.example:3478","key":""'),
    'no version': await inside('"v":1,', ''),
    'version 0': await inside('"v":1', '"v":0'),
    'an exponent': await inside('1800000000', '18e8'),
    'a time that is negative': await inside('1800000000', '-1'),
    'a time beyond the last': await inside('1807776000', '253402300800'),
    'an end before it is issued': await inside('1807776000', '1800000000'),
    'something after it': await signText(`${text} {}`),
    'a name in capitals': await inside('frankfurt', 'Frankfurt'),
    'a name too long': await inside('frankfurt', 'f'.repeat(33)),
    'a name twice': await inside('virginia-2', 'frankfurt'),
    'a URL twice': await inside('https://[2001:db8::1]:8443', 'https://fra.relay.example'),
    'a key twice': await signText(keyed('A', 'A')),
    'http to another machine': await inside('https://fra', 'http://fra'),
    'another spelling of a URL': await inside('https://fra.relay.example', 'https://fra.relay.example/'),
    'a URL that leads nowhere': await inside('https://[2001:db8::1]', 'https://[::]'),
    'a region that is none': await signText('{"v":1,"issued":1,"not_after":2,"regions":[null]}'),
  })) {
    assert.equal(await fault(wire), 'map', name);
  }
});

test('a host and a port have one spelling, and lead somewhere', async () => {
  for (const [turn, want] of Object.entries({
    'turn.example:3478': undefined,
    '192.0.2.1:443': undefined,
    '[2001:db8::1]:65535': undefined,
    'localhost:1': undefined,
    'turn.example': 'map',
    'turn.example:': 'map',
    'turn.example:0': 'map',
    'turn.example:65536': 'map',
    'turn.example:03478': 'map',
    'Turn.example:3478': 'map',
    'turn..example:3478': 'map',
    'turn.example:443:3478': 'map',
    'turn.example:3478?transport=x': 'map',
    'turn.example:https': 'map',
    'user@turn.example:3478': 'map',
    ':3478': 'map',
    '0.0.0.0:3478': 'map',
    '[::]:3478': 'map',
    '127.1:3478': 'map',
    '[192.0.2.1]:3478': 'map',
    '[::ffff:192.0.2.1]:3478': 'map',
    '[2001:db8:0::1]:3478': 'map',
    '[fe80::1%eth0]:3478': 'map',
    '2001:db8::1:3478': 'map',
  })) {
    const signed = await signText(text.replace('"fra.relay.example:3478"', JSON.stringify(turn)));
    assert.equal(await fault(signed), want, turn);
  }
});

test('a map opens for its operator alone', async () => {
  assert.equal(await fault(good, stranger), 'operator');
  assert.equal(await fault(good.replace('fra.relay', 'frb.relay')), 'operator');
  assert.equal(await fault(good.replace(toBase64url(publicKey), toBase64url(stranger))), 'operator');
  assert.equal(await fault(await signText(text, 'ticket')), 'operator');
  assert.equal(await fault(await signText('{"v":3,"continents":[]}')), 'version');
});

test('a map is replaced by one that was issued later, and not by one that cannot be right', () => {
  const [now, day] = [1_800_000_000, 86_400];
  const map = (issued: number, notAfter = now + 9 * day): RegionMap => ({ issued, notAfter, regions: [] });
  const rows: [name: string, other: RegionMap, kept: RegionMap, want: boolean][] = [
    ['later', map(now), map(now - 1), true],
    ['at the same time', map(now), map(now), false],
    ['earlier', map(now - 1), map(now), false],
    ['a day ahead', map(now + day), map(now), true],
    ['more than a day ahead', map(now + day + 1), map(now), false],
    ['expired', map(now - 1, now - 1), map(now - 2), false],
    ['at its end', map(now - 1, now), map(now - 2), true],
    ['both expired', map(now - 2, now - 1), map(now - 3, now - 2), true],
    ['earlier than one that is ahead', map(now), map(now + day + 1), true],
    ['expired, and the other is ahead', map(now - 2, now - 1), map(now + day + 1), false],
    ['both ahead', map(now + day + 2), map(now + day + 1), false],
  ];
  for (const [name, other, kept, want] of rows) assert.equal(replaces(other, kept, now), want, name);
});

test('the place order is as in Go, whatever the order of the map', async () => {
  const orders = readJSON<{ seed: string; names: string[]; order: string[] }[]>('signaling/region/testdata/order.json');
  assert.ok(orders.length > 0);

  for (const { seed, names, order } of orders) {
    for (const some of [names, [...names].reverse()]) {
      const regions = some.map((name) => ({ name }));
      const got = await placeOrder(base64(seed), regions);
      assert.deepEqual(
        got.map(({ name }) => name),
        order,
      );
    }
  }
});
