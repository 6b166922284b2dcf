//go:build linux

package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base32"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/peephole-cam/peephole/camera"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/session"
	"github.com/peephole-cam/peephole/test/natlab"
)

// What cameras are asked for by mDNS, and where.
const (
	mdnsService = "_peephole._udp.local."
	mdnsGroup   = "224.0.0.251:5353"
)

// elsewhere is an address outside the house, to which forged announcements point.
var elsewhere = netip.MustParseAddr("203.0.113.99")

// stranger is a device in the house that says what it likes.
type stranger struct {
	t    testing.TB
	host *natlab.Host
	at   netip.Addr // from which it speaks
}

func newStranger(t testing.TB, s *scene) stranger {
	host := s.home.Network().Host("stranger")
	return stranger{t, host, host.IPv4()}
}

// also returns the stranger at one more address.
func (d stranger) also(at netip.Addr) stranger {
	d.t.Helper()
	add := exec.Command("ip", "addr", "add", at.String()+"/24", "dev", "eth0")
	err := d.host.Start(add)
	if err == nil {
		err = add.Wait()
	}
	if err != nil {
		d.t.Fatal(err)
	}
	d.at = at
	return d
}

// listen opens a UDP socket.
func (d stranger) listen() net.PacketConn {
	conn, err := d.host.ListenPacket("udp4", netip.AddrPortFrom(d.at, 0).String())
	if err != nil {
		panic(err) // goroutines call it too, and cannot end the test
	}
	return conn
}

// keepDoing calls do at an interval until the test ends.
func (d stranger) keepDoing(every time.Duration, do func(ctx context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	d.t.Cleanup(func() { cancel(); work.Wait() })
	work.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for ctx.Err() == nil {
			do(ctx)
			select {
			case <-ticker.C:
			case <-ctx.Done():
			}
		}
	})
}

// shout sends messages of mDNS to the whole house, in turn and without end. It returns once all were sent.
func (d stranger) shout(messages ...[]byte) {
	d.t.Helper()
	conn, to := d.listen(), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(mdnsGroup))
	d.t.Cleanup(func() { conn.Close() })
	all := make(chan struct{})
	sent := 0
	d.keepDoing(time.Millisecond, func(context.Context) {
		if _, err := conn.WriteTo(messages[sent%len(messages)], to); err != nil && !errors.Is(err, net.ErrClosed) {
			d.t.Errorf("shout: %v", err)
		}
		if sent++; sent == len(messages) {
			close(all)
		}
	})
	<-all
}

// unheeding is a socket that sends, and drops what it hears.
type unheeding struct{ net.PacketConn }

func (c unheeding) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		if _, _, err := c.PacketConn.ReadFrom(b); err != nil {
			return 0, nil, err
		}
	}
}

// flood opens QUIC connections to a camera without end. Half of them go on until the camera wants to know who is
// calling, and the others begin and say no more. It counts those that the camera refuses.
func (d stranger) flood(to netip.AddrPort, refused *atomic.Int64) {
	attempt := func(ctx context.Context, over net.PacketConn) {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		transport := &quic.Transport{Conn: over}
		defer over.Close()
		defer transport.Close()

		insecure := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"libp2p"}}
		conn, err := transport.Dial(ctx, net.UDPAddrFromAddrPort(to), insecure, nil)
		var no *quic.TransportError
		if errors.As(err, &no) && no.ErrorCode == quic.ConnectionRefused {
			refused.Add(1)
		}
		if err != nil {
			return
		}
		select {
		case <-conn.Context().Done(): // the camera has ended it
		case <-ctx.Done():
		}
	}

	for range 8 {
		d.keepDoing(10*time.Millisecond, func(ctx context.Context) { attempt(ctx, d.listen()) })
		d.keepDoing(10*time.Millisecond, func(ctx context.Context) { attempt(ctx, unheeding{d.listen()}) })
	}
}

// announced returns an announcement of a host key, as a camera sends it. Its address record points out of the house.
func announced(t testing.TB, key []byte, port uint16) []byte {
	t.Helper()
	label := strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(key))
	instance, host := dnsmessage.MustNewName(label+"."+mdnsService), dnsmessage.MustNewName(label+".local.")
	header := func(name dnsmessage.Name) dnsmessage.ResourceHeader {
		return dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET, TTL: 120}
	}
	service := dnsmessage.MustNewName(mdnsService)
	m := dnsmessage.Message{
		Header: dnsmessage.Header{Response: true, Authoritative: true},
		Answers: []dnsmessage.Resource{
			{Header: header(service), Body: &dnsmessage.PTRResource{PTR: instance}},
			{Header: header(instance), Body: &dnsmessage.SRVResource{Port: port, Target: host}},
			{Header: header(host), Body: &dnsmessage.AResource{A: elsewhere.As4()}},
		},
	}
	return packed(t, m)
}

func packed(t testing.TB, m dnsmessage.Message) []byte {
	t.Helper()
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// lastPort returns the port that a host announced last, and all its announcements.
func lastPort(packets []natlab.Packet, from *natlab.Host) (port uint16, messages [][]byte) {
	for _, p := range packets {
		if p.Out || p.Protocol != natlab.UDP || p.Dst.Port() != 5353 || p.Src.Addr() != from.IPv4() {
			continue
		}
		const headers = 20 + 8 // of IPv4 and UDP
		var m dnsmessage.Message
		if m.Unpack(p.Data[headers:]) != nil || !m.Response {
			continue
		}
		messages = append(messages, p.Data[headers:])
		for _, r := range m.Answers {
			if srv, ok := r.Body.(*dnsmessage.SRVResource); ok {
				port = srv.Port
			}
		}
	}
	return port, messages
}

// awaitPort waits until a host announces another port than before.
func awaitPort(t testing.TB, wire *natlab.Recording, from *natlab.Host, before uint16) (port uint16) {
	t.Helper()
	eventually(t, from.Name+" announces a camera", func() bool {
		port, _ = lastPort(wire.Packets(), from)
		return port != 0 && port != before
	})
	return port
}

// hostKeys returns the host keys by which the viewer knows its camera: yesterday's, today's and the next ones.
func (s *scene) hostKeys(t testing.TB) (keys [][]byte) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.flags[1], "hosts", "*.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("the viewer has the lists %v, %v", files, err)
	}

	text, err := os.ReadFile(files[0])
	var file struct{ List session.HostList }
	if err == nil {
		err = json.Unmarshal(text, &file)
	}
	if err != nil {
		t.Fatal(err)
	}

	for _, key := range file.List.PublicKeys() {
		keys = append(keys, key)
	}
	return keys
}

// watchedByLAN watches without the relay, and fails the test unless the pictures are the camera's own.
func (s *scene) watchedByLAN(t testing.TB) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "film.h264")
	w, code := s.once(t, "20", "-o", file)
	if code != 0 || w.Signaling != "lan" || w.Path != "direct" || w.Rejected != 0 {
		t.Fatalf("exit %d, %+v; want 20 frames, agreed on and sent within the house", code, w)
	}

	var own []struct{ ID string }
	if err := json.Unmarshal([]byte(terminal{s.flags}.ok(t, "list", "-json")), &own); err != nil || len(own) != 1 {
		t.Fatalf("the viewer has the cameras %v, %v", own, err)
	}

	for _, unit := range units(t, file) {
		if marks := media.Marks(unit); !slices.Equal(marks, []string{own[0].ID}) {
			t.Fatalf("shown a picture of %q, want %q", marks, own[0].ID)
		}
	}
	if said := s.cams.said(); strings.Contains(said, camera.RejectedText) {
		t.Errorf("the camera rejected something:\n%s", said)
	}
	t.Logf("%.0f ms to the first picture", w.TTFF)
}

// In a house without internet, strangers announce a hundred other cameras, all names that the camera will ever have,
// and what it said before it moved to another port. A second camera answers to these names and can prove none. The
// viewer finds its own camera, and asks nobody elsewhere.
func TestForgedAnnouncementsHideNoCamera(t *testing.T) {
	t.Parallel()
	s := newHouse(t, "-lan")
	wire := s.person.Record()
	if w, code := s.once(t, "20"); code != 0 {
		t.Fatalf("exit %d, %+v; want 20 frames by the relay", code, w)
	}

	second := newStranger(t, s)
	theirs := slices.Clone(s.cameraArgs)
	theirs[slices.Index(theirs, s.cameraState)] = t.TempDir()
	startBy(t, second.host.Start, theirs[0], theirs[1:]...).line(t, "pair sim-0 ")
	answers := awaitPort(t, wire, second.host, 0)

	s.cams.stop()
	before, captured := lastPort(wire.Packets(), s.home)
	s.startCamera(t)
	awaitPort(t, wire, s.home, before)
	s.home.Network().Down()

	forged := captured
	for range 100 {
		key := make([]byte, 32)
		rand.Read(key)
		forged = append(forged, announced(t, key, answers))
	}
	for _, key := range s.hostKeys(t) {
		forged = append(forged, announced(t, key, answers), announced(t, key, before))
	}
	second.shout(forged...)
	newStranger(t, s).shout(forged...)

	for range 3 {
		s.watchedByLAN(t)
	}

	for _, p := range wire.Packets() {
		if p.Out && p.Dst.Addr() == elsewhere {
			t.Fatal("the viewer sent something to an address in an announcement")
		}
	}
}

// Strangers in the house ask for cameras and open connections to the camera without end. A viewer that comes gets its
// picture nevertheless, without the relay.
//
// It is not parallel: the flood takes both processors, and other tests would find their machine slow.
func TestFloodedCameraIsWatched(t *testing.T) {
	s := newHouse(t, "-lan")
	wire := s.person.Record()
	if w, code := s.once(t, "20"); code != 0 {
		t.Fatalf("exit %d, %+v; want 20 frames by the relay", code, w)
	}

	port := awaitPort(t, wire, s.home, 0)
	s.home.Network().Down()

	question := packed(t, dnsmessage.Message{Questions: []dnsmessage.Question{{
		Name:  dnsmessage.MustNewName(mdnsService),
		Type:  dnsmessage.TypePTR,
		Class: dnsmessage.ClassINET,
	}}})
	var refused atomic.Int64

	for range 4 {
		d := newStranger(t, s)
		d.shout(question)
		d.flood(netip.AddrPortFrom(s.home.IPv4(), port), &refused)
	}
	eventually(t, "the camera refuses strangers", func() bool { return refused.Load() > 50 })

	for range 3 {
		s.watchedByLAN(t)
	}
	t.Logf("%d connections of strangers were refused", refused.Load())
}

// A viewer whose file is deleted at the camera while the house has no internet is cut off, and gets nothing by the LAN
// either. Another viewer goes on, by the names that it knows and by those that it learns after the removal, even where
// it has watched since before.
func TestRemovedViewerIsCutOffFromTheLAN(t *testing.T) {
	t.Parallel()
	s := newHouse(t, "-lan", "-pair-more")
	file := filepath.Join(s.cameraState, "sim-0", "pairs", "*.json")
	removed, err := filepath.Glob(file)
	if err != nil || len(removed) != 1 {
		t.Fatalf("the camera has the viewers %v, %v", removed, err)
	}

	other := *s
	other.person = s.home.Network().Host("other viewer")
	other.flags = append([]string{"-state", filepath.Join(t.TempDir(), "viewer")}, s.flags[2:]...)
	s.cams.line(t, "paired sim-0 ")
	other.link = s.cams.line(t, "pair sim-0 ")
	other.pair(t)
	for _, one := range []*scene{s, &other} {
		if w, code := one.once(t, "20"); code != 0 {
			t.Fatalf("exit %d, %+v; want 20 frames by the relay", code, w)
		}
	}

	s.home.Network().Down()
	other.watchedByLAN(t)
	cut, stays := s.watch(t), other.watch(t)
	names := other.hostKeys(t)
	if err := os.Remove(removed[0]); err != nil {
		t.Fatal(err)
	}
	cut.await(t, "; trying again", 1)
	other.watchedByLAN(t)
	shown := len(cut.now())
	if bytes.Equal(names[0], other.hostKeys(t)[0]) {
		t.Error("the camera goes by names that the removed viewer knows")
	}
	other.watchedByLAN(t)

	s.cams.stop()
	s.startCamera(t)
	stays.runs(t)
	if w, code := s.once(t, "1"); code == 0 || w.Frames != 0 || w.TTFF != 0 {
		t.Errorf("exit %d, %+v: a removed viewer was let in again", code, w)
	}
	if more := len(cut.now()) - shown; more > 0 {
		t.Errorf("a removed viewer was shown %d pieces of the film more", more)
	}
}

// Forty impostors announce the camera's names before it does, and answer nobody. The viewer still gets round to the
// camera.
func TestCrowdOfImpostorsHidesNoCamera(t *testing.T) {
	t.Parallel()
	s := newHouse(t, "-lan")
	if w, code := s.once(t, "20"); code != 0 {
		t.Fatalf("exit %d, %+v; want 20 frames by the relay", code, w)
	}
	s.home.Network().Down()

	var forged [][]byte
	for _, key := range s.hostKeys(t)[:6] {
		forged = append(forged, announced(t, key, 9))
	}

	crowd := newStranger(t, s)
	for i := range byte(40) {
		crowd.also(netip.AddrFrom4([4]byte{192, 168, 1, 200 + i})).shout(forged...)
	}

	for range 3 {
		s.watchedByLAN(t)
	}
}
