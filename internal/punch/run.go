package punch

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// Run is one run, of one end.
type Run struct {
	Own        Way
	Other      Side
	First      bool  // the other end's is false
	Send, Want Token // what this end's packets carry, and what the other's must

	sent int // for tests; read it when Do has returned
}

// running has a token for each run of this process, by role: a spreader's sockets are many, and a seeker's probes fill the tables of the
// router in front of it.
var running = map[role]chan struct{}{seeker: make(chan struct{}, maxRuns), spreader: make(chan struct{}, maxRuns)}

// Do sends what the role of this end asks for, until a hole is found, or the budget is spent, or ctx ends. It returns the address at which the
// socket of Own reaches the other end. Errors: ErrNoHole, ErrBusy.
func (r *Run) Do(ctx context.Context) (netip.AddrPort, error) {
	ctx, cancel := context.WithTimeout(ctx, runFor)
	defer cancel()
	came := make(chan arrival, maxWaiting)
	var peer netip.AddrPort
	var ok bool
	does := roles(r.Own.Side, r.Other, r.First)
	if does != idle {
		select {
		case running[does] <- struct{}{}:
			defer func() { <-running[does] }()
		default:
			return netip.AddrPort{}, fmt.Errorf("punch: %w", ErrBusy)
		}
	}
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

// listen hands what is this package's to a run, or to nobody.
func (c *Conn) listen(to chan arrival) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.run = to
}

// seek probes guessed ports, and answers each probe that comes, until the spreader has chosen.
func (r *Run) seek(ctx context.Context, came chan arrival) (netip.AddrPort, bool) {
	c, hello, replies := r.Own.conn, appendPacket(probe, r.Send), 0
	again := rounds
	if r.Other.Ports == Random {
		again = 1 // lost ones are few among so many
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

// ear is a socket of a spreader's, which hands on what comes of this package's until it is told not to.
type ear struct {
	conn *net.UDPConn
	done chan struct{}
}

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

// free makes the socket somebody else's to read.
func (e ear) free() {
	_ = e.conn.SetReadDeadline(time.Now())
	<-e.done
	_ = e.conn.SetReadDeadline(time.Time{})
}

// spread sends from many sockets to one address and chooses the first to which a probe comes back.
func (r *Run) spread(ctx context.Context, came chan arrival) (netip.AddrPort, bool) {
	c := r.Own.conn
	var ears []ear
	var chosen arrival
	hello, to, number := appendPacket(probe, r.Send), target(r.Other), sockets(r.Own.Side)
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
				if err != nil { // as many as there may be
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

// choose makes the hole, and tells the other end.
func (r *Run) choose(ctx context.Context, chosen arrival) (netip.AddrPort, bool) {
	c, yes := r.Own.conn, appendPacket(answer, r.Send)
	if !c.open(chosen.at, chosen.from) {
		chosen.at.Close()
		return netip.AddrPort{}, false
	}
	pace := time.NewTicker(50 * time.Millisecond)
	defer pace.Stop()
	for range answers { // one may be lost
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
	_, _ = conn.WriteToUDPAddrPort(packet, to) // one that is not sent is one that is lost
}
