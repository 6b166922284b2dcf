//go:build linux

package p2p

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/peephole-cam/peephole/test/natlab"
)

// device is a process on a host of a lab that plays a role.
type device struct {
	t     *testing.T
	role  string
	in    io.WriteCloser
	lines *bufio.Scanner
	cmd   *exec.Cmd
}

func startDevice(t *testing.T, h *natlab.Host, role string) *device {
	t.Helper()
	d := &device{t: t, role: role, cmd: exec.Command(os.Args[0])}
	d.cmd.Env = append(os.Environ(), roleVariable+"="+role)
	d.cmd.Stderr = os.Stderr
	out, err := d.cmd.StdoutPipe()
	if err == nil {
		d.in, err = d.cmd.StdinPipe()
	}
	if err == nil {
		err = h.Start(d.cmd)
	}
	if err != nil {
		t.Fatal(err)
	}
	d.lines = bufio.NewScanner(out)
	t.Cleanup(func() { d.stop() })
	return d
}

// line returns the next line that the device prints.
func (d *device) line() string {
	d.t.Helper()
	if !d.lines.Scan() {
		d.t.Fatalf("%s ended: %v", d.role, d.lines.Err())
	}
	return d.lines.Text()
}

// port returns the port that a camera listens on.
func (d *device) port() (port uint16) {
	d.t.Helper()
	if _, err := fmt.Sscanf(d.line(), "port %d", &port); err != nil {
		d.t.Fatal(err)
	}
	return port
}

// find lets a viewer look for its camera, and returns where it was found.
func (d *device) find() (at netip.AddrPort, took time.Duration) {
	d.t.Helper()
	d.look()
	return d.found()
}

func (d *device) look() {
	d.t.Helper()
	if _, err := io.WriteString(d.in, "\n"); err != nil {
		d.t.Fatal(err)
	}
}

func (d *device) found() (at netip.AddrPort, took time.Duration) {
	d.t.Helper()
	where, took := d.foundAnywhere()
	at, err := netip.ParseAddrPort(where)
	if err != nil {
		d.t.Fatal(err)
	}
	return at, took
}

// foundAnywhere returns where a camera was found, on the LAN or through a relay.
func (d *device) foundAnywhere() (where string, took time.Duration) {
	d.t.Helper()
	words := strings.Fields(d.line())
	if len(words) != 4 || words[0] != "found" {
		d.t.Fatalf("%s: %s", d.role, words)
	}
	took, err := time.ParseDuration(words[3])
	if err != nil {
		d.t.Fatal(err)
	}
	return words[2], took
}

// stop ends the device and waits for it.
func (d *device) stop() {
	if d.in.Close() != nil {
		return
	}
	for d.lines.Scan() {
	}
	_ = d.cmd.Wait()
}

// TestViewerFindsCameraWithoutUplink: in a house without a way out, on every version of IP, a viewer finds its camera,
// whichever of them was there first.
func TestViewerFindsCameraWithoutUplink(t *testing.T) {
	t.Parallel()
	for _, kind := range []natlab.Kind{natlab.PortRestricted, natlab.DualStack, natlab.IPv6Only} {
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			natlab.Need(t)
			house := natlab.New(t).Network(kind)
			house.Down()
			viewer := startDevice(t, house.Host("viewer"), "viewer yesterday today tomorrow")
			viewer.look()
			camera := startDevice(t, house.Host("camera"), "camera today")
			port := camera.port()

			at, took := viewer.found()
			t.Logf("found when it was switched on, %v after the question", took)
			for range 3 {
				if at.Port() != port {
					t.Errorf("the camera listens on port %d, and was found at %v", port, at)
				}
				at, took = viewer.find()
				t.Logf("found at %v in %v", at, took)
			}
		})
	}
}

// TestImpostorDoesNotHideCamera: somebody who announces the camera's key before the camera does, and as loudly, is not
// taken for it, and the camera is found.
func TestImpostorDoesNotHideCamera(t *testing.T) {
	t.Parallel()
	natlab.Need(t)
	house := natlab.New(t).Network(natlab.PortRestricted)
	impostor := startDevice(t, house.Host("impostor"), "impostor today")
	impostor.port()
	viewer := startDevice(t, house.Host("viewer"), "viewer today")
	viewer.look()
	host := house.Host("camera")
	camera := startDevice(t, host, "camera today")
	port := camera.port()

	if at, _ := viewer.found(); at != netip.AddrPortFrom(host.IPv4(), port) {
		t.Errorf("found %v, want the camera at %v, port %d", at, host.IPv4(), port)
	}
}

// TestCameraIsFoundAfterItMoved: a camera that gets another network is found there without being asked to do anything.
func TestCameraIsFoundAfterItMoved(t *testing.T) {
	t.Parallel()
	natlab.Need(t)
	lab := natlab.New(t)
	before, after := lab.Network(natlab.PortRestricted), lab.Network(natlab.DualStack)
	host := before.Host("camera")
	startDevice(t, host, "camera today").port()
	first := startDevice(t, before.Host("first viewer"), "viewer today")
	first.find()

	host.Move(after)
	startDevice(t, after.Host("second viewer"), "viewer today").find()
}

// TestRelayReachesBehindRouters: a camera and a viewer behind routers that let nobody in meet at a relay, also after
// the camera has moved to another network.
func TestRelayReachesBehindRouters(t *testing.T) {
	t.Parallel()
	natlab.Need(t)
	lab := natlab.New(t)
	public := lab.Public("relay")
	address := startDevice(t, public, "relay "+netip.AddrPortFrom(public.IPv4(), 4001).String()).line()
	host := lab.Behind("camera", natlab.PortRestricted)
	startDevice(t, host, "far-camera today "+address).port()
	viewer := startDevice(t, lab.Behind("viewer", natlab.SymmetricRandom), "far-viewer today "+address)
	for range 2 {
		viewer.look()
		where, took := viewer.foundAnywhere()
		t.Logf("found: %s, in %v", where, took)
	}

	host.Move(lab.Network(natlab.CarrierGrade))
	viewer.look()
	_, took := viewer.foundAnywhere()
	t.Logf("found after the camera moved, in %v", took)
}

// TestCameraListensToItsLinksOnly: nobody beyond a router gets further than a refusal, even where the camera's address
// is public.
func TestCameraListensToItsLinksOnly(t *testing.T) {
	t.Parallel()
	natlab.Need(t)
	lab := natlab.New(t)
	host, stranger := lab.Public("camera"), lab.Public("stranger")
	port := startDevice(t, host, "camera today").port()
	from, err := stranger.ListenPacket("udp4", netip.AddrPortFrom(stranger.IPv4(), 0).String())
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()

	to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(host.IPv4(), port))
	insecure := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"libp2p"}}
	conn, err := quic.Dial(testContext(t), from, to, insecure, nil)
	var refused *quic.TransportError
	if !errors.As(err, &refused) || refused.ErrorCode != quic.ConnectionRefused {
		t.Errorf("a stranger beyond a router got %v, %v", conn, err)
	}
}

// TestDaysHaveNothingInCommon: whoever records what two days' cameras announce finds addresses in both, what every
// camera in the world says, and nothing else. Addresses of other networks, such as those of containers, are not told.
func TestDaysHaveNothingInCommon(t *testing.T) {
	t.Parallel()
	natlab.Need(t)
	house := natlab.New(t).Network(natlab.DualStack)
	host, watcher := house.Host("camera"), house.Host("watcher")
	host.Surround(8, natlab.PrivateDual)
	recording := watcher.Record()
	var days [2][][]byte
	seen := 0
	for i, day := range []string{"monday", "tuesday"} {
		camera := startDevice(t, host, "camera "+day)
		camera.port()
		viewer := startDevice(t, watcher, "viewer "+day)
		viewer.find()
		viewer.stop()
		camera.stop()
		packets := recording.Packets()
		for _, p := range packets[seen:] {
			if !p.Out && p.Dst.Port() == 5353 {
				days[i] = append(days[i], p.Data[len(p.Data)-payload(p):])
			}
		}
		seen = len(packets)
	}

	ours := map[string]bool{host.IPv4().String(): true, host.IPv6().String(): true}
	told := [2]map[string]bool{wordsOf(t, days[0], ours), wordsOf(t, days[1], ours)}
	for word := range told[0] {
		if told[1][word] {
			t.Errorf("both days say %q", word)
		}
	}
	if len(told[0]) < 2 || len(told[1]) < 2 {
		t.Errorf("the days say %v and %v: too little to compare", told[0], told[1])
	}
}

// payload returns how long the payload of a UDP packet is.
func payload(p natlab.Packet) int {
	header := 20
	if p.Src.Addr().Is6() {
		header = 40
	}
	return len(p.Data) - header - 8
}

// wordsOf returns everything that messages say, but for what all of them say: the service and its structure. It wants
// addresses to be the host's own.
func wordsOf(t *testing.T, messages [][]byte, ours map[string]bool) map[string]bool {
	t.Helper()
	words := make(map[string]bool)

	name := func(n dnsmessage.Name) {
		n.Length -= uint8(len("local."))
		for _, label := range strings.Split(n.String(), ".") {
			if label != "" && label != "_peephole" && label != "_udp" {
				words[label] = true
			}
		}
	}
	for _, data := range messages {
		var m dnsmessage.Message
		if err := m.Unpack(data); err != nil {
			t.Fatalf("%x: %v", data, err)
		}
		if bytes.Contains(data, []byte("camera")) || m.ID != 0 || len(m.Questions)+len(m.Additionals) != 0 {
			t.Errorf("announced %v", m)
		}

		for _, r := range m.Answers {
			name(r.Header.Name)
			switch body := r.Body.(type) {
			case *dnsmessage.PTRResource:
				name(body.PTR)
			case *dnsmessage.SRVResource:
				name(body.Target)
				words[fmt.Sprint("port ", body.Port)] = true
			case *dnsmessage.TXTResource:
				if len(body.TXT) != 1 || body.TXT[0] != "" {
					t.Errorf("the text says %q", body.TXT)
				}
			case *dnsmessage.AResource:
				checkAddress(t, netip.AddrFrom4(body.A), ours)
			case *dnsmessage.AAAAResource:
				checkAddress(t, netip.AddrFrom16(body.AAAA), ours)
			default:
				t.Errorf("announced %v", r)
			}
		}
	}
	return words
}

func checkAddress(t *testing.T, a netip.Addr, ours map[string]bool) {
	t.Helper()
	if !ours[a.String()] && !a.IsLinkLocalUnicast() {
		t.Errorf("told the address %v", a)
	}
}
