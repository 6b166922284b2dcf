//go:build linux

package natlab

import (
	"net/netip"
	"sync"
	"testing"
	"time"
)

// puncher is one end of a hole: a socket for each family that its host has.
type puncher struct {
	sockets map[string]*socket
	known   map[string]netip.AddrPort // at which its sockets are seen
}

func newPuncher(t *testing.T, h *Host, r, r6 *reflector) puncher {
	t.Helper()
	p := puncher{make(map[string]*socket), make(map[string]netip.AddrPort)}
	kind := h.network.Kind
	if kind.UDP && (kind.IPv4 || kind.NAT64) {
		s := newSocket(t, h, "udp4")
		p.sockets["udp4"], p.known["udp4"] = s, s.mapped(t, r, 0, 0)
	}

	if kind.UDP && kind.IPv6 {
		s := newSocket(t, h, "udp6")
		p.sockets["udp6"], p.known["udp6"] = s, s.mapped(t, r6, 0, 0)
	}
	return p
}

// work sends to where the other end was seen, or to where it is heard from, and answers it. It closes met once it was
// answered.
func (s *socket) work(t *testing.T, to netip.AddrPort, met chan<- bool, done <-chan struct{}) {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	meet := sync.OnceFunc(func() { close(met) })

	s.send(t, to, "check")
	for {
		select {
		case p := <-s.heard:
			switch p.text {
			case "check":
				s.send(t, p.from, "answer")
				to = p.from // a peer-reflexive candidate: this path is known to be open
			case "answer":
				meet()
			}
		case <-again.C:
			s.send(t, to, "check")
		case <-done:
			return
		}
	}
}

// punch reports whether two ends come to hear each other within a time.
func punch(t *testing.T, a, b puncher, limit time.Duration) (family string) {
	late, done := time.After(limit), make(chan struct{})
	var workers sync.WaitGroup
	defer workers.Wait()
	defer close(done)
	met := make(chan string, 2)
	for family, sa := range a.sockets {
		sb := b.sockets[family]
		if sb == nil {
			continue
		}
		metA, metB := make(chan bool), make(chan bool)
		workers.Go(func() { sa.work(t, b.known[family], metA, done) })
		workers.Go(func() { sb.work(t, a.known[family], metB, done) })

		workers.Go(func() {
			for _, m := range []chan bool{metA, metB} {
				select {
				case <-m:
				case <-done:
					return
				}
			}
			met <- family
		})
	}

	select {
	case family = <-met:
		return family
	case <-late:
		return ""
	}
}

// A hole can be punched between two kinds exactly where theory says so.
func TestHolesOpenWhereTheorySaysSo(t *testing.T) {
	t.Parallel()
	lab := New(t)
	r, r6 := newReflector(t, lab, "udp4"), newReflector(t, lab, "udp6")
	kinds := append(Kinds(), Translated("address-dependent", Behaviour{
		Mapping:   AddressDependent,
		Filtering: AddressDependent,
		Ports:     Random,
	}))

	var here, there []*Host
	for _, k := range kinds {
		here, there = append(here, lab.Behind("here", k)), append(there, lab.Behind("there", k))
	}
	var pairs sync.WaitGroup
	defer pairs.Wait()

	atOnce := make(chan struct{}, 8)
	traversed := 0
	for i, a := range kinds {
		for j, b := range kinds[:i+1] {
			want := Traversable(a, b)
			if want != Traversable(b, a) {
				t.Errorf("%s and %s: theory depends on the order", a.Name, b.Name)
			}
			limit := 300 * time.Millisecond
			if want {
				limit = patience
				traversed++
			}

			p, q := newPuncher(t, here[i], r, r6), newPuncher(t, there[j], r, r6)
			atOnce <- struct{}{}
			pairs.Go(func() {
				defer func() { <-atOnce }()
				family := punch(t, p, q, limit)
				if (family != "") != want {
					t.Errorf("%s and %s: a hole over %q; theory says %v", a.Name, b.Name, family, want)
				}
			})
		}
	}

	if all := len(kinds) * (len(kinds) + 1) / 2; traversed < all/4 || traversed > all*3/4 {
		t.Errorf("theory lets %d of %d pairs through", traversed, all)
	}
}
