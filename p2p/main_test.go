package p2p

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/noleak"
)

// roleVariable makes a process of the tests something else: a device in a lab, which needs a process of its own, since
// the sockets of a program are opened on whatever thread happens to run.
const roleVariable = "PEEPHOLE_P2P_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(play(role))
	}
	noleak.Main(m)
}

// play plays a role until standard input ends, and prints what happens:
//
//	camera DAY            on the LAN
//	impostor DAY          announces the day's key, and has another
//	viewer DAY...         looks for a camera on the LAN, once for every line of input
//	relay ADDRESS         a circuit relay
//	far-camera DAY RELAY  reachable through a relay alone
//	far-viewer DAY RELAY  looks for a camera through the relay, once for every line
func play(role string) int {
	ctx, cancel := context.WithCancel(context.Background())
	words := strings.Fields(role)

	var err error
	switch words[0] {
	case "camera":
		err = playCamera(ctx, Config{Key: testKey(words[1]), LAN: true}, testKey(words[1]))
	case "impostor":
		err = playCamera(ctx, Config{Key: testKey("impostor"), LAN: true}, testKey(words[1]))
	case "far-camera":
		err = playCamera(ctx, Config{Key: testKey(words[1]), Relays: words[2:]}, testKey(words[1]))
	case "relay":
		err = playRelay(ctx, words[1])
	case "viewer":
		var keys []ed25519.PublicKey
		for _, day := range words[1:] {
			keys = append(keys, publicKey(testKey(day)))
		}
		err = playViewer(func() (*Conn, error) { return FindLAN(ctx, keys) })
	case "far-viewer":
		keys := []ed25519.PublicKey{publicKey(testKey(words[1]))}
		err = playViewer(func() (*Conn, error) { return DialCircuit(ctx, words[2:], keys) })
	}
	cancel()

	if err != nil {
		fmt.Println("failed:", err)
		return 1
	}
	return 0
}

// untilInputEnds returns a context that ends with standard input.
func untilInputEnds(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return ctx
}

// playRelay is a circuit relay.
func playRelay(ctx context.Context, address string) error {
	r, err := ListenRelay(RelayConfig{Address: netip.MustParseAddrPort(address), Key: testKey("relay")})
	if err != nil {
		return err
	}
	defer r.Close()
	fmt.Println(r.AddressAt("relay.lab"))
	r.Run(untilInputEnds(ctx))
	return nil
}

// playCamera announces a key and answers everybody with what they send.
func playCamera(ctx context.Context, cfg Config, announced ed25519.PrivateKey) error {
	l, err := Listen(cfg)
	if err != nil {
		return err
	}
	defer l.Close()

	l.cfg.Key = announced
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.(*Conn).Proven()
			go func() {
				defer conn.Close()
				io.Copy(conn, conn)
			}()
		}
	}()

	fmt.Println("port", l.port)
	l.Run(untilInputEnds(ctx))
	return nil
}

// playViewer looks for a camera once for every line of input, until it is found.
func playViewer(look func() (*Conn, error)) error {
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		began := time.Now()
		conn, err := look()
		for ; err != nil; conn, err = look() {
			if time.Since(began) > patience {
				return err
			}
		}
		if _, err := conn.Write([]byte("hello")); err != nil {
			return err
		}
		back := make([]byte, 5)
		if _, err := io.ReadFull(conn, back); err != nil || string(back) != "hello" {
			return fmt.Errorf("heard %q: %w", back, err)
		}
		where := strings.ReplaceAll(conn.RemoteAddr().String(), " ", "-")
		fmt.Println("found", conn.Origin(), where, time.Since(began))
		conn.Close()
		<-conn.ended
	}
	return nil
}
