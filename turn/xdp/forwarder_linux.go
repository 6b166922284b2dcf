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
	routesPerClient = 4
	maxBuckets      = 4 // of one route
)

// Forwarder is the program, attached. It is safe for concurrent use.
type Forwarder struct {
	attached                         link.Link
	moderation                       moderation
	program                          *ebpf.Program
	routes, clients, buckets, totals *ebpf.Map

	mu                           sync.Mutex
	clientNumbers, bucketNumbers numberPool // guarded by mu
}

// The keys and values of the maps, as forward.c has them.
type (
	from struct {
		Address       [16]byte
		Port, Channel [2]byte
	}
	route struct {
		Server, Via, To  [16]byte
		Port, Channel    [2]byte
		Sender, Receiver uint32
		Buckets          [maxBuckets]uint32
	}
	client struct {
		MAC   [6]byte
		Known uint16
	}
	bucket struct {
		FullAt, Cost uint64
	}
	total struct {
		Packets, Bytes uint64
	}
)

// Attach loads the program and attaches it to an interface, where it forwards nothing until there are routes. It
// returns ErrUnsupported, wrapped in what is missing, or why the kernel refused it.
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

	f.attached, err = link.AttachXDP(link.XDPOptions{
		Program:   f.program,
		Interface: at.Index,
		Flags:     link.XDPDriverMode,
	})
	if err != nil {
		f.Close()
		return nil, explainAttach(c.Interface, err)
	}
	if f.moderation, err = moderate(c.Interface); err != nil && c.Logger != nil {
		c.Logger.Warn("every packet may wake the processor for XDP", "error", err)
	}
	return f, nil
}

// explainAttach says why the program could not be attached to an interface.
func explainAttach(name string, err error) error {
	switch {
	case errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, link.ErrNotSupported):
		return fmt.Errorf("the driver of %s has no XDP: %w", name, ErrUnsupported)
	case errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EEXIST):
		return fmt.Errorf("another XDP program is attached to %s: detach it first, or leave XDP off", name)
	}
	return fmt.Errorf("attach to %s: %w", name, err)
}

// load loads the program and its maps into the kernel. unsummed reports whether the interface's packets come without
// complete checksums.
func load(c Config, unsummed bool) (*Forwarder, error) {
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(object))
	if err != nil {
		return nil, fmt.Errorf("read program: %w", err)
	}

	var flag uint8
	if unsummed {
		flag = 1
	}
	err = errors.Join(spec.Variables["port"].Set(network(c.Port)), spec.Variables["unsummed"].Set(flag))
	if err != nil {
		return nil, fmt.Errorf("set up program: %w", err)
	}

	clients := uint32(max(c.Clients, 1)) + 1 // number 0 stands for none
	spec.Maps["clients"].MaxEntries = clients
	spec.Maps["paces"].MaxEntries = 2 * clients
	spec.Maps["routes"].MaxEntries = routesPerClient * clients

	var loaded struct {
		Program *ebpf.Program `ebpf:"forward"`
		Routes  *ebpf.Map     `ebpf:"routes"`
		Clients *ebpf.Map     `ebpf:"clients"`
		Paces   *ebpf.Map     `ebpf:"paces"` // the token buckets
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

	return &Forwarder{
		program:       loaded.Program,
		routes:        loaded.Routes,
		clients:       loaded.Clients,
		buckets:       loaded.Paces,
		totals:        loaded.Totals,
		clientNumbers: numberPool{max: clients},
		bucketNumbers: numberPool{max: 2 * clients},
	}, nil
}

// sendsUnsummed reports whether an interface hands over packets whose checksums were left to a network card, and there
// is no card (veth).
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

// Close detaches the program, and leaves the interface as it was before.
func (f *Forwarder) Close() error {
	errs := []error{f.moderation.end()}
	if f.attached != nil {
		errs = append(errs, f.attached.Close())
	}
	for _, m := range []*ebpf.Map{f.routes, f.clients, f.buckets, f.totals} {
		errs = append(errs, m.Close())
	}
	return errors.Join(append(errs, f.program.Close())...)
}

// AddClient makes room for a client. It returns ErrFull.
func (f *Forwarder) AddClient() (Client, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.clientNumbers.acquire()
	return Client(n), err
}

// RemoveClient forgets a client that no route names any more, and its link address.
func (f *Forwarder) RemoveClient(c Client) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.clients.Put(uint32(c), client{}); err != nil {
		return fmt.Errorf("forget client: %w", err)
	}
	f.clientNumbers.release(uint32(c))
	return nil
}

// AddTokenBucket makes a limit of rate bytes a second, after a burst of one second's worth. A packet costs its payload
// and Headers. AddTokenBucket returns ErrFull.
func (f *Forwarder) AddTokenBucket(rate int64) (TokenBucket, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.bucketNumbers.acquire()
	if err != nil {
		return 0, err
	}

	cost := uint64(time.Second) << 16 / uint64(max(rate, 1))
	if err := f.buckets.Put(n, bucket{Cost: cost}); err != nil {
		return 0, fmt.Errorf("set limit: %w", err)
	}
	return TokenBucket(n), nil
}

// RemoveTokenBucket forgets a limit that no route names any more.
func (f *Forwarder) RemoveTokenBucket(b TokenBucket) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bucketNumbers.release(uint32(b))
}

// SetRoute makes a route, or changes it. It returns ErrFamily or ErrFull.
func (f *Forwarder) SetRoute(c Channel, r Route) error {
	v6 := c.Client.Addr().Unmap().Is6()
	for _, a := range []netip.Addr{r.Server, r.Via, r.To.Client.Addr()} {
		if a.Unmap().Is6() != v6 {
			return ErrFamily
		}
	}
	if len(r.Buckets) > maxBuckets {
		return fmt.Errorf("a route with %d limits: %w", len(r.Buckets), ErrFull)
	}

	v := route{
		Server:   r.Server.As16(),
		Via:      r.Via.As16(),
		To:       r.To.Client.Addr().As16(),
		Port:     network(r.To.Client.Port()),
		Channel:  network(r.To.Number),
		Sender:   uint32(r.Sender),
		Receiver: uint32(r.Receiver),
	}
	for i, b := range r.Buckets {
		v.Buckets[i] = uint32(b)
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

// DeleteRoute deletes a route. It is no error if there is none.
func (f *Forwarder) DeleteRoute(c Channel) error {
	if err := f.routes.Delete(key(c)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("delete route: %w", err)
	}
	return nil
}

// Counts returns what has happened so far.
func (f *Forwarder) Counts() (Counts, error) {
	forwarded, err := f.total(0)
	if err != nil {
		return Counts{}, err
	}
	limited, err := f.total(1)
	if err != nil {
		return Counts{}, err
	}
	return Counts{Packets: forwarded.Packets, Bytes: forwarded.Bytes, Limited: limited.Packets}, nil
}

// total returns one of the totals, summed over all cores.
func (f *Forwarder) total(which uint32) (sum total, err error) {
	var cores []total
	if err := f.totals.Lookup(which, &cores); err != nil {
		return total{}, fmt.Errorf("read totals: %w", err)
	}
	for _, t := range cores {
		sum.Packets += t.Packets
		sum.Bytes += t.Bytes
	}
	return sum, nil
}

func key(c Channel) from {
	return from{Address: c.Client.Addr().As16(), Port: network(c.Client.Port()), Channel: network(c.Number)}
}

// network returns a number in network byte order.
func network(n uint16) (b [2]byte) {
	binary.BigEndian.PutUint16(b[:], n)
	return b
}
