package main

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/signaling"
)

func clientOf(t *testing.T, url string) *signaling.Client {
	t.Helper()
	c, err := signaling.NewClient(signaling.ClientConfig{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = c.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return c
}

func TestSelfSignedCertificateIsRenewed(t *testing.T) {
	path, now := t.TempDir()+"/self-signed.pem", time.Now()
	first, err := selfSigned(path, "relay.example", now)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, host string
		after      time.Duration
		same       bool
	}{
		{"again", "relay.example", time.Hour, true},
		{"near its end", "relay.example", certificateLife - renewBefore + time.Hour, false},
		{"for another host", "127.0.0.1", time.Hour, false},
	} {
		got, err := selfSigned(path, tt.host, now.Add(tt.after))
		if err != nil {
			t.Fatal(err)
		}
		if same := string(got.Certificate[0]) == string(first.Certificate[0]); same != tt.same {
			t.Errorf("%s: the same certificate: %v, want %v", tt.name, same, tt.same)
		}
	}
}
