package punch

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// Run is one end's part in one attempt to punch a hole.
type Run struct {
	Own        Way
	Other      Side
	First      bool  // true at exactly one end: decides between equals
	Send, Want Token // what this end's packets carry, and what the other's must carry

	sent int // packets; tests read it after Do has returned
}

// running holds a token for each run under way in this process, by role. It is a limit because a spreader opens many
// sockets, and a seeker's probes fill the tables of the router in front of it.
var running = map[role]chan struct{}{
	seeker:   make(chan struct{}, maxRuns),
	spreader: make(chan struct{}, maxRuns),
}

// Do plays this end's role until a hole is found, the budget is spent or ctx ends. It returns the address at which the
// socket of Own reaches the other end, or ErrNoHole or ErrBusy.
func (r *Run) Do(ctx context.Context) (netip.AddrPort, error) {
	ctx, cancel := context.WithTimeout(ctx, runFor)
	defer cancel()

	does := roles(r.Own.Side, r.Other, r.First)
	if does != idle {
		select {
		case running[does] <- struct{}{}:
			defer func() { <-running[does] }()
		default:
			return netip.AddrPort{}, fmt.Errorf("punch: %w", ErrBusy)
		}
	}

	came := make(chan arrival, maxWaiting)
	var peer netip.AddrPort
	var ok bool
	switch does {
	case seeker:
		r.Own.conn.listen(came)
		defer r.Own.conn.listen(nil)
		peer, ok = r.seek(ctx, came)
	case spreader:
		peer, ok = r.spread(ctx, came)
	}

	if !ok {
		return netip.AddrPort{}, fmt.Errorf("punch: %w", ErrNoHole)
	}
	return peer, nil
}

// listen sends probes and answers that arrive at the socket to a run; nil drops them.
func (c *Conn) listen(to chan arrival) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.run = to
}

// seek probes guessed ports and replies to every probe that arrives, until the spreader has chosen.
func (r *Run) seek(ctx context.Context, came chan arrival) (netip.AddrPort, bool) {
	c := r.Own.conn
	hello := appendPacket(probe, r.Send)
	replies := 0

	again := rounds
	if r.Other.Ports == Random {
		again = 1 // among so many, a few lost ones do not matter
	}
	all := guesses(r.Other)

	pace := time.NewTicker(time.Second / perSecond)
	defer pace.Stop()
	for i := 0; ; {
		select {
		case <-ctx.Done():
			return netip.AddrPort{}, false
		case <-c.closed:
			return netip.AddrPort{}, false
		case a := <-came:
			k, ok := parse(a.packet, r.Want)
			if !ok || a.from.Addr() != r.Other.At.Addr() {
				continue
			}
			if k == answer {
				return a.from, true
			}
			if replies++; replies <= maxReplies {
				r.write(c.UDPConn, hello, a.from)
			}
		case <-pace.C:
			if i < len(all)*again {
				r.write(c.UDPConn, hello, all[i%len(all)])
				i++
			}
		}
	}
}

// ear is one of a spreader's sockets, with the goroutine that reads it.
type ear struct {
	conn *net.UDPConn
	done chan struct{}
}

// listen sends probes and answers that arrive at the socket to the run, until the socket is closed or freed.
func (e ear) listen(came chan arrival) {
	defer close(e.done)
	b := make([]byte, packetSize+1)
	for {
		n, from, err := e.conn.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		if ours(b[:n]) {
			hand(came, arrival{bytes.Clone(b[:n]), netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), e.conn})
		}
	}
}

// free ends listen, so that another goroutine can read the socket.
func (e ear) free() {
	_ = e.conn.SetReadDeadline(time.Now())
	<-e.done
	_ = e.conn.SetReadDeadline(time.Time{})
}

// spread sends from many sockets to one address and chooses the first one that hears a probe.
func (r *Run) spread(ctx context.Context, came chan arrival) (netip.AddrPort, bool) {
	c := r.Own.conn
	hello, to, number := appendPacket(probe, r.Send), target(r.Other), sockets(r.Own.Side)

	var ears []ear
	var chosen arrival
	defer func() {
		for _, e := range ears {
			if e.conn != chosen.at {
				e.conn.Close()
				<-e.done
			}
		}
	}()

	pace := time.NewTicker(time.Second / perSecond)
	defer pace.Stop()
	for i := 0; chosen.at == nil; {
		select {
		case <-ctx.Done():
			return netip.AddrPort{}, false
		case <-c.closed:
			return netip.AddrPort{}, false
		case a := <-came:
			if _, ok := parse(a.packet, r.Want); ok && a.from.Addr() == r.Other.At.Addr() {
				chosen = a
			}
		case <-pace.C:
			if i < number {
				conn, err := c.sockets.listen(c.LocalAddrPort().Addr())
				if err != nil { // make do with those that could be opened
					number = i
					continue
				}
				e := ear{conn, make(chan struct{})}
				ears = append(ears, e)
				go e.listen(came)
			}
			if i < number*rounds {
				r.write(ears[i%number].conn, hello, to)
				i++
			}
		}
	}

	for _, e := range ears {
		if e.conn == chosen.at {
			e.free()
		}
	}

	return r.choose(ctx, chosen)
}

// choose opens the hole and tells the other end.
func (r *Run) choose(ctx context.Context, chosen arrival) (netip.AddrPort, bool) {
	c, yes := r.Own.conn, appendPacket(answer, r.Send)
	if !c.openHole(chosen.at, chosen.from) {
		chosen.at.Close()
		return netip.AddrPort{}, false
	}

	pace := time.NewTicker(50 * time.Millisecond)
	defer pace.Stop()
	for range answers { // some may be lost
		r.write(chosen.at, yes, chosen.from)
		select {
		case <-ctx.Done():
		case <-c.closed:
			return netip.AddrPort{}, false
		case <-pace.C:
		}
	}

	return chosen.from, true
}

func (r *Run) write(conn *net.UDPConn, packet []byte, to netip.AddrPort) {
	r.sent++
	_, _ = conn.WriteToUDPAddrPort(packet, to) // a packet that cannot be sent counts as lost
}
