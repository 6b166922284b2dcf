package xdp

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

//go:embed forward.o
var object []byte

const (
	routesEach = 4
	maxPaces   = 4
)

// Forwarder is the program, attached. It is safe for concurrent use.
type Forwarder struct {
	attached                       link.Link
	moderation                     moderation
	program                        *ebpf.Program
	routes, clients, paces, totals *ebpf.Map

	mu                    sync.Mutex
	freeClients, freePace numbers // guarded by mu
}

// The maps' keys and values, as forward.c has them.
type (
	from struct {
		Address       [16]byte
		Port, Channel [2]byte
	}
	route struct {
		Server, Via, To  [16]byte
		Port, Channel    [2]byte
		Sender, Receiver uint32
		Paces            [maxPaces]uint32
	}
	client struct {
		MAC   [6]byte
		Known uint16
	}
	pace struct {
		Due, Cost uint64
	}
	total struct {
		Packets, Bytes uint64
	}
)

// Attach loads the program and attaches it to an interface, where it forwards nothing until there are routes. It returns
// ErrUnsupported, wrapped in what is missing, or why the kernel will not have it.
func Attach(c Config) (*Forwarder, error) {
	at, err := net.InterfaceByName(c.Interface)
	if err != nil {
		return nil, fmt.Errorf("find interface %s: %w", c.Interface, err)
	}
	unsummed, err := sendsUnsummed(c.Interface)
	if err != nil {
		return nil, err
	}
	f, err := load(c, unsummed)
	if err != nil {
		return nil, err
	}
	f.attached, err = link.AttachXDP(link.XDPOptions{Program: f.program, Interface: at.Index, Flags: link.XDPDriverMode})
	if err != nil {
		f.Close()
		if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, link.ErrNotSupported) {
			return nil, fmt.Errorf("the driver of %s has no XDP: %w", c.Interface, ErrUnsupported)
		}
		if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EEXIST) {
			return nil, fmt.Errorf("another XDP program is attached to %s: detach it first, or leave XDP off", c.Interface)
		}
		return nil, fmt.Errorf("attach to %s: %w", c.Interface, err)
	}
	if f.moderation, err = moderate(c.Interface); err != nil && c.Logger != nil {
		c.Logger.Warn("every packet may wake the processor for XDP", "error", err)
	}
	return f, nil
}

func load(c Config, unsummed bool) (*Forwarder, error) {
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(object))
	if err != nil {
		return nil, fmt.Errorf("read program: %w", err)
	}
	var flag uint8
	if unsummed {
		flag = 1
	}
	if err := errors.Join(spec.Variables["port"].Set(network(c.Port)), spec.Variables["unsummed"].Set(flag)); err != nil {
		return nil, fmt.Errorf("set up program: %w", err)
	}
	clients := uint32(max(c.Clients, 1)) + 1 // the first number stands for none
	spec.Maps["clients"].MaxEntries, spec.Maps["paces"].MaxEntries, spec.Maps["routes"].MaxEntries = clients, 2*clients, routesEach*clients
	f := &Forwarder{freeClients: numbers{most: clients}, freePace: numbers{most: 2 * clients}}
	var loaded struct {
		Program *ebpf.Program `ebpf:"forward"`
		Routes  *ebpf.Map     `ebpf:"routes"`
		Clients *ebpf.Map     `ebpf:"clients"`
		Paces   *ebpf.Map     `ebpf:"paces"`
		Totals  *ebpf.Map     `ebpf:"totals"`
	}
	if err := spec.LoadAndAssign(&loaded, nil); err != nil {
		if errors.Is(err, unix.EPERM) {
			return nil, fmt.Errorf("load program: %w: run as root, or with CAP_NET_ADMIN and CAP_BPF", err)
		}
		if errors.Is(err, ebpf.ErrNotSupported) {
			return nil, fmt.Errorf("load program: %w: %w", err, ErrUnsupported)
		}
		return nil, fmt.Errorf("load program: %w", err)
	}
	f.program, f.routes, f.clients, f.paces, f.totals = loaded.Program, loaded.Routes, loaded.Clients, loaded.Paces, loaded.Totals
	return f, nil
}

// sendsUnsummed says whether an interface hands over packets whose checksums are left to a card that is not there.
func sendsUnsummed(name string) (bool, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false, fmt.Errorf("open socket: %w", err)
	}
	defer unix.Close(fd)
	info, err := unix.IoctlGetEthtoolDrvinfo(fd, name)
	if err != nil {
		return false, fmt.Errorf("ask for the driver of %s: %w", name, errors.Join(err, ErrUnsupported))
	}
	return unix.ByteSliceToString(info.Driver[:]) == "veth", nil
}

// Close detaches the program, and leaves the interface as it was.
func (f *Forwarder) Close() error {
	errs := []error{f.moderation.end()}
	if f.attached != nil {
		errs = append(errs, f.attached.Close())
	}
	for _, m := range []*ebpf.Map{f.routes, f.clients, f.paces, f.totals} {
		errs = append(errs, m.Close())
	}
	return errors.Join(append(errs, f.program.Close())...)
}

// AddClient makes room for a client. It returns ErrFull.
func (f *Forwarder) AddClient() (Client, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.freeClients.take()
	return Client(n), err
}

// RemoveClient forgets a client that no route names any more, and where its packets came from.
func (f *Forwarder) RemoveClient(c Client) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.clients.Put(uint32(c), client{}); err != nil {
		return fmt.Errorf("forget client: %w", err)
	}
	f.freeClients.give(uint32(c))
	return nil
}

// AddPace makes a limit of so many bytes a second, Headers for each packet among them, after a second's worth at once. It returns ErrFull.
func (f *Forwarder) AddPace(rate int64) (Pace, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.freePace.take()
	if err != nil {
		return 0, err
	}
	if err := f.paces.Put(n, pace{Cost: uint64(time.Second) << 16 / uint64(max(rate, 1))}); err != nil {
		return 0, fmt.Errorf("set limit: %w", err)
	}
	return Pace(n), nil
}

// RemovePace forgets a limit that no route names any more.
func (f *Forwarder) RemovePace(p Pace) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.freePace.give(uint32(p))
}

// Set makes a route, or changes it. It returns ErrFamily, or ErrFull.
func (f *Forwarder) Set(c Channel, r Route) error {
	v6 := c.Client.Addr().Unmap().Is6()
	for _, a := range []netip.Addr{r.Server, r.Via, r.To.Client.Addr()} {
		if a.Unmap().Is6() != v6 {
			return ErrFamily
		}
	}
	if len(r.Paces) > maxPaces {
		return fmt.Errorf("a route with %d limits: %w", len(r.Paces), ErrFull)
	}
	v := route{
		Server: r.Server.As16(), Via: r.Via.As16(), To: r.To.Client.Addr().As16(), Port: network(r.To.Client.Port()),
		Channel: network(r.To.Number), Sender: uint32(r.Sender), Receiver: uint32(r.Receiver),
	}
	for i, p := range r.Paces {
		v.Paces[i] = uint32(p)
	}
	err := f.routes.Put(key(c), v)
	if errors.Is(err, unix.E2BIG) {
		return ErrFull
	}
	if err != nil {
		return fmt.Errorf("set route: %w", err)
	}
	return nil
}

// Delete ends a route; one that is not there is no error.
func (f *Forwarder) Delete(c Channel) error {
	if err := f.routes.Delete(key(c)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("delete route: %w", err)
	}
	return nil
}

// Counts returns what has happened so far.
func (f *Forwarder) Counts() (Counts, error) {
	var n Counts
	for which := range uint32(2) {
		var cores []total
		if err := f.totals.Lookup(which, &cores); err != nil {
			return n, fmt.Errorf("read totals: %w", err)
		}
		for _, t := range cores {
			if which == 1 {
				n.Limited += t.Packets
				continue
			}
			n.Packets, n.Bytes = n.Packets+t.Packets, n.Bytes+t.Bytes
		}
	}
	return n, nil
}

func key(c Channel) from {
	return from{Address: c.Client.Addr().As16(), Port: network(c.Client.Port()), Channel: network(c.Number)}
}

// network is a number in network byte order.
func network(n uint16) (b [2]byte) {
	binary.BigEndian.PutUint16(b[:], n)
	return b
}
