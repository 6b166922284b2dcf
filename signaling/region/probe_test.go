package region

import (
	"net"
	"sync"
	"testing"
	"time"
)

// stunServer starts a STUN server on the loopback network that answers after a delay, and returns its address.
func stunServer(t *testing.T, late time.Duration) string {
	t.Helper()
	server, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var answering sync.WaitGroup
	answering.Go(func() { answerBindings(server, late) })
	t.Cleanup(func() { _ = server.Close(); answering.Wait() })
	return server.LocalAddr().String()
}

// answerBindings answers Binding requests (RFC 8489, section 5) until the connection is closed. It gives every client
// the same mapped address.
func answerBindings(server net.PacketConn, late time.Duration) {
	request := make([]byte, 1500)
	for {
		n, from, err := server.ReadFrom(request)
		if err != nil {
			return
		}
		if n < 20 {
			continue
		}

		answer := []byte{0x01, 0x01, 0, 12} // a success response with 12 bytes of attributes
		answer = append(answer, request[4:20]...)
		answer = append(answer, 0x00, 0x20, 0, 8, 0, 1, 1, 2, 3, 4, 5, 6) // XOR-MAPPED-ADDRESS, of IPv4
		time.Sleep(late)
		_, _ = server.WriteTo(answer, from)
	}
}

func TestProbeMeasuresWhatAnswers(t *testing.T) {
	silent, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	const late = 30 * time.Millisecond
	regions := []Region{
		{Name: "near", TURN: stunServer(t, 0)},
		{Name: "late", TURN: "127.0.0.1:1", STUN: stunServer(t, late)},
		{Name: "silent", TURN: silent.LocalAddr().String()},
		{Name: "nowhere", TURN: "nowhere.invalid:3478"},
	}

	taken := make(map[string]int)
	least := make(map[string]time.Duration)
	Probe(t.Context(), regions, func(name string, d time.Duration) {
		taken[name]++
		if known, ok := least[name]; !ok || d < known {
			least[name] = d
		}
	})
	if len(taken) != 2 || taken["near"] != samples || taken["late"] != samples || least["late"] < late {
		t.Errorf("samples %v, least %v", taken, least)
	}
}
