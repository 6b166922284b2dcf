// Command contestant is a TURN server for make bench-turn to measure: ours, or plain pion/turn. It serves UDP and TCP
// until its standard input ends. It must never be shipped: its secrets are on its command line.
//
//	contestant ours SECRET ADDRESS         with credentials made under the secret, in hex
//	contestant pion USER:PASSWORD ADDRESS  one UDP socket for each core, as in pion's own examples
//
// Flags come before that: -tls ADDRESS -cert FILE -key FILE to serve TLS too, -xdp DEVICE for ours to use XDP there,
// and -allocations N to give ours room for so many.
//
// It prints its address. Then, for every line of standard input, it prints its heap in use after a collection,
// including stacks, in bytes, and its number of goroutines.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"

	pion "github.com/pion/turn/v4"
	"golang.org/x/sys/unix"

	"github.com/peephole-cam/peephole/turn"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "contestant:", err)
		os.Exit(1)
	}
}

// contest is what the arguments ask a server to do.
type contest struct {
	secret, address string
	device          string      // for XDP; empty: none
	allocations     int         // 0: the default
	tlsAddress      string      // empty: none
	tls             *tls.Config // nil: none
}

func run(args []string, in io.Reader, out io.Writer) error {
	var c contest
	var cert, key string
	flags := flag.NewFlagSet("contestant", flag.ContinueOnError)
	flags.StringVar(&c.device, "xdp", "", "interface where ours uses XDP")
	flags.IntVar(&c.allocations, "allocations", 0, "how many ours has room for; 0: the default")
	flags.StringVar(&c.tlsAddress, "tls", "", "address to serve TLS at")
	flags.StringVar(&cert, "cert", "", "certificate, a PEM file")
	flags.StringVar(&key, "key", "", "its key, a PEM file")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 3 {
		return errors.New("want: contestant [FLAGS] ours|pion SECRET ADDRESS")
	}

	serve := map[string]func(c contest, serving func(net.Addr)) error{"ours": ours, "pion": plain}[flags.Arg(0)]
	if serve == nil {
		return fmt.Errorf("unknown server %q: want ours or pion", flags.Arg(0))
	}
	c.secret, c.address = flags.Arg(1), flags.Arg(2)
	if c.tlsAddress != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return fmt.Errorf("read certificate: %w", err)
		}
		c.tls = &tls.Config{Certificates: []tls.Certificate{pair}}
	}

	return serve(c, func(at net.Addr) {
		fmt.Fprintln(out, at)
		lines := bufio.NewScanner(in)
		for lines.Scan() {
			fmt.Fprintln(out, heap(), runtime.NumGoroutine())
		}
	})
}

// heap returns the bytes that are in use.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // frees what pools kept through the first
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

func ours(at contest, serving func(net.Addr)) error {
	raw, err := hex.DecodeString(at.secret)
	if err != nil {
		return fmt.Errorf("read secret: %w", err)
	}
	keys, err := turn.NewKeys(raw, nil)
	if err != nil {
		return err
	}

	streams, err := at.streams()
	if err != nil {
		return err
	}
	s, err := turn.New(turn.Config{
		Address:        at.address,
		Streams:        streams,
		Keys:           keys,
		XDP:            at.device,
		MaxAllocations: at.allocations,
	})
	if err != nil {
		return err
	}

	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	serving(net.UDPAddrFromAddrPort(s.Addresses().UDP))
	stop()

	return <-ran
}

// streams returns the listeners for clients over TCP and, if there is an address for it, over TLS.
func (at contest) streams() ([]net.Listener, error) {
	tcp, err := net.Listen("tcp4", at.address)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if at.tlsAddress == "" {
		return []net.Listener{tcp}, nil
	}

	secure, err := tls.Listen("tcp4", at.tlsAddress, at.tls)
	if err != nil {
		return nil, fmt.Errorf("listen for TLS: %w", err)
	}
	return []net.Listener{tcp, secure}, nil
}

// plain is pion/turn with nothing of ours.
func plain(at contest, serving func(net.Addr)) error {
	address := at.address
	user, password, _ := strings.Cut(at.secret, ":")
	const realm = "pion"
	key := pion.GenerateAuthKey(user, realm, password)
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}

	c := pion.ServerConfig{Realm: realm, AuthHandler: func(name, _ string, _ net.Addr) ([]byte, bool) {
		return key, name == user
	}}
	for range runtime.GOMAXPROCS(0) {
		listen := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
			if e := c.Control(func(fd uintptr) {
				err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
			}); e != nil {
				return e
			}
			return err
		}}

		conn, err := listen.ListenPacket(context.Background(), "udp4", address)
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		address = conn.LocalAddr().String()   // the others on the same port
		if u, ok := conn.(*net.UDPConn); ok { // the same buffers as ours
			_, _ = u.SetReadBuffer(4<<20), u.SetWriteBuffer(4<<20)
		}

		c.PacketConnConfigs = append(c.PacketConnConfigs,
			pion.PacketConnConfig{PacketConn: conn, RelayAddressGenerator: relayAt(host)})
	}

	at.address = address
	streams, err := at.streams()
	if err != nil {
		return err
	}
	for _, l := range streams {
		c.ListenerConfigs = append(c.ListenerConfigs,
			pion.ListenerConfig{Listener: l, RelayAddressGenerator: relayAt(host)})
	}

	s, err := pion.NewServer(c)
	if err != nil {
		return fmt.Errorf("start pion: %w", err)
	}
	serving(c.PacketConnConfigs[0].PacketConn.LocalAddr())
	return s.Close()
}

func relayAt(host string) pion.RelayAddressGenerator {
	return &pion.RelayAddressGeneratorStatic{RelayAddress: net.ParseIP(host), Address: host}
}
