package camera

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/relayurl"
	"github.com/peephole-cam/peephole/signaling"
	"github.com/peephole-cam/peephole/test/bubble"
)

// A camera serves with only the required fields set. It shows no code, since nobody would see it.
func TestCameraNeedsNoHooks(t *testing.T) {
	url, _ := startRelay(t)
	for name, edit := range map[string]func(*Config){
		"defaults":      func(*Config) {},
		"a wide window": func(c *Config) { c.PairWindow, c.PairMore = time.Hour, true },
	} {
		t.Run(name, func(t *testing.T) {
			reached := make(chan error, 16)
			cfg := Config{State: t.TempDir(), RelayURL: url, Stream: picture()}
			cfg.OnRelay = func(err error) { reached <- err }
			edit(&cfg)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- Run(ctx, cfg) }()
			if err := await(t, reached, "word of the relay"); err != nil {
				t.Error(err)
			}

			cancel()
			if err := await(t, ended, "end"); !errors.Is(err, context.Canceled) {
				t.Errorf("the camera's end: %v", err)
			}
		})
	}
}

// Pairing needs only the hook that shows the code.
func TestOnlyTheCodeNeedsAHook(t *testing.T) {
	url, _ := startRelay(t)
	codes := make(chan Code, 16)
	cfg := Config{State: t.TempDir(), RelayURL: url, Stream: picture(), OnCode: func(c Code) { codes <- c }}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}

	run(t, c.Run)
	code := await(t, codes, "code")
	toDisplayer, _ := code.Rendezvous()
	client := visitor(t, code)
	outbox := signaling.Rendezvous(toDisplayer.Read, toDisplayer.Write)
	if err := client.Send(t.Context(), outbox, []byte{77}, time.Minute); err != nil {
		t.Fatal(err)
	}

	client.Keep(outbox)
	// OnRefuse and OnReject would hear of this message.
	eventually(t, "the message is refused", func() bool { return c.Rejected() > 0 })
}

func TestSetUpWindowOfEachPairWindow(t *testing.T) {
	shows := func(Code) {}
	for _, tt := range []struct {
		name  string
		cfg   Config
		owned bool
		opens bool
		lasts time.Duration
	}{
		{"default", Config{OnCode: shows}, false, true, 10 * time.Minute},
		{"an hour", Config{OnCode: shows, PairWindow: time.Hour}, false, true, time.Hour},
		{"none", Config{OnCode: shows, PairWindow: -1}, false, false, -1},
		{"none, for more viewers", Config{OnCode: shows, PairWindow: -1, PairMore: true}, true, false, -1},
		{"with an owner", Config{OnCode: shows}, true, false, 10 * time.Minute},
		{"with an owner, for more viewers", Config{OnCode: shows, PairMore: true}, true, true, 10 * time.Minute},
		{"where nobody would see a code", Config{PairMore: true}, false, false, 10 * time.Minute},
	} {
		tt.cfg.State, tt.cfg.RelayURL, tt.cfg.Stream = "state", "https://relay.example", picture()
		cfg, err := tt.cfg.complete()
		if err != nil || cfg.opensWindow(tt.owned) != tt.opens || cfg.PairWindow != tt.lasts {
			t.Errorf("%s: opens %t for %v (%v), want %t for %v",
				tt.name, cfg.opensWindow(tt.owned), cfg.PairWindow, err, tt.opens, tt.lasts)
		}
	}
}

func TestConfigThatCannotServeIsRefused(t *testing.T) {
	whole := Config{State: "state", RelayURL: "https://relay.example", Stream: picture()}
	if err := whole.Validate(); err != nil {
		t.Fatal(err)
	}
	for want, edit := range map[string]func(*Config){
		"camera State: want a directory":           func(c *Config) { c.State = "" },
		"camera Source: want this or Stream":       func(c *Config) { c.Stream = nil },
		"camera LowSource: want this or Low, not":  func(c *Config) { c.Low, c.LowSource = c.Stream, noSource{} },
		`camera name " x": want 1 to 64 printable`: func(c *Config) { c.Name = " x" },
		relayurl.ErrForm.Error():                   func(c *Config) { c.RelayURL = "" },
	} {
		cfg := whole
		edit(&cfg)
		if err := cfg.Validate(); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}

		if c, err := New(cfg); c != nil || !errors.Is(err, ErrConfig) {
			t.Errorf("New returns %v", err)
		}
		if err := Run(t.Context(), cfg); !errors.Is(err, ErrConfig) {
			t.Errorf("Run returns %v", err)
		}
	}

	both := whole
	both.Source = noSource{}
	if err := both.Validate(); !errors.Is(err, ErrConfig) {
		t.Errorf("with Source and Stream: %v", err)
	}
}

// noSource is a source without a picture.
type noSource struct{}

func (noSource) Run(ctx context.Context, _ func(media.AccessUnit)) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

// The camera reads its sources for as long as it runs.
func TestSourcesAreReadWhileTheCameraRuns(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		reading, low := counted{n: new(int)}, counted{n: new(int)}
		c, err := New(Config{State: t.TempDir(), RelayURL: "http://127.0.0.1:1", Source: reading, LowSource: low})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()

		for _, feed := range c.feeds {
			c.work.Go(func() { _ = feed.Run(ctx) })
		}
		synctest.Wait()
		if *reading.n != 1 || *low.n != 1 || c.cfg.Stream != c.feeds[0] || c.cfg.Low != c.feeds[1] {
			t.Errorf("the sources were read %d and %d times", *reading.n, *low.n)
		}

		cancel()
		c.work.Wait()
	})
}

// counted is a source that counts how often it is read.
type counted struct{ n *int }

func (c counted) Run(ctx context.Context, sink func(media.AccessUnit)) error {
	*c.n++
	return noSource{}.Run(ctx, sink)
}
