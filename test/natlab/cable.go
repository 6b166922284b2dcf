//go:build linux

package natlab

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

// An End is a namespace at one end of a cable, or one by itself with nothing but its loopback.
type End struct {
	ns     *namespace
	Addr   netip.Addr // its own address
	Addr6  netip.Addr // its own IPv6 address, at a cable
	Device string     // its end of the cable; empty: none
	NAPI   int        // the kernel thread that receives at its end; 0: none
}

// Alone makes an end without a cable, gone when the test ends.
func Alone(t testing.TB) *End {
	t.Helper()
	Need(t)
	return &End{ns: makeEnd(t, "alone"), Addr: netip.AddrFrom4([4]byte{127, 0, 0, 1})}
}

func makeEnd(t testing.TB, name string) *namespace {
	t.Helper()
	n, err := newNamespace(name, nil)
	if err != nil {
		t.Fatalf("natlab: %v", err)
	}
	t.Cleanup(n.close)

	// Every kernel lets a namespace have reno, whatever this machine prefers: BBR's pacing would make a timer of every
	// packet when round trips take no time.
	if err := n.sysctl("net/ipv4/tcp_congestion_control", "reno"); err != nil {
		t.Fatalf("natlab: %v", err)
	}
	return n
}

// Cable makes two ends joined by a veth pair, with no routers, gone when the test ends. It is as much like two machines
// with network cards as a kernel can be made: packets cross one by one, since segmentation is not offloaded, and each
// end receives in a kernel thread of its own (threaded NAPI), so that the work of receiving can be counted and pinned.
func Cable(t testing.TB) (left, right *End) {
	t.Helper()
	Need(t)
	left = &End{
		ns:    makeEnd(t, "left"),
		Addr:  netip.AddrFrom4([4]byte{10, 9, 0, 1}),
		Addr6: netip.MustParseAddr("fd09::1"),
	}

	right = &End{
		ns:    makeEnd(t, "right"),
		Addr:  netip.AddrFrom4([4]byte{10, 9, 0, 2}),
		Addr6: netip.MustParseAddr("fd09::2"),
	}

	// Kernel threads bear the devices' names, which must not be those of another test.
	left.Device, right.Device = fmt.Sprintf("l%d", left.ns.tid), fmt.Sprintf("r%d", left.ns.tid)
	err := left.ns.ip(fmt.Sprintf("link add %s type veth peer name %s netns %d", left.Device, right.Device,
		right.ns.tid))
	for _, e := range []*End{left, right} {
		if err == nil {
			err = e.plug()
		}
	}

	if err != nil {
		t.Fatalf("natlab: make cable: %v", err)
	}
	return left, right
}

// plug sets an end's device up.
func (e *End) plug() error {
	if err := e.ns.do(func() error { return setOffloads(e.Device) }); err != nil {
		return err
	}
	err := e.ns.ip(
		"link set "+e.Device+" gso_max_segs 1 gso_max_size 1500",
		fmt.Sprintf("addr add %s/30 dev %s", e.Addr, e.Device),
		fmt.Sprintf("addr add %s/64 dev %s nodad", e.Addr6, e.Device),
		"link set "+e.Device+" up")
	if err != nil {
		return err
	}
	return e.thread()
}

// thread makes the device receive in a kernel thread, and finds it.
func (e *End) thread() error {
	err := e.ns.do(func() error { // /sys shows the devices of the namespace in which it was mounted
		if err := syscall.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
			return fmt.Errorf("mount sysfs: %w", err)
		}
		return os.WriteFile(filepath.Join("/sys/class/net", e.Device, "threaded"), []byte("1"), 0o600)
	})
	if err != nil {
		return err
	}

	names, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		return err
	}

	for _, name := range names {
		comm, err := os.ReadFile(name)
		if err == nil && strings.HasPrefix(string(bytes.TrimSpace(comm)), "napi/"+e.Device+"-") {
			e.NAPI, err = strconv.Atoi(filepath.Base(filepath.Dir(name)))
			return err
		}
	}

	return fmt.Errorf("find the thread of %s: %w", e.Device, os.ErrNotExist)
}

// setOffloads turns generic receive offload on, as drivers of network cards do, and TCP's segmentation offload off:
// only a veth without segmentation offload that sends to a veth with receive offload leaves the receiving to NAPI.
func setOffloads(device string) error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open socket: %w", err)
	}
	defer syscall.Close(fd)

	const siocEthtool, ethtoolSTSO, ethtoolSGRO = 0x8946, 0x1f, 0x2c // linux/sockios.h, linux/ethtool.h
	for _, value := range [][2]uint32{{ethtoolSTSO, 0}, {ethtoolSGRO, 1}} {
		request := struct {
			name [16]byte
			data *[2]uint32
			_    [16]byte
		}{data: &value}

		copy(request.name[:15], device)
		if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), siocEthtool,
			uintptr(unsafe.Pointer(&request))); e != 0 {
			return fmt.Errorf("set offload %#x: %w", value[0], e)
		}
	}

	return nil
}

// Hold gives e every address of a prefix, which the other end can then reach there.
func (e *End) Hold(p netip.Prefix, other *End) error {
	if err := e.ns.ip(fmt.Sprintf("route add local %s dev lo", p)); err != nil {
		return err
	}
	via := e.Addr
	if p.Addr().Is6() {
		via = e.Addr6
		// IPv4 needs no such setting for local routes
		if err := e.ns.sysctl("net/ipv6/ip_nonlocal_bind", "1"); err != nil {
			return err
		}
	}

	return other.ns.ip(fmt.Sprintf("route add %s via %s", p, via))
}

// Start starts a command there. It is killed when the test ends, if it still runs.
func (e *End) Start(cmd *exec.Cmd) error { return e.ns.start(cmd) }

// Do calls f on a thread within the namespace: sockets that f opens stay there. f must not start a goroutine for that.
func (e *End) Do(f func() error) error { return e.ns.do(f) }
