package p2p

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// roleVariable makes a process of the tests something else: a device in a lab, which needs a process of its own, since
// the sockets of a program are opened on whatever thread happens to run.
const roleVariable = "PEEPHOLE_P2P_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(play(role))
	}
	goleak.VerifyTestMain(m)
}

// play plays a role until standard input ends: "camera DAY"; "impostor DAY", who announces the day's key and has
// another; or "viewer DAY...", who looks for a camera once for every line of its input. It prints what happens.
func play(role string) int {
	ctx, cancel := context.WithCancel(context.Background())
	words := strings.Fields(role)

	var err error
	switch words[0] {
	case "camera":
		err = playCamera(ctx, cancel, testKey(words[1]), testKey(words[1]))
	case "impostor":
		err = playCamera(ctx, cancel, testKey("impostor"), testKey(words[1]))
	case "viewer":
		var keys []ed25519.PublicKey
		for _, day := range words[1:] {
			keys = append(keys, publicKey(testKey(day)))
		}
		err = playViewer(ctx, keys)
	}
	cancel()
	if err != nil {
		fmt.Println("failed:", err)
		return 1
	}
	return 0
}

// playCamera announces a key and answers everybody with what they send.
func playCamera(ctx context.Context, cancel context.CancelFunc, key, announced ed25519.PrivateKey) error {
	l, err := Listen(Config{Key: key, LAN: true})
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
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()

	fmt.Println("port", l.port)
	l.Run(ctx)
	return nil
}

func playViewer(ctx context.Context, keys []ed25519.PublicKey) error {
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		began := time.Now()
		conn, err := FindLAN(ctx, keys)
		if err != nil {
			return err
		}
		if _, err := conn.Write([]byte("hello")); err != nil {
			return err
		}
		back := make([]byte, 5)
		if _, err := io.ReadFull(conn, back); err != nil || string(back) != "hello" {
			return fmt.Errorf("heard %q: %w", back, err)
		}
		fmt.Println("found", conn.Origin(), conn.RemoteAddr(), time.Since(began))
		conn.Close()
		<-conn.ended
	}
	return nil
}
