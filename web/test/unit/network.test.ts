import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mappingOf, parseCandidate, parseNetwork, networkRecord } from '../../src/session/network';

test('what the other end says about its network is accepted as far as this version knows it', () => {
  const nothing = { mapping: 'unknown', udp: 'unknown', relay: '' };
  const rows: [said: unknown, want: unknown][] = [
    [{}, nothing],
    [
      { mapping: 'address-dependent', udp: 'blocked', relay: 'tls' },
      { mapping: 'address-dependent', udp: 'blocked', relay: 'tls' },
    ],
    [{ mapping: '<b>', udp: 'of course', relay: 'pigeon' }, nothing],
    [{ mapping: ['none'], udp: 1, relay: null }, nothing],
    [undefined, undefined],
    [null, undefined],
    ['none', undefined],
  ];

  for (const [said, want] of rows) assert.deepEqual(parseNetwork(said), want, JSON.stringify(said));
  assert.deepEqual(networkRecord({ mapping: 'none', udp: 'open', relay: '' }), { mapping: 'none', udp: 'open' });

  assert.deepEqual(networkRecord({ mapping: 'none', udp: 'open', relay: 'tcp' }), {
    mapping: 'none',
    udp: 'open',
    relay: 'tcp',
  });
});

const host = 'candidate:1 1 udp 2122260223 192.168.1.2 5000 typ host generation 0';
const name = 'candidate:1 1 udp 2122260223 1b2c.local 5000 typ host';
const second = 'candidate:2 1 udp 2122260223 3d4e.local 5001 typ host';
const seen = (address: string, port: number, base = '192.168.1.2 rport 5000'): string =>
  `candidate:3 1 udp 1685987071 ${address} ${port} typ srflx raddr ${base}`;
const hidden = '0.0.0.0 rport 0';

test('the candidates from two ports of the relay show how the NAT maps', () => {
  const rows: [name: string, lines: string[], complete: boolean, relayed: boolean, want: string][] = [
    ['nothing yet', [host], false, true, 'unknown'],
    ['nobody answered', [host], true, false, 'unknown'],
    ['no host of ours either', [], true, true, 'unknown'],
    ['the address itself, left out', [host], true, true, 'none'],
    ['the address itself', [host, seen('192.168.1.2', 5000)], true, true, 'none'],
    ['a server of this machine', [host, seen('127.0.0.1', 5000)], true, true, 'none'],
    ['one mapping, and more to come', [host, seen('203.0.113.1', 7)], false, true, 'unknown'],
    ['one mapping', [host, seen('203.0.113.1', 7)], true, true, 'endpoint-independent'],
    [
      'two mappings of a socket',
      [host, seen('203.0.113.1', 7), seen('203.0.113.1', 8)],
      false,
      true,
      'address-and-port-dependent',
    ],
    [
      'two sockets',
      [host, seen('203.0.113.1', 7), seen('203.0.113.1', 8, '10.0.0.1 rport 9')],
      true,
      true,
      'endpoint-independent',
    ],
    [
      'two mappings of the one hidden socket',
      [name, seen('203.0.113.1', 7, hidden), seen('203.0.113.1', 8, hidden)],
      true,
      true,
      'address-and-port-dependent',
    ],
    [
      'two mappings, and two hidden sockets',
      [name, second, seen('203.0.113.1', 7, hidden), seen('203.0.113.1', 8, hidden)],
      true,
      true,
      'unknown',
    ],
    [
      "one of RTCP's own",
      [host, seen('203.0.113.1', 7), seen('203.0.113.1', 8).replace(':3 1', ':3 2')],
      true,
      true,
      'endpoint-independent',
    ],
  ];

  for (const [row, lines, complete, relayed, want] of rows) {
    const all = lines.flatMap((l) => parseCandidate(l) ?? []);
    assert.equal(mappingOf(all, 2, complete, relayed), want, row);
  }

  assert.equal(
    mappingOf(
      [host, seen('203.0.113.1', 7)].flatMap((l) => parseCandidate(l) ?? []),
      1,
      true,
      true,
    ),
    'unknown',
    'asked one port alone',
  );
});
