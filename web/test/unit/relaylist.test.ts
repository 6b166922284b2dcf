import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromBase64url, toBase64url } from '../../src/bytes';
import { noVersion, parseRelayList } from '../../src/signaling/relaylist';

const zeros = (n: number): string => toBase64url(new Uint8Array(n));
const home = { name: 'frankfurt', url: 'https://fra.example', round_trip: 12 };
const standby = { name: 'virginia-2', url: 'https://va.example:8443', round_trip: 10_000 };
const whole = { version: toBase64url(new Uint8Array(8).fill(1)), home, standby, seed: zeros(16), operator: zeros(32) };
const pairedAt = 'https://relay.example';

test('a relay list is read as the camera wrote it', () => {
  assert.deepEqual(parseRelayList(whole, pairedAt), {
    version: whole.version,
    home: { name: 'frankfurt', url: 'https://fra.example', roundTrip: 12 },
    standby: { name: 'virginia-2', url: 'https://va.example:8443', roundTrip: 10_000 },
    seed: new Uint8Array(16),
    operator: new Uint8Array(32),
  });

  const least = { version: whole.version, home: { url: home.url, round_trip: 0 }, seed: whole.seed };
  assert.deepEqual(parseRelayList(least, pairedAt), {
    version: whole.version,
    home: { url: home.url, roundTrip: 0 },
    seed: new Uint8Array(16),
  });

  const turn = [
    { name: 'frankfurt', round_trip: 1 },
    { name: 'virginia-2', round_trip: 10_000 },
  ];
  assert.deepEqual(parseRelayList({ ...whole, turn }, pairedAt)?.turn, [
    { name: 'frankfurt', roundTrip: 1 },
    { name: 'virginia-2', roundTrip: 10_000 },
  ]);

  assert.deepEqual(fromBase64url(noVersion), new Uint8Array(8));
});

test('a malformed relay list is none', () => {
  const rows: Record<string, unknown> = {
    nothing: undefined,
    null: null,
    text: 'relays',
    'no version': { ...whole, version: undefined },
    'a longer version': { ...whole, version: zeros(9) },
    'a version that is a number': { ...whole, version: 7 },
    'a version with unused bits': { ...whole, version: 'AAAAAAAAAAB' },
    'no home': { ...whole, home: undefined },
    'no standby but null': { ...whole, standby: null },
    'a standby that is home': { ...whole, standby: { ...standby, url: home.url } },
    'no seed': { ...whole, seed: undefined },
    'a shorter seed': { ...whole, seed: zeros(15) },
    'a shorter key': { ...whole, operator: zeros(31) },
    'a padded key': { ...whole, operator: `${zeros(32)}=` },
    'an empty name': { ...whole, home: { ...home, name: '' } },
    'a name too long': { ...whole, home: { ...home, name: 'a'.repeat(33) } },
    'a name in capitals': { ...whole, home: { ...home, name: 'Frankfurt' } },
    'no URL': { ...whole, home: { ...home, url: undefined } },
    'another spelling of a URL': { ...whole, home: { ...home, url: 'https://fra.example/' } },
    'no relay’s URL': { ...whole, standby: { ...standby, url: 'https://fra.example./' } },
    'this machine, though the pair was made elsewhere': { ...whole, home: { ...home, url: 'http://127.0.0.1:7880' } },
    'this machine by TLS': { ...whole, home: { ...home, url: 'https://localhost' } },
    'no round trip': { ...whole, home: { ...home, round_trip: undefined } },
    'a negative round trip': { ...whole, home: { ...home, round_trip: -1 } },
    'a round trip too long': { ...whole, home: { ...home, round_trip: 10_001 } },
    'a fraction of a round trip': { ...whole, home: { ...home, round_trip: 0.5 } },
    'legs that are no list': { ...whole, turn: {} },
    'a leg to no region': { ...whole, turn: [{ round_trip: 7 }] },
    'a leg to a region in capitals': { ...whole, turn: [{ name: 'Frankfurt', round_trip: 7 }] },
    'a leg of no length': { ...whole, turn: [{ name: 'frankfurt', round_trip: 0 }] },
    'a leg too long': { ...whole, turn: [{ name: 'frankfurt', round_trip: 10_001 }] },
    'six legs': { ...whole, turn: Array<object>(6).fill({ name: 'frankfurt', round_trip: 7 }) },
    'a round trip in words': { ...whole, home: { ...home, round_trip: '12' } },
  };

  for (const [name, said] of Object.entries(rows)) assert.equal(parseRelayList(said, pairedAt), undefined, name);
});

test('http is for pairs that were made over http', () => {
  const local = { ...whole, home: { ...home, url: 'http://127.0.0.1:7880' } };
  assert.equal(parseRelayList(local, 'http://127.0.0.1:7881')?.home.url, 'http://127.0.0.1:7880');
});
