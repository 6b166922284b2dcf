package netwatch

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// Each move to another network is told once; going dark, an error and the same addresses in another order are none.
func TestChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		home, other := address("192.0.2.1"), address("198.51.100.7")
		loopback, linkLocal := address("127.0.0.1"), address("fe80::1")
		steps := []struct {
			name      string
			addresses []net.Addr
			err       error
			told      bool
		}{
			{"at home", []net.Addr{loopback, home, other}, nil, false},
			{"in another order", []net.Addr{other, loopback, home}, nil, false},
			{"an error", nil, errors.New("no"), false},
			{"dark", []net.Addr{loopback, linkLocal}, nil, false},
			{"home again", []net.Addr{home, other}, nil, false},
			{"one address less", []net.Addr{home}, nil, true},
			{"still", []net.Addr{home, linkLocal}, nil, false},
			{"elsewhere", []net.Addr{other}, nil, true},
		}
		now := 0
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		told := changes(ctx, time.Second, func() ([]net.Addr, error) { return steps[now].addresses, steps[now].err })
		synctest.Wait()
		for i, s := range steps {
			now = i
			time.Sleep(1100 * time.Millisecond) // of the bubble's own time
			synctest.Wait()
			select {
			case <-told:
				if !s.told {
					t.Errorf("%s: told of a change", s.name)
				}
			default:
				if s.told {
					t.Errorf("%s: not told", s.name)
				}
			}
		}
	})
}

func address(ip string) net.Addr {
	return &net.IPNet{IP: net.ParseIP(ip), Mask: net.CIDRMask(64, 128)}
}
