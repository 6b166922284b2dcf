import { element } from './element';
import type { Explain, Reason } from '../session/explain';
import { printableLines } from '../printable';
import { relayed, type PathType } from '../session/pathtype';

// The details below a picture: which path it takes, and why not a better one. They contain no address unless the person
// asks.

type Addresses = NonNullable<Explain['addresses']>;

const names: Record<PathType, string> = {
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

/** Returns a note about the network that this device and the camera may share, or ''. */
function lanNote(e: Explain, addresses: Addresses): string {
  if (e.selected?.rung === 'lan') {
    return (
      'The picture stays on this network, but a browser needs the relay to find the camera. To watch when the ' +
      'internet fails, pair the viewer program too and watch with it once: then it finds the camera here.'
    );
  }

  const tried = e.why_not.some((m) => m.rung === 'lan' && m.reason === 'no_answer');
  const [own, other] = [mapped(addresses.own), mapped(addresses.other)];
  if (!tried || !own.some((a) => other.includes(a))) return '';
  return (
    'This device and the camera have the same public address, but do not reach each other. If both are at home: ' +
    'guest networks, and routers with “client isolation”, keep devices apart.'
  );
}

/** Returns the public IPv4 addresses (server reflexive candidates), without ports. */
const mapped = (addresses: string[]): string[] =>
  addresses.flatMap((a) => /^srflx4 ([\d.]+):\d+$/.exec(a)?.[1] ?? []);

export class Why {
  readonly #path: HTMLElement;
  readonly #addresses: HTMLInputElement;
  #said: [Explain, Addresses] | undefined;

  constructor(private readonly root: HTMLDetailsElement) {
    this.#path = element(root, '.path', HTMLElement);
    this.#addresses = element(root, '.addresses', HTMLInputElement);
    this.#addresses.addEventListener('change', () => this.#render());
    root.addEventListener('toggle', () => this.#render());
  }

  say(e: Explain, addresses: Addresses): void {
    this.#said = [e, addresses];
    const { selected } = e;
    this.root.hidden = false;
    this.#path.dataset['kind'] = selected ? (relayed(selected.rung) ? 'relay' : 'direct') : 'none';
    this.#path.textContent = selected ? (relayed(selected.rung) ? 'Relayed' : 'Direct') : 'Not connected';
    element(this.root, '.hides', HTMLElement).hidden = !e.relay_only;
    element(this.root, '.sentence', HTMLElement).textContent = e.sentence;
    if (this.root.open) this.#render();
  }

  /** Forgets the explanation. */
  clear(): void {
    this.#said = undefined;
    this.root.hidden = true;
    this.root.open = false;
    element(this.root, '.record', HTMLDetailsElement).open = false;
    this.#addresses.checked = false;
  }

  #render(): void {
    if (!this.#said || !this.root.open) return;

    const [e, addresses] = this.#said;
    const note = element(this.root, '.lan', HTMLElement);
    note.textContent = lanNote(e, addresses);
    note.hidden = note.textContent === '';

    const rows = e.why_not.map((m) => row(m.rung, reasons[m.reason], 'missed'));
    if (e.selected) {
      rows.push(
        row(
          e.selected.rung,
          e.selected.rtt_ms > 0 ? `in use, ${round(e.selected.rtt_ms)} there and back` : 'in use',
          'used',
        ),
      );
    }

    element(this.root, '.ladder', HTMLElement).replaceChildren(...rows);
    const record = this.#addresses.checked ? { ...e, addresses } : e; // the camera chooses the texts of its addresses
    element(this.root, '.record pre', HTMLElement).textContent = printableLines(JSON.stringify(record, undefined, 1));
  }
}

const round = (ms: number): string => (ms < 1 ? 'less than 1 ms' : `${Math.round(ms)} ms`);

function row(rung: PathType, text: string, kind: string): HTMLElement {
  const li = document.createElement('li');
  li.className = kind;
  const [name, why] = [document.createElement('b'), document.createElement('span')];
  name.textContent = names[rung];
  why.textContent = text;
  li.append(name, why);
  return li;
}
