// Command contestant is a TURN server for make bench-turn to measure: ours, or pion/turn as it comes. It serves UDP
// until its standard input ends. It must never be shipped: its secrets are on its command line.
//
//	contestant ours SECRET ADDRESS [DEVICE [ALLOCATIONS]]    with credentials made under the secret, in hex; with XDP at the device, unless that
//	                                                         is empty; with room for so many allocations
//	contestant pion USER:PASSWORD ADDRESS                    one socket for each core, as pion's own examples have it
//
// It prints the address that it serves at, and for every line of its standard input its heap in use after a collection,
// stacks included, in bytes, and how many goroutines it has.
package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
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

func run(args []string, in io.Reader, out io.Writer) error {
	if len(args) != 3 && (len(args) < 4 || len(args) > 5 || args[0] != "ours") {
		return errors.New("want: contestant ours|pion SECRET ADDRESS [DEVICE [ALLOCATIONS]]")
	}
	serve := map[string]func(args []string, serving func(net.Addr)) error{"ours": ours, "pion": plain}[args[0]]
	if serve == nil {
		return fmt.Errorf("unknown server %q: want ours or pion", args[0])
	}
	return serve(args[1:], func(at net.Addr) {
		fmt.Fprintln(out, at)
		lines := bufio.NewScanner(in)
		for lines.Scan() {
			fmt.Fprintln(out, heap(), runtime.NumGoroutine())
		}
	})
}

// heap is what lives, in bytes.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // what the first kept in pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

func ours(args []string, serving func(net.Addr)) error {
	raw, err := hex.DecodeString(args[0])
	if err != nil {
		return fmt.Errorf("read secret: %w", err)
	}
	keys, err := turn.NewKeys(raw, nil)
	if err != nil {
		return err
	}
	c := turn.Config{Address: args[1], Keys: keys}
	if len(args) > 2 {
		c.XDP = args[2]
	}
	if len(args) > 3 {
		if c.MaxAllocations, err = strconv.Atoi(args[3]); err != nil {
			return fmt.Errorf("read allocations: %w", err)
		}
	}
	s, err := turn.New(c)
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

// plain is pion/turn with nothing of ours.
func plain(args []string, serving func(net.Addr)) error {
	address := args[1]
	user, password, _ := strings.Cut(args[0], ":")
	const realm = "pion"
	key := pion.GenerateAuthKey(user, realm, password)
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	c := pion.ServerConfig{Realm: realm, AuthHandler: func(name, _ string, _ net.Addr) ([]byte, bool) { return key, name == user }}
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
		if u, ok := conn.(*net.UDPConn); ok { // as much room as ours has
			_, _ = u.SetReadBuffer(4<<20), u.SetWriteBuffer(4<<20)
		}
		c.PacketConnConfigs = append(c.PacketConnConfigs, pion.PacketConnConfig{
			PacketConn:            conn,
			RelayAddressGenerator: &pion.RelayAddressGeneratorStatic{RelayAddress: net.ParseIP(host), Address: host},
		})
	}
	s, err := pion.NewServer(c)
	if err != nil {
		return fmt.Errorf("start pion: %w", err)
	}
	serving(c.PacketConnConfigs[0].PacketConn.LocalAddr())
	return s.Close()
}
