import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Candidates, Quota, maxSDP, splitCandidates } from '../../src/session/candidates';

const numbered = (n: number): string => `candidate:1 1 udp 1 192.0.2.1 ${1024 + n} typ host`;
const lines = (n: number): string => Array.from({ length: n }, (_, i) => `a=${numbered(i)}\r\n`).join('');
const media = (mid: number, more = ''): string => `m=video 9 UDP/TLS/RTP/SAVPF 96\r\n${more}a=mid:${mid}\r\n`;

/** A connection that only records what it was given. */
function connection() {
  const given = { sdp: '', candidates: [] as RTCIceCandidateInit[] };
  const taken = new Candidates({
    setRemoteDescription: async (d: RTCSessionDescriptionInit) => void (given.sdp = d.sdp ?? ''),
    addIceCandidate: async (c?: RTCIceCandidateInit | null) => void given.candidates.push(c!),
  });
  return { given, taken };
}

test('no kind of candidate exceeds its quota, however they come', async () => {
  const rows: [described: number, sent: number, used: number][] = [
    [0, 400, 4],
    [400, 0, 4],
    [3, 3, 4],
    [1, 2, 3],
  ];

  for (const [described, sent, used] of rows) {
    const { given, taken } = connection();
    await taken.setDescription('answer', `v=0\r\n${media(0, lines(described))}`);
    for (let n = 0; n < sent; n++) await taken.addCandidate({ candidate: numbered(described + n), sdpMid: '0' });
    assert.equal(given.candidates.length, used, `${described} described, ${sent} sent`);
    assert.doesNotMatch(given.sdp, /candidate/, 'the browser was given candidates that nobody counted');
  }
});

test('a relayed candidate behind hundreds of others is checked', async () => {
  const { given, taken } = connection();
  const relayed = 'candidate:1 1 udp 1 198.18.0.1 5000 typ relay raddr 0.0.0.0 rport 9';
  for (let n = 0; n < 400; n++) await taken.addCandidate({ candidate: numbered(n), sdpMid: '0' });
  await taken.addCandidate({ candidate: relayed, sdpMid: '0' });
  assert.equal(given.candidates.at(-1)?.candidate, relayed);
});

test('many candidates of one kind crowd out none of another', () => {
  const kinds: Record<string, [line: (n: number) => string, kept: number]> = {
    host4: [(n) => `candidate:1 1 udp 1 192.0.2.${n} 5000 typ host generation 0`, 4],
    host6: [(n) => `candidate:1 1 udp 1 2001:db8::${n} 5000 typ host`, 4],
    hidden: [(n) => `candidate:1 1 udp 1 name-${n}.local 5000 typ host`, 4],
    srflx4: [(n) => `candidate:1 1 udp 1 203.0.113.${n} 5000 typ srflx raddr 0.0.0.0 rport 0`, 6],
    srflx6: [(n) => `candidate:1 1 UDP 1 2001:db8:1::${n} 5000 typ srflx raddr :: rport 0`, 6],
    relay: [(n) => `candidate:1 1 udp 1 198.18.0.${n} 5000 typ relay raddr 0.0.0.0 rport 9`, 16],
    unrelayed: [(n) => `candidate:1 1 udp 1 198.20.0.${n} 5000 typ relay raddr 0.0.0.0 rport 9`, 0],
    relay6: [(n) => `candidate:1 1 udp 1 2001:db8:2::${n} 5000 typ relay raddr :: rport 9`, 0],
    prflx: [(n) => `candidate:1 1 udp 1 192.0.2.${n} 5001 typ prflx raddr 0.0.0.0 rport 9`, 0],
    tcp: [(n) => `candidate:1 1 tcp 1 192.0.2.${n} 9 typ host tcptype active`, 0],
    rtcp: [(n) => `candidate:1 2 udp 1 192.0.2.${n} 5001 typ host`, 0],
    unknown: [(n) => `candidate:1 1 udp 1 192.0.2.${n} 5001 typ constructor`, 0],
    torn: [() => 'candidate:1 1 udp', 0],
  };

  for (const first of Object.keys(kinds)) {
    const quota = new Quota();
    for (const kind of [first, ...Object.keys(kinds).filter((k) => k !== first)]) {
      const [line, kept] = kinds[kind]!;
      const admitted = Array.from({ length: 60 }, (_, n) => line(1 + n)).filter((l) => quota.admit(l)).length;
      assert.equal(admitted, kept, `${kind}, after ${first}`);
    }
  }
});

test('a candidate belongs to the section of the description where it stands', async () => {
  const { given, taken } = connection();
  await taken.setDescription('answer', `v=0\r\n${media(0)}${media(1, lines(1))}`);
  assert.deepEqual(given.candidates, [{ candidate: numbered(0), sdpMLineIndex: 1 }]);
  assert.equal(given.sdp, `v=0\r\n${media(0)}${media(1)}`);
});

test('no spelling hides a candidate in a description', () => {
  for (const hidden of [
    '\na=candidate:1',
    '\ra=candidate:1',
    '\r\n\ra=candidate:1',
    '\nA=CANDIDATE:1',
    '\n a=candidate:1',
    '\na= candidate:1',
  ]) {
    assert.equal(
      splitCandidates(`v=0${hidden} 1 udp 1 192.0.2.1 9 typ host\r\n`).candidates.length,
      1,
      JSON.stringify(hidden),
    );
  }
});

test('a description has a bounded length and two media sections at most', async () => {
  const refused = [`v=0\r\n${media(0)}${media(1)}${media(2)}`, `v=0\r\na=x:${'y'.repeat(maxSDP)}\r\n${media(0)}`];
  for (const sdp of refused) await assert.rejects(connection().taken.setDescription('answer', sdp), /malformed/);
  await connection().taken.setDescription('answer', `v=0\r\n${media(0)}${media(1)}`);
});

test('a candidate that cannot be used is no error', async () => {
  const taken = new Candidates({
    setRemoteDescription: async () => undefined,
    addIceCandidate: async () => Promise.reject(new Error('unknown transport')),
  });
  await taken.setDescription('answer', `v=0\r\n${media(0, lines(2))}`);
  await taken.addCandidate({ candidate: 'candidate:?' });
});
