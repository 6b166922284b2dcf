package reserve

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/peephole-cam/peephole/test/natlab"
)

// If there are four ports and one is reserved, those who ask for any port get one of the other three, and the fifth
// gets none: whether they listen on one address or on all, or connect.
func TestReservedPortIsNobodyElses(t *testing.T) {
	listenTCP := func(address string) (interface{ Close() error }, error) { return net.Listen("tcp4", address) }
	listenUDP := func(address string) (interface{ Close() error }, error) { return net.ListenPacket("udp4", address) }
	for _, tt := range []struct {
		name    string
		reserve func(string) (*Port, error)
		ask     func(string) (interface{ Close() error }, error)
		at      string
	}{
		{"TCP", TCP, listenTCP, "127.0.0.1:0"},
		{"TCP, all addresses", TCP, listenTCP, "0.0.0.0:0"},
		{"UDP", UDP, listenUDP, "127.0.0.1:0"},
		{"UDP, all addresses", UDP, listenUDP, "0.0.0.0:0"},
		{"UDP, by connecting", UDP, func(string) (interface{ Close() error }, error) {
			return net.Dial("udp4", "127.0.0.1:9")
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			alone := natlab.Alone(t)
			err := alone.Do(func() error {
				if err := os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("40000 40003"), 0); err != nil {
					return err
				}
				kept, err := tt.reserve("127.0.0.1:0")
				if err != nil {
					return err
				}

				defer kept.Close()
				for range 3 {
					other, err := tt.ask(tt.at)
					if err != nil {
						return err
					}
					defer other.Close()
				}

				if _, err := tt.ask(tt.at); !errors.Is(err, syscall.EADDRINUSE) && !errors.Is(err, syscall.EAGAIN) &&
					!errors.Is(err, syscall.EADDRNOTAVAIL) {
					t.Errorf("the reserved port was given away: %v", err)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}
