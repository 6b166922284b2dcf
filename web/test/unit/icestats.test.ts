import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIceStats, type Stat } from '../../src/session/icestats';
import type { Explain } from '../../src/session/explain';
import { Explainer } from '../../src/session/explainer';

const candidate = (id: string, side: string, candidateType: string, address: string, more: object = {}): Stat => ({
  id,
  type: `${side}-candidate`,
  candidateType,
  address,
  port: 5000,
  protocol: 'udp',
  ...more,
});
const pair = (id: string, local: string, remote: string, more: object): Stat => ({
  id,
  type: 'candidate-pair',
  localCandidateId: local,
  remoteCandidateId: remote,
  state: 'waiting',
  ...more,
});

const ends = [
  candidate('a', 'local', 'host', '192.168.1.2'),
  candidate('b', 'local', 'srflx', '203.0.113.1'),
  candidate('c', 'local', 'relay', '198.18.0.1', { relayProtocol: 'tcp' }),
  candidate('x', 'remote', 'host', '192.168.7.3'),
  candidate('y', 'remote', 'srflx', '203.0.113.2'),
  candidate('z', 'remote', 'relay', '198.18.0.2'),
];
const chromium = [
  ...ends,
  { id: 'T', type: 'transport', selectedCandidatePairId: 'cz' },
  pair('ay', 'a', 'y', { requestsSent: 7, responsesReceived: 0, requestsReceived: 2 }),
  pair('by', 'b', 'y', { requestsSent: 1, responsesReceived: 0 }),
  pair('az', 'a', 'z', { requestsSent: 5 }),
  pair('cz', 'c', 'z', {
    state: 'succeeded',
    nominated: true,
    requestsSent: 4,
    responsesReceived: 4,
    requestsReceived: 9,
    currentRoundTripTime: 0.0421,
  }),
];
const firefox = [
  ...ends,
  pair('ay', 'a', 'y', { state: 'failed', selected: false }),
  pair('by', 'b', 'y', { state: 'in-progress', selected: false }),
  pair('cz', 'c', 'z', { state: 'succeeded', nominated: true, selected: true, responsesReceived: 4 }),
];

function explained(): { explainer: Explainer; told: object[]; said: Explain[] } {
  const told: object[] = [];
  const said: Explain[] = [];
  return {
    told,
    said,
    explainer: new Explainer(false, { tell: (n) => told.push(n) > 0, changed: (e) => said.push(e) }),
  };
}

test('what Chromium counts is summed up by kind', () => {
  const { explainer, said } = explained();
  explainer.update(parseIceStats(chromium));
  const e = said.at(-1)!;
  const zero = { received: 0, answered: 0, succeeded: 0, rtt_ms: 0 };

  assert.deepEqual(e.checks, [
    {
      rung: 'direct',
      pair: 'host4 srflx4',
      pairs: 1,
      sent: 7,
      ...zero,
      received: 2,
    },
    {
      rung: 'direct',
      pair: 'srflx4 srflx4',
      pairs: 1,
      sent: 1,
      ...zero,
    },
    {
      rung: 'relay-tcp',
      pair: 'relay4 relay4',
      pairs: 1,
      sent: 4,
      received: 9,
      answered: 4,
      succeeded: 1,
      rtt_ms: 42.1,
    },
  ]);

  assert.deepEqual(e.selected, {
    rung: 'relay-tcp',
    own: 'relay4',
    other: 'relay4',
    through: '',
    rtt_ms: 42.1,
  });

  assert.deepEqual(
    [e.own.candidates, e.other.candidates],
    [
      { host4: 1, relay4: 1, srflx4: 1 },
      { host4: 1, relay4: 1, srflx4: 1 },
    ],
  );

  assert.doesNotMatch(JSON.stringify(e), /\d+\.\d+\.\d+\.\d+|\.local/);
});

test('Firefox counts no requests, so a pair that it gave up has sent enough', () => {
  const { explainer, said } = explained();
  explainer.update(parseIceStats(firefox));

  assert.deepEqual(
    said.at(-1)!.checks.map((c) => [c.pair, c.sent, c.answered]),
    [
      ['host4 srflx4', 4, 0],
      ['srflx4 srflx4', 1, 0],
      ['relay4 relay4', 4, 4],
    ],
  );

  assert.equal(said.at(-1)!.selected?.rung, 'relay-tcp');
});

test('a path is explained from both ends’ networks, and reported only when it changes', () => {
  const { explainer, told, said } = explained();
  explainer.update(parseIceStats(chromium));
  explainer.update(parseIceStats(chromium));
  assert.equal(said.length, 1);
  assert.deepEqual(told, [{ mapping: 'unknown', udp: 'unknown', relay: 'tcp' }]);
  explainer.gathered('candidate:1 1 udp 1 192.168.1.2 5000 typ host');
  explainer.gathered('candidate:1 1 udp 1 198.18.0.1 5000 typ relay raddr 0.0.0.0 rport 9');
  explainer.gathered('');
  explainer.receiveNetwork({ mapping: 'none', udp: 'open', relay: 'tls' });
  explainer.update(parseIceStats(chromium));
  assert.deepEqual(told.at(-1), { mapping: 'unknown', udp: 'blocked', relay: 'tcp' });
  assert.equal(said.at(-1)!.sentence, 'relayed over TLS: this network blocks UDP');

  assert.deepEqual(
    said.at(-1)!.rungs.map((r) => r.rung),
    ['relay-tcp', 'relay-tls'],
  );
});

test('candidates that a browser has dropped are still known', () => {
  const { explainer, said } = explained();
  explainer.update(parseIceStats(chromium));
  explainer.update(parseIceStats(chromium.filter((s) => s.id !== 'a' && s.id !== 'ay')));
  assert.equal(said.at(-1)!.own.candidates['host4'], 1);
});
