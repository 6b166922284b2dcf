package jetstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/signaling/cluster"
	"github.com/peephole-cam/peephole/signaling/mail"
	"github.com/peephole-cam/peephole/test/natscluster"
)

// join joins the store of a region.
func join(t testing.TB, c *natscluster.Cluster) *Store {
	t.Helper()
	s, err := Join(cluster.Servers{URLs: c.URLs()}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for late := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// Each server of the region is killed while messages are being stored. What one relay's store has acknowledged,
// another's finds.
func TestAcknowledgedMessagesSurviveEachServer(t *testing.T) {
	c := natscluster.Start(t, 3)
	writer, reader := join(t, c), join(t, c)
	posts := &postLog{acknowledged: make(map[[32]byte][]string)}
	writing, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for w := range byte(3) {
		writers.Go(func() { posts.write(writing, writer, w) })
	}
	for _, s := range c.Servers {
		before := posts.count()
		eventually(t, "messages are stored", func() bool { return posts.count() > before+20 })
		s.Kill()
		before = posts.count()
		eventually(t, "messages are stored without one of three", func() bool { return posts.count() > before+20 })
		s.Start()
	}
	stop()
	writers.Wait()

	for name, bodies := range posts.acknowledged {
		eventually(t, "all that was acknowledged is there", func() bool {
			got := strings.Fields(waiting(t, reader, name))
			return !slices.ContainsFunc(bodies, func(body string) bool { return !slices.Contains(got, body) })
		})
	}
}

// postLog is the oracle: what was acknowledged, by its mailbox.
type postLog struct {
	mu           sync.Mutex
	acknowledged map[[32]byte][]string // guarded by mu
	total        int                   // guarded by mu
}

func (p *postLog) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.total
}

// write stores messages until ctx ends, in mailboxes that are not full.
func (p *postLog) write(ctx context.Context, to *Store, w byte) {
	for i := 0; ctx.Err() == nil; i++ {
		name, body := [32]byte{w, byte(i >> 8), byte(i >> 16)}, fmt.Sprintf("%d-%d", w, i)
		_, err := to.Put(name, mail.Message{Body: []byte(body), Expires: time.Now().Add(time.Hour)})
		if err == nil {
			p.mu.Lock()
			p.acknowledged[name] = append(p.acknowledged[name], body)
			p.total++
			p.mu.Unlock()
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Without a quorum a store says so within seconds, refuses what is new, and goes on by itself.
func TestStoreWithoutAQuorum(t *testing.T) {
	c := natscluster.Start(t, 3)
	s := join(t, c)
	id := put(t, s, porch, "before", time.Hour)
	c.Servers[0].Freeze()
	c.Servers[1].Freeze()
	eventually(t, "it says so", func() bool { return errors.Is(s.Check(), mail.ErrUnavailable) })
	_, err := s.Put(porch, mail.Message{Body: []byte("meanwhile"), Expires: time.Now().Add(time.Hour)})
	if !errors.Is(err, mail.ErrUnavailable) {
		t.Errorf("without a quorum: %v", err)
	}
	if s.Delete(porch, id) == nil {
		t.Error("something was deleted without a quorum")
	}

	c.Servers[0].Thaw()
	c.Servers[1].Thaw()
	eventually(t, "it stores again", func() bool { return s.Check() == nil })
	put(t, s, porch, "after", time.Hour)
	eventually(t, "what was to be deleted is gone", func() bool { return waiting(t, s, porch) == "after" })
}

// A server without JetStream, and none at all, are told to the operator.
func TestJoinSaysWhatIsMissing(t *testing.T) {
	c := natscluster.Start(t, 1)
	c.Servers[0].Kill()
	if s, err := Join(cluster.Servers{URLs: c.URLs()}, slog.New(slog.DiscardHandler)); err == nil {
		s.Close()
		t.Error("joined a region without a server")
	}
}

// One server that is in no cluster keeps one copy.
func TestStoreOnOneServer(t *testing.T) {
	c := natscluster.Start(t, 1)
	s := join(t, c)
	put(t, s, porch, "one", time.Hour)
	c.Servers[0].Kill()
	c.Servers[0].Start()
	eventually(t, "the message is still there", func() bool {
		all, err := s.Waiting(porch)
		return err == nil && len(all) == 1
	})
}
