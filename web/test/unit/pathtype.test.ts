import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isPublic, parseAddress } from '../../src/session/address';
import { kindOf, over, pathTypeOf, throughOf, type Candidate, type Way } from '../../src/session/pathtype';

/** Makes a candidate from "host 192.0.2.1", "relay tcp" and the like, as session/path/pathtype_test.go does. */
function at(text: string): Candidate {
  const [type, where = ''] = text.split(' ');
  const relay = type === 'relay';
  return {
    type: type!,
    tcp: false,
    address: relay ? '198.18.0.1' : where,
    port: 5000,
    way: relay ? (where as Way) : '',
  };
}

const [v6, near, far] = ['2001:db8:1::2', '2001:db8:1::3', '2001:db8:2::3'];

test('a pair of candidates has the path type that Go gives it', () => {
  const rows: [
    name: string,
    local: string,
    remote: string,
    ours: string[],
    theirs: string[],
    rung?: string,
    through?: string,
  ][] = [
    ['on one machine', 'host 127.0.0.1', 'host 127.0.0.1', [], [], 'lan'],
    ['at home', 'host 192.168.1.2', 'host 192.168.1.3', [], [], 'lan'],
    ['at home, seen by the checks', 'host 192.168.1.2', 'prflx 192.168.1.3', [], [], 'lan'],
    ["at home, by a browser's name", 'host 192.168.1.2', 'host 1b2c.local', [], [], 'lan'],
    ['at home, and the browser hides its own', 'host ', 'host 192.168.1.3', [], [], 'lan'],
    ['at home over IPv6', `host ${v6}`, `host ${near}`, [], [], 'lan'],
    ['at home over IPv6, by another address of this end', `prflx ${far}`, `host ${near}`, [`host ${v6}`], [], 'lan'],
    ['at home over IPv6 with local addresses', 'host fd00::1', 'host fd00::2', [], [], 'lan'],
    ['over a link', 'host fe80::1', 'host fe80::2', [], [], 'lan'],
    ['with a server of one machine', 'host 203.0.113.1', 'srflx 203.0.113.1', [], [], 'lan'],
    [
      'through one router and back',
      'srflx 203.0.113.1',
      'srflx 203.0.113.1',
      ['host 192.168.1.2'],
      ['host 192.168.1.3'],
      'direct',
      'hole',
    ],
    ['IPv6', `host ${v6}`, `host ${far}`, [], [], 'ipv6'],
    ['IPv6, and a browser hides its own', 'host 1b2c.local', `host ${far}`, [], [], 'ipv6'],
    ['two homes', 'host 192.168.1.2', 'srflx 203.0.113.1', [], [], 'direct', 'hole'],
    ['a server and a home', 'host 203.0.113.1', 'prflx 203.0.113.2', [], [], 'direct', 'hole'],
    ['carrier-grade', 'host 100.64.0.2', 'host 203.0.113.1', [], [], 'direct', 'hole'],
    ['behind one carrier', 'host 203.0.113.1', 'host 100.64.0.3', [], [], 'direct', 'unknown'],
    ['two servers', 'host 203.0.113.1', 'host 203.0.113.2', [], [], 'direct', 'nothing'],
    [
      'two servers, as STUN sees them',
      'srflx 203.0.113.1',
      'srflx 203.0.113.2',
      ['host 203.0.113.1'],
      ['host 203.0.113.2'],
      'direct',
      'nothing',
    ],
    [
      'a server that is not the one STUN saw',
      'host 203.0.113.1',
      'srflx 203.0.113.2',
      [],
      ['host 203.0.113.3'],
      'direct',
      'hole',
    ],
    ['a browser that hides everything', 'host 1b2c.local', 'host 203.0.113.2', [], [], 'direct', 'unknown'],
    ['relayed', 'relay udp', 'relay ', [], [], 'relay-udp'],
    ['relayed over TCP', 'relay tcp', 'relay ', [], [], 'relay-tcp'],
    ['relayed over TLS', 'relay tls', 'relay ', [], [], 'relay-tls'],
    ['a relay has no way out', 'relay udp', 'host 192.168.1.2', [], []],
    ['and no way in', 'host 192.168.1.2', 'relay ', [], []],
  ];

  for (const [name, l, r, o, t, rung, through] of rows) {
    const [local, remote] = [at(l), at(r)];
    const [ours, theirs] = [
      [local, ...o.map(at)],
      [remote, ...t.map(at)],
    ];
    assert.equal(pathTypeOf(local, remote, ours), rung, name);
    if (rung === 'direct') assert.equal(throughOf(local, remote, ours, theirs), through, name);
  }
});

test('a relayed path is named after the worse of both ends’ ways to the relay', () => {
  for (const [r, way, want] of [
    ['relay-udp', '', 'relay-udp'],
    ['relay-udp', 'tcp', 'relay-tcp'],
    ['relay-udp', 'tls', 'relay-tls'],
    ['relay-tcp', 'udp', 'relay-tcp'],
    ['relay-tcp', 'tls', 'relay-tls'],
    ['relay-tls', 'udp', 'relay-tls'],
  ] as const) {
    assert.equal(over(r, way), want, `${r} and ${way}`);
  }
});

test('a candidate’s kind reveals only its type and family', () => {
  const rows: Record<string, Candidate> = {
    host4: at('host ::ffff:192.0.2.1'),
    host6: at('host fe80::1%eth0'),
    host: at('host 1b2c.local'),
    srflx4: at('srflx 192.0.2.1'),
    prflx6: at('prflx [2001:db8::1]'),
    prflx: at('prflx '),
    relay4: at('relay udp'),
    'host-tcp4': { ...at('host 192.0.2.1'), tcp: true },
  };

  for (const [want, c] of Object.entries(rows)) assert.equal(kindOf(c), want, c.address);
});

test('addresses are read in all their spellings, and nothing else is', () => {
  const v4 = (...b: number[]): number[] => b;
  const rows: [string, readonly number[] | undefined][] = [
    ['192.0.2.1', v4(192, 0, 2, 1)],
    ['::ffff:192.0.2.1', v4(192, 0, 2, 1)],
    ['::1', [...new Array<number>(15).fill(0), 1]],
    ['1:2:3:4:5:6:7:8', [0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8]],
    ['fe80::1%eth0', [0xfe, 0x80, ...new Array<number>(13).fill(0), 1]],
    ['', undefined],
    ['a.local', undefined],
    ['256.0.0.1', undefined],
    ['1.2.3', undefined],
    ['1::2::3', undefined],
    ['1:2:3:4:5:6:7', undefined],
    ['1:2:3:4:5:6:7:8:9', undefined],
    ['12345::', undefined],
  ];

  for (const [spelled, want] of rows) assert.deepEqual(parseAddress(spelled), want, spelled);

  for (const [spelled, want] of Object.entries({
    '203.0.113.1': true,
    '100.64.0.1': false,
    '172.31.0.1': false,
    '172.32.0.1': true,
    'fd00::1': false,
    '2001:db8::1': true,
    '224.0.0.1': false,
  })) {
    assert.equal(isPublic(parseAddress(spelled)!), want, spelled);
  }
});
