package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/peephole-cam/peephole/crypto/envelope"
	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/test/evilcloud"
)

// Machines are reset to older states: from backups, copies of disks, snapshots. Ristenpart and Yilek took snapshots of
// TLS servers and ran them twice: the same random numbers came again, and a signing key was lost. In 2017 KRACK had
// Wi-Fi devices count their nonces from the start again, by replaying an old message to them. Here a camera's disk is
// reset, and everything that was ever sent to it is replayed.
func TestIncidentCameraRolledBack(t *testing.T) {
	t.Parallel()
	c := startCloud(t, remembering)
	front := startTURNFront(t, c)
	media := &ciphertexts{}
	front.rule(media.keep)
	camera := startCamera(t, c, "front door", 0)
	v := pair(t, camera)
	backup := filepath.Join(t.TempDir(), "backup")
	copyState(t, camera.state, backup)
	w := pair(t, camera) // in between, so that the camera will not know this viewer
	for _, viewer := range []watcher{v, v, w} {
		person := beginWatch(t, viewer, "front door", camera.Mark, true)
		person.sees(t, 20)
		person.stop()
		person.sawOwn(t, "a viewer before the restore")
	}

	stills := map[string]bool{string(askStill(t, v, camera)): true}
	camera.stop()
	before, n := media.take(), len(c.Posted())

	restored := filepath.Join(t.TempDir(), "front door")
	copyState(t, backup, restored)
	rolled := runCamera(t, c.URLs()[0], "front door", 0, restored)
	if rolled.Fingerprint() != camera.Fingerprint() {
		t.Fatal("the restored camera is another one: the test proves nothing")
	}

	person := beginWatch(t, v, "front door", camera.Mark, true)
	person.sees(t, 10)
	old := c.Posted()[:n]
	for _, p := range old {
		c.Deliver(p.Name, p.Body)
	}

	again := func() (all []evilcloud.Posted) { // in mailboxes of earlier sessions
		for _, p := range c.Posted()[n:] {
			if slices.ContainsFunc(old, func(o evilcloud.Posted) bool {
				return o.Name == p.Name
			}) && !slices.Contains(inboxesOf(t, v), p.Name) {
				all = append(all, p)
			}
		}
		return all
	}

	awaitFault(t, "the restored camera answers old offers", func() bool {
		return slices.ContainsFunc(again(), isRecord)
	})
	forgotten := beginWatch(t, w, "front door", camera.Mark, true)
	eventually(t, "a picture that was sealed before is sealed again", func() bool {
		return stills[string(askStill(t, v, camera))]
	})
	person.sees(t, 20)
	person.stop()
	person.sawOwn(t, "a viewer after the restore")
	forgotten.stop()
	forgotten.sawNothing(t, "a viewer whom the restored camera does not know")

	t.Run("envelopes", func(t *testing.T) { freshEnvelopes(t, c.Posted()) })
	t.Run("counters", func(t *testing.T) { freshCounters(t, old, again()) })
	for name, sealed := range map[string][2][][]byte{
		"signaling": {ciphertextsOf(old), ciphertextsOf(c.Posted()[n:])}, "media": {before, media.take()},
	} {
		t.Run(name, func(t *testing.T) {
			if _, same := repeats(sealed[0], sealed[0]); same < 500 {
				t.Fatalf("%d blocks repeat themselves: the test proves nothing", same)
			}
			if blocks, repeated := repeats(sealed[0], sealed[1]); repeated != 0 || blocks < 500 {
				t.Errorf("%d of %d ciphertext blocks from before were sent again: keys and nonces were used again",
					repeated, blocks)
			}
		})
	}
}

func copyState(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(to, func(path string, entry os.DirEntry, err error) error {
		mode := os.FileMode(0o600)
		if err == nil && entry.IsDir() {
			mode = 0o700
		}
		return errors.Join(err, os.Chmod(path, mode))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// askStill returns the camera's current picture, which must be its own.
func askStill(t *testing.T, v watcher, camera *household) []byte {
	t.Helper()
	frame, err := v.Still(t.Context(), "front door", nil)
	if err != nil {
		t.Fatal(err)
	}
	if marks := media.Marks(frame.AccessUnit); !slices.Equal(marks, []string{camera.Mark}) {
		t.Fatalf("a still of %q", marks)
	}
	return frame.AccessUnit
}

// isRecord tells a session's record (doc/protocol.md, section 6) from an envelope (section 4) by its first byte.
func isRecord(p evilcloud.Posted) bool { return p.Body[0] == 3 }

func isEnvelope(p evilcloud.Posted) bool {
	const header, tag = 1129, 16
	return p.Body[0] == 1 && slices.Contains([]int{512, 2048, 8192, 32768}, len(p.Body)-header-tag)
}

// answersTo counts the answers and refusals to the offers of offerOf, wherever one of these pairs would expect them.
func answersTo(posted []evilcloud.Posted, pairs ...*envelope.Pair) (n int) {
	var names [][32]byte
	for _, p := range pairs {
		names = append(names, p.SessionMailbox(envelope.ToViewer, forgedSession).Name)
	}
	for _, p := range posted {
		if slices.Contains(names, p.Name) {
			n++
		}
	}

	return n
}

// unasked returns how many more answers and refusals there are than offers in the camera's inboxes. If any, a camera
// has answered what nobody posted. On a busy machine a viewer may have offered more than one session.
func unasked(posted []evilcloud.Posted, inboxes [][32]byte) (n int) {
	for _, p := range posted {
		switch {
		case !isEnvelope(p):
		case slices.Contains(inboxes, p.Name):
			n--
		default:
			n++
		}
	}
	return max(n, 0)
}

// freshEnvelopes: every envelope is sealed to a KEM ciphertext of its own, from which its key and nonce are derived.
func freshEnvelopes(t *testing.T, all []evilcloud.Posted) {
	seen := make(map[string]bool)
	for _, p := range all {
		if !isEnvelope(p) {
			continue
		}
		enc := string(p.Body[9:1129])
		if seen[enc] {
			t.Error("a KEM ciphertext was sent twice: an envelope's key and nonce were used again")
		}
		seen[enc] = true
	}

	if len(seen) < 12 {
		t.Errorf("%d envelopes: the test proves nothing", len(seen))
	}
}

// freshCounters: a restored camera does count from 0 again, in the very mailboxes of old sessions; but not under the
// old keys.
func freshCounters(t *testing.T, before, after []evilcloud.Posted) {
	place := func(p evilcloud.Posted) string { return fmt.Sprint(p.Name, binary.BigEndian.Uint64(p.Body[1:9])) }
	first := make(map[string][]byte)
	for _, p := range before {
		if isRecord(p) {
			first[place(p)] = p.Body[9:]
		}
	}

	twice := 0
	for _, p := range after {
		if !isRecord(p) || first[place(p)] == nil {
			continue
		}
		twice++
		old, now := first[place(p)], p.Body[9:]
		same := 0
		for i := range min(len(old), len(now)) {
			if old[i] == now[i] {
				same++
			}
		}

		// Candidates begin alike: under one key and nonce their first dozens of bytes would be the same.
		if same > len(now)/8 {
			t.Errorf("two records of one counter have %d of %d bytes in common: key and nonce were used again", same,
				len(now))
		}
	}

	if twice == 0 {
		t.Error("no counter was used twice: the test proves nothing")
	}
}

// ciphertextsOf returns the sealed part of posted bodies, without the clear header.
func ciphertextsOf(all []evilcloud.Posted) (sealed [][]byte) {
	for _, p := range all {
		switch {
		case isEnvelope(p):
			sealed = append(sealed, p.Body[1129:])
		case isRecord(p):
			sealed = append(sealed, p.Body[9:])
		default: // a piece of a still: type, then SFrame
			sealed = append(sealed, p.Body[4:])
		}
	}
	return sealed
}

// ciphertexts keeps the sealed part of media packets.
type ciphertexts struct {
	mu     sync.Mutex
	sealed [][]byte // guarded by mu
}

// keep is a rule that changes nothing.
func (c *ciphertexts) keep(to *turnClient, rtp []byte) [][]byte {
	head := 12 + 4*int(rtp[0]&0x0f)
	if rtp[0]&0x10 != 0 && len(rtp) >= head+4 { // RFC 3550, section 5.3.1
		head += 4 + 4*int(binary.BigEndian.Uint16(rtp[head+2:]))
	}
	if to.viewer && len(rtp) > head {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.sealed = append(c.sealed, slices.Clone(rtp[head:]))
	}

	return [][]byte{rtp}
}

// take returns what was kept, and starts anew.
func (c *ciphertexts) take() [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	sealed := c.sealed
	c.sealed = nil
	return sealed
}

// repeats counts the blocks of 16 bytes of the earlier ciphertexts, and how many of them occur somewhere in the later
// ones. The simulated camera plays the same pictures again and again, and AES-GCM and AES-CTR are stream ciphers: the
// same picture under the same key and nonce is the same ciphertext, whatever the random numbers were. Two blocks are
// the same by chance once in 2^128.
func repeats(before, after [][]byte) (blocks, repeated int) {
	const size = 16
	known := make(map[[size]byte]bool)
	for _, b := range before {
		for ; len(b) >= size; b = b[size:] {
			known[[size]byte(b)] = true
		}
	}

	for _, b := range after {
		for ; len(b) >= size; b = b[1:] {
			if known[[size]byte(b)] {
				repeated++
			}
		}
	}

	return len(known), repeated
}
