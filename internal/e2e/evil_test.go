package e2e

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/signaling/bus"
	"github.com/peephole-cam/peephole/viewer"
)

// evilBus stands where the relay delivers: it sees every posted body and may change what happens to it. It starts honest.
type evilBus struct {
	*bus.Local
	mu     sync.Mutex
	twist  func(name [32]byte, m bus.Message) (to [32]byte, n bus.Message, deliver bool) // guarded by mu
	posted []posted                                                                      // guarded by mu
}

type posted struct {
	name [32]byte
	body []byte
}

func newEvilBus() *evilBus { return &evilBus{Local: bus.NewLocal()} }

func (b *evilBus) Publish(name [32]byte, m bus.Message) int {
	b.mu.Lock()
	b.posted = append(b.posted, posted{name, bytes.Clone(m.Body)})
	twist := b.twist
	b.mu.Unlock()
	if twist != nil {
		var deliver bool
		if name, m, deliver = twist(name, m); !deliver {
			return 0
		}
	}
	return b.Local.Publish(name, m)
}

func (b *evilBus) turnEvil(twist func([32]byte, bus.Message) ([32]byte, bus.Message, bool)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.twist = twist
}

// since returns what was posted after the first n messages.
func (b *evilBus) since(n int) []posted {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]posted(nil), b.posted[n:]...)
}

// lastOffer is the offer that was posted last: of an offer and its answer, which alone are that long, the first.
func (b *evilBus) lastOffer(t *testing.T) posted {
	t.Helper()
	var long []posted
	for _, p := range b.since(0) {
		if len(p.body) > 4000 {
			long = append(long, p)
		}
	}
	if len(long) < 2 {
		t.Fatal("no session has been offered and answered")
	}
	return long[len(long)-2]
}

// A relay that flips bits in all it carries, and so in fingerprints, candidates and keys, wherever they are, shows nobody a picture.
func TestRelayTampers(t *testing.T) {
	t.Parallel()
	evil := newEvilBus()
	r := startRelay(t, evil)
	camera := startCamera(t, r, "front door", 0)
	v := pair(t, camera)
	for _, tt := range []struct {
		name string
		flip func(body []byte)
	}{
		{"version", func(b []byte) { b[0] ^= 1 }},
		{"tag", func(b []byte) { b[1] ^= 1 }},
		{"encapsulated key", func(b []byte) { b[200] ^= 1 }},
		{"first byte of the ciphertext", func(b []byte) { b[min(1129, len(b)-1)] ^= 1 }},
		{"middle of the ciphertext", func(b []byte) { b[len(b)/2] ^= 0x80 }},
		{"tag of the ciphertext", func(b []byte) { b[len(b)-1] ^= 1 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			evil.turnEvil(func(name [32]byte, m bus.Message) ([32]byte, bus.Message, bool) {
				m.Body = bytes.Clone(m.Body)
				tt.flip(m.Body)
				return name, m, true
			})
			s, _ := watch(t, v, "front door", camera.Mark, 1, 3*time.Second, false)
			if s.frames != 0 {
				t.Errorf("%d frames were shown", s.frames)
			}
		})
	}
	evil.turnEvil(nil)
	if s, err := watch(t, v, "front door", camera.Mark, 5, 20*time.Second, false); err != nil || s.frames != 5 || s.foreign != 0 {
		t.Errorf("after the fault: %d frames, error %v; want the picture back", s.frames, err)
	}
}

// A relay that delivers each household's messages to the other shows nobody a picture, and says so to the viewers: promise 4.
func TestRelayCrossesHouseholds(t *testing.T) {
	t.Parallel()
	evil := newEvilBus()
	r := startRelay(t, evil)
	ours, theirs := startCamera(t, r, "ours", 0), startCamera(t, r, "theirs", 1)
	v, w := pair(t, ours), pair(t, theirs)
	var mu sync.Mutex
	var last posted // the latest answer-sized message of the other household, delivered in place of ours
	evil.turnEvil(func(name [32]byte, m bus.Message) ([32]byte, bus.Message, bool) {
		mu.Lock()
		defer mu.Unlock()
		before := last
		last = posted{name, m.Body}
		if before.body == nil || before.name == name {
			return name, m, false
		}
		return before.name, m, true // what is for this mailbox goes to the one before it
	})
	var both sync.WaitGroup
	shown := make([]*seen, 2)
	both.Go(func() { shown[0], _ = watch(t, v, "ours", ours.Mark, 1, 6*time.Second, false) })
	both.Go(func() { shown[1], _ = watch(t, w, "theirs", theirs.Mark, 1, 6*time.Second, false) })
	both.Wait()
	for i, s := range shown {
		if s.frames != 0 {
			t.Errorf("viewer %d was shown %d frames", i, s.frames)
		}
	}
	evil.turnEvil(nil)
	for i, s := range []struct {
		v    watcher
		name string
		mark string
	}{{v, "ours", ours.Mark}, {w, "theirs", theirs.Mark}} {
		if got, err := watch(t, s.v, s.name, s.mark, 5, 20*time.Second, false); err != nil || got.foreign != 0 || got.frames != 5 {
			t.Errorf("viewer %d after the fault: %+v, %v", i, got, err)
		}
	}
}

// What is delivered in an answer's place is told to the person, and counted.
func TestRelayDeliversForeignAnswer(t *testing.T) {
	t.Parallel()
	evil := newEvilBus()
	r := startRelay(t, evil)
	camera := startCamera(t, r, "front door", 0)
	v := pair(t, camera)
	n := len(evil.since(0))
	if _, err := watch(t, v, "front door", camera.Mark, 1, 20*time.Second, false); err != nil {
		t.Fatal(err)
	}
	old := evil.since(n)[1] // offer, then answer
	evil.turnEvil(func(name [32]byte, m bus.Message) ([32]byte, bus.Message, bool) {
		if len(m.Body) > 2000 && name != evil.since(n)[0].name {
			m.Body = old.body // yesterday's answer, of the same pair
		}
		return name, m, true
	})
	s, err := watch(t, v, "front door", camera.Mark, 1, 12*time.Second, false)
	if s.frames != 0 || s.rejected == 0 {
		t.Errorf("%d frames shown, %d rejections told; want none and some", s.frames, s.rejected)
	}
	if err != nil && !errors.Is(err, session.ErrNoAnswer) {
		t.Errorf("error %v, want %v", err, session.ErrNoAnswer)
	}
}

// An offer that a relay kept and plays to a camera whose state was rolled back starts a session that nobody can follow.
func TestRelayReplaysOfferToRolledBackCamera(t *testing.T) {
	t.Parallel()
	evil := newEvilBus()
	r := startRelay(t, evil)
	camera := startCamera(t, r, "front door", 0)
	v := pair(t, camera)
	n := len(evil.since(0))
	if _, err := watch(t, v, "front door", camera.Mark, 1, 20*time.Second, false); err != nil {
		t.Fatal(err)
	}
	offer := evil.since(n)[0]
	// The same camera again, knowing nothing of that session: as after a restore from a backup.
	runCamera(t, r.URL, "front door", 0, camera.state)
	n = len(evil.since(0))
	eventually(t, "the rolled-back camera reacts, or the test shows nothing", func() bool {
		evil.Local.Publish(offer.name, bus.Message{Seq: 1, Body: offer.body})
		return len(evil.since(n)) > 0
	})
	replies := evil.since(n)
	if first := evil.since(0); bytes.Contains(bytes.Join(bodies(first[:n]), nil), replies[0].body) {
		t.Error("the camera said the same twice: keys or nonces were used again")
	}
	// A viewer that is watching meanwhile is shown nothing of it.
	s, err := watch(t, v, "front door", camera.Mark, 10, 20*time.Second, false)
	if err != nil || s.foreign != 0 || s.live != s.frames {
		t.Errorf("watching after the replay: %+v, %v", s, err)
	}
}

func bodies(p []posted) (b [][]byte) {
	for _, x := range p {
		b = append(b, x.body)
	}
	return b
}

// hop stands between clients and TURN. It can hold back media, and nothing else, by a fixed time.
type hop struct {
	front *net.UDPConn
	by    time.Duration
	turn  *net.UDPAddr
	tape  *tape // records everything; nil: nothing
}

func (d *hop) run(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { d.front.Close() })()
	backs := make(map[string]*net.UDPConn)
	defer func() {
		for _, b := range backs {
			b.Close()
		}
	}()
	buf := make([]byte, 2048)
	for {
		n, client, err := d.front.ReadFromUDP(buf)
		if err != nil {
			return nil
		}
		d.record(buf[:n])
		back := backs[client.String()]
		if back == nil {
			if back, err = net.DialUDP("udp4", nil, d.turn); err != nil {
				return err
			}
			backs[client.String()] = back
			go d.answer(back, client)
		}
		if _, err := back.Write(buf[:n]); err != nil {
			return err
		}
	}
}

func (d *hop) record(packet []byte) {
	if d.tape != nil {
		_, _ = d.tape.Write(packet)
	}
}

func (d *hop) answer(back *net.UDPConn, client *net.UDPAddr) {
	buf := make([]byte, 2048)
	for {
		n, err := back.Read(buf)
		if err != nil {
			return
		}
		packet := bytes.Clone(buf[:n])
		d.record(packet)
		send := func() { _, _ = d.front.WriteToUDP(packet, client) } // closed at the test's end
		if d.by > 0 && isMedia(packet) {
			time.AfterFunc(d.by, send)
			continue
		}
		send()
	}
}

// isMedia says whether a packet to a TURN client is ChannelData (RFC 8656, section 12.4), or a Data indication (section 11.7),
// around RTP (RFC 7983).
func isMedia(p []byte) bool {
	if len(p) < 20 {
		return false
	}
	if p[0]&0xc0 == 0x40 {
		return isRTP(p[4:])
	}
	if !stun.IsMessage(p) {
		return false
	}
	m := &stun.Message{Raw: p}
	if m.Decode() != nil {
		return false
	}
	data, err := m.Get(stun.AttrData)
	return err == nil && isRTP(data)
}

// isRTP tells RTP from RTCP, DTLS and STUN (RFC 5761, section 4; RFC 7983).
func isRTP(p []byte) bool {
	return len(p) > 12 && p[0]&0xc0 == 0x80 && (p[1] < 192 || p[1] > 223)
}

// A stream held back on its way is shown as delayed, and never as live.
func TestStreamHeldBack(t *testing.T) {
	t.Parallel()
	r := startRelay(t, nil)
	front, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	h := &hop{front: front, by: 7 * time.Second, turn: net.UDPAddrFromAddrPort(r.turn.Addresses().UDP)}
	run(t, h.run)
	r.grantURLs("turn:" + front.LocalAddr().String() + "?transport=udp")
	camera := startCamera(t, r, "front door", 0)
	v := pair(t, camera)
	s, err := watch(t, v, "front door", camera.Mark, 60, 40*time.Second, true)
	if err != nil {
		t.Fatal(err)
	}
	if s.frames < 60 || s.foreign != 0 {
		t.Fatalf("%d frames, %d foreign: the test shows nothing", s.frames, s.foreign)
	}
	if s.live != 0 {
		t.Errorf("%d of %d frames that were held back for %s were called live", s.live, s.frames, h.by)
	}
}

// Two viewers, and two windows of one viewer, watch at once.
func TestManyWatchAtOnce(t *testing.T) {
	t.Parallel()
	r := startRelay(t, nil)
	camera := startCamera(t, r, "front door", 0)
	v, w := pair(t, camera), pair(t, camera)
	var all sync.WaitGroup
	for _, viewer := range []watcher{v, v, w} {
		all.Go(func() {
			s, err := watch(t, viewer, "front door", camera.Mark, 30, 30*time.Second, false)
			if err != nil || s.frames != 30 || s.foreign != 0 || s.rejected != 0 {
				t.Errorf("%+v, %v; want 30 frames", s, err)
			}
		})
	}
	all.Wait()
}

// A viewer who is taken off the roster, by the program or by deleting its file, is cut off at once and cannot come back: promise 7.
func TestRemovedViewerIsCutOff(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		remove func(*household, watcher) error
		within time.Duration
	}{
		{"removed", func(h *household, v watcher) error { return h.Remove(v.Fingerprint()) }, time.Second},
		{"file deleted", func(h *household, v watcher) error {
			return os.Remove(filepath.Join(h.state, "pairs", v.Fingerprint().Short()+".json"))
		}, 5 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := startRelay(t, nil)
			camera := startCamera(t, r, "front door", 0)
			v := pair(t, camera)
			began := make(chan struct{})
			ended := make(chan error, 1)
			var last time.Time
			go func() {
				once := sync.OnceFunc(func() { close(began) })
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				ended <- v.Watch(ctx, "front door", viewer.Watch{OnFrame: func(session.Frame) { last = time.Now(); once() }})
			}()
			<-began
			removed := time.Now()
			if err := tt.remove(camera, v); err != nil {
				t.Fatal(err)
			}
			<-ended
			if after := last.Sub(removed); after > tt.within {
				t.Errorf("a removed viewer was shown frames for %s more", after)
			}
			if s, _ := watch(t, v, "front door", camera.Mark, 1, 3*time.Second, false); s.frames != 0 {
				t.Error("a removed viewer was let in again")
			}
		})
	}
}
