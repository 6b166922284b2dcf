package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peephole-cam/peephole/test/tcptest"
)

// tapeTCP puts a recorder in front of a TCP server. It records only what the server sends: clients' WebSocket frames
// are masked (RFC 6455, section 5.3), and what they post is sent to others again.
func tapeTCP(t *testing.T, to string, p *tape) (address string) {
	t.Helper()
	at := tcptest.Start(t, func(client net.Conn) {
		server, err := net.Dial("tcp", to)
		if err != nil {
			return
		}
		defer server.Close()

		go func() {
			_, _ = io.Copy(server, client)
			server.Close()
		}()

		_, _ = io.Copy(client, io.TeeReader(server, p))
	})

	return at.String()
}

// readDisk reads all of the relay's files.
func readDisk(t *testing.T, dir string, loot *tape) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err == nil {
			_, err = loot.Write(content)
		}

		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// readMemory reads all writable memory of one of our processes.
func readMemory(t *testing.T, pid int, loot *tape) {
	t.Helper()
	maps, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		missing(t, "the memory of our own processes: "+err.Error())
	}

	defer maps.Close()
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		missing(t, "the memory of our own processes: "+err.Error())
	}

	defer memory.Close()
	const page = 4096
	zeros := make([]byte, page)
	var from, to uint64
	var access string
	lines, taken := bufio.NewScanner(maps), 0

	for lines.Scan() {
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x %s", &from, &to, &access); err != nil ||
			!strings.HasPrefix(access, "rw") {
			continue
		}
		region := make([]byte, to-from)
		n, _ := memory.ReadAt(region, int64(from)) // what cannot be read is the kernel's
		var used []byte                            // runs of pages with something in them
		for at := 0; at < n; at += page {
			if p := region[at:min(at+page, n)]; !bytes.Equal(p, zeros[:len(p)]) {
				used = append(used, p...)
			}
		}

		taken += len(used)
		_, _ = loot.Write(used) // to memory
	}

	if taken < 1<<20 {
		t.Fatalf("%d bytes of memory: the test proves nothing", taken)
	}
}
