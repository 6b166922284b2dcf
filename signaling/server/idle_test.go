package server

import (
	"context"
	"log/slog"
	"runtime"
	"runtime/metrics"
	"sync"
	"testing"

	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/signaling/bus"
)

// BenchmarkIdleCamera measures what an idle camera holds for its own server: a client of eight viewers' mailboxes.
func BenchmarkIdleCamera(b *testing.B) {
	var stops []func()
	goroutines, before := runtime.NumGoroutine(), liveHeap()
	for b.Loop() {
		s, err := New(Config{Private: true, Bus: bus.NewLocal(), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			b.Fatal(err)
		}
		camera, err := signaling.NewClient(signaling.ClientConfig{Dial: s.Dial, InProcess: true})
		if err != nil {
			b.Fatal(err)
		}

		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		running.Go(func() { _ = s.Run(ctx) })
		running.Go(func() { _ = camera.Run(ctx) })
		stops = append(stops, func() { cancel(); running.Wait() })
		admitForViewers(b, s, camera)
	}

	n := float64(b.N)
	b.ReportMetric(float64(liveHeap()-before)/n, "heap-B/camera")
	b.ReportMetric(float64(runtime.NumGoroutine()-goroutines)/n, "goroutines/camera")
	for _, stop := range stops {
		stop()
	}
}

// admitForViewers opens the mailboxes of eight viewers, of three days each, and waits until they are admitted.
func admitForViewers(b *testing.B, s *Server, camera *signaling.Client) {
	mailbox := func() signaling.Mailbox {
		mb := newMailbox()
		mb.Ticket = s.Ticket()
		return mb
	}
	for range 8 * 3 {
		camera.Receive(mailbox(), func(signaling.Delivery) bool { return true })
		camera.Keep(mailbox())
	}
	if err := camera.Send(context.Background(), mailbox(), []byte("behind all of them"), 0); err != nil {
		b.Fatal(err)
	}
}

// liveHeap returns the bytes of objects in use.
func liveHeap() int64 {
	for range 3 { // because of finalizers
		runtime.GC()
	}
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64())
}
