import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Explain, Reason } from '../../src/session/explain';
import type { PathType } from '../../src/session/pathtype';
import { Why } from '../../src/ui/why';
import { openDocument, shown } from './dom';

// The details below a picture put each path type and each reason in words.

const ways: Record<PathType, string> = {
  lan: 'On the same network',
  ipv6: 'Direct, over IPv6',
  direct: 'Direct, over IPv4',
  'relay-udp': 'Through the relay',
  'relay-tcp': 'Through the relay, over TCP',
  'relay-tls': 'Through the relay, over TLS',
};

const reasons: Record<Reason, string> = {
  relay_only: 'not tried: an address is hidden',
  udp_blocked_own: 'this network blocks UDP',
  udp_blocked_other: 'the camera’s network blocks UDP',
  works: 'works, and is about to be used',
  no_candidate_own: 'this device has no address for it',
  no_candidate_other: 'the camera has no address for it',
  symmetric_both: 'both networks use symmetric NAT',
  symmetric_own: 'this network uses symmetric NAT',
  symmetric_other: 'the camera’s network uses symmetric NAT',
  no_answer: 'tried, without an answer',
  not_yet: 'being tried',
};

function say(e: Partial<Explain>, own: string[] = [], other: string[] = []): HTMLElement {
  openDocument();
  const template = document.querySelector('#card') as HTMLTemplateElement;
  const root = (template.content.cloneNode(true) as DocumentFragment).querySelector('.why') as HTMLDetailsElement;
  root.open = true;

  new Why(root).say(
    {
      sentence: '',
      why_not: [],
      selected: null,
      relay_only: false,
      ...e,
    } as unknown as Explain,
    { own, other, path: [] },
  );

  return root;
}

for (const [rung, text] of Object.entries(ways)) {
  test(`the way ${rung} in use is said`, () => {
    const root = say({
      selected: {
        rung: rung as PathType,
        own: '',
        other: '',
        through: 'unknown',
        rtt_ms: 12.3,
      },
    });

    assert.equal(shown(root, '.ladder li'), `${text}in use, 12 ms there and back`);
    assert.equal(shown(root, '.path'), rung.startsWith('relay') ? 'Relayed' : 'Direct');
  });
}

for (const [reason, text] of Object.entries(reasons)) {
  test(`a way that did not come is explained: ${reason}`, () => {
    const root = say({ why_not: [{ rung: 'direct', reason: reason as Reason }] });
    assert.equal(shown(root, '.ladder li'), `Direct, over IPv4${text}`);
    assert.equal(shown(root, '.path'), 'Not connected');
  });
}

test('a round trip that is short or unknown is shown as such', () => {
  const way = { rung: 'lan', own: '', other: '', through: 'unknown' } as const;
  assert.equal(
    shown(say({ selected: { ...way, rtt_ms: 0.4 } }), '.ladder li'),
    'On the same networkin use, less than 1 ms there and back',
  );
  assert.equal(shown(say({ selected: { ...way, rtt_ms: 0 } }), '.ladder li'), 'On the same networkin use');
});

const missed = (reason: Reason): Partial<Explain> => ({ why_not: [{ rung: 'lan', reason }] });

test('the network that both share is spoken of', () => {
  const way = { own: '', other: '', through: 'unknown', rtt_ms: 1 } as const;
  assert.equal(
    shown(say({ selected: { ...way, rung: 'lan' } }), '.lan'),
    'The picture stays on this network, but a browser needs the relay to find the camera. To watch when the ' +
      'internet fails, pair the viewer program too and watch with it once: then it finds the camera here.',
  );

  const [own, other] = [['host4 192.0.2.1:1', 'srflx4 203.0.113.9:5000'], ['srflx4 203.0.113.9:6000']];
  const root = say(missed('no_answer'), own, other);
  assert.equal(
    shown(root, '.lan'),
    'This device and the camera have the same public address, but do not reach each other. If both are at home: ' +
      'guest networks, and routers with “client isolation”, keep devices apart.',
  );
  assert.equal(root.querySelector<HTMLElement>('.lan')?.hidden, false);
});

test('two networks, or one that was not tried, are not called one', () => {
  const at = (ip: string): string[] => [`srflx4 ${ip}:5000`];
  for (const root of [
    say(missed('no_answer'), at('203.0.113.9'), at('203.0.113.90')),
    say(missed('no_answer'), ['host4 10.0.0.1:1'], ['host4 10.0.0.1:1']),
    say(missed('not_yet'), at('203.0.113.9'), at('203.0.113.9')),
    say(missed('relay_only'), at('203.0.113.9'), at('203.0.113.9')),
  ]) {
    assert.equal(root.querySelector<HTMLElement>('.lan')?.hidden, true);
  }
});
