import assert from 'node:assert/strict';
import { test } from 'node:test';
import { splitCandidates } from '../../src/session/candidates';
import { configuration, outgoing, stunServers } from '../../src/session/ice';

const grant = {
  urls: [
    'turn:192.0.2.1:3478?transport=udp',
    'turn:192.0.2.1:3478?transport=tcp',
    'turns:relay.example:443?transport=tcp',
    'stun:192.0.2.1:3479',
  ],
  ttl: 60,
  viewer: { username: 'v', credential: 'p' },
  camera: { username: 'c', credential: 'q' },
};

test('the relay’s two UDP ports are asked for a mapped address, unless this device hides', () => {
  const relays = { urls: grant.urls.slice(0, 3), username: 'v', credential: 'p' };
  assert.deepEqual(stunServers(grant), ['stun:192.0.2.1:3478', 'stun:192.0.2.1:3479']);

  assert.deepEqual(configuration(grant, false), {
    iceServers: [relays, { urls: stunServers(grant) }],
    bundlePolicy: 'max-bundle',
  });

  assert.deepEqual(configuration(grant, true), {
    iceServers: [relays],
    bundlePolicy: 'max-bundle',
    iceTransportPolicy: 'relay',
  });
});

test('a relayed candidate reveals nothing about this device, and a hiding device sends no other', () => {
  const host = 'candidate:1 1 udp 2122260223 192.168.1.2 5000 typ host generation 0 ufrag x';
  const srflx = 'candidate:2 1 udp 1685987071 203.0.113.1 5000 typ srflx raddr 192.168.1.2 rport 5000';
  const relay = (related: string): string =>
    `candidate:3 1 udp 41885439 198.18.0.1 49153 typ relay raddr ${related} generation 0`;
  const rows: [line: string, open: string, hidden?: string][] = [
    [host, host],
    [srflx, srflx],
    [relay('203.0.113.1 rport 5000'), relay('0.0.0.0 rport 9'), relay('0.0.0.0 rport 9')],
    [relay('2001:db8::1 rport 5000'), relay('0.0.0.0 rport 9'), relay('0.0.0.0 rport 9')],
    ['', '', ''],
    ['candidate:4 1 udp 1 relay.local 5 typ host', 'candidate:4 1 udp 1 relay.local 5 typ host'],
    [
      'candidate:5 1 udp 1 192.168.1.2 5 typ host ufrag typ relay',
      'candidate:5 1 udp 1 192.168.1.2 5 typ host ufrag typ relay',
    ],
  ];

  for (const [line, open, hidden] of rows) {
    assert.equal(outgoing(line, false), open, line);
    assert.equal(outgoing(line, true), hidden, line);
  }
});

test('a description is sent without candidates', () => {
  const media = 'v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n';
  const candidates = 'a=candidate:1 1 udp 1 192.168.1.2 5 typ host\r\na=end-of-candidates\r\n';
  const sdp = `${media}${candidates}a=mid:0\r\n`;
  assert.equal(splitCandidates(sdp).sdp, 'v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\n');
});
