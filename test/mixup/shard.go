package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/media"
)

// A shard is a process with some of the households in it: one process has too few file descriptors for all. It obeys
// one line of JSON at a time on its standard input and reports its state on its standard output.
type (
	order struct {
		Do     string // pair, serve, sweep, sample, wait, return, asked, heal
		Within time.Duration
	}
	word struct {
		Done   string  `json:",omitempty"` // the order that has been obeyed
		Error  string  `json:",omitempty"`
		Counts *counts `json:",omitempty"` // every half second, and when done
		Back   []int64 `json:",omitempty"` // with heal: milliseconds
		Live   []int64 `json:",omitempty"`
	}
)

const (
	tickEvery   = 500 * time.Millisecond
	pairAtOnce  = 16              // households that pair at the same time, in one shard
	askAtOnce   = 32              // households that ask at the same time on an ordinary day
	stormAtOnce = 1200            // the same in the storm: most of them wait
	askEvery    = 5 * time.Second // how soon a person asks again, at most
)

type shard struct {
	homes  []*household
	tally  *tally
	sample *sample
	size   int // of the sample

	mu  sync.Mutex
	out *json.Encoder // guarded by mu

	serving sync.WaitGroup
	storm   sync.WaitGroup
}

func shardCommand(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("shard", flag.ContinueOnError)
	first := fs.Int("first", 0, "number of the first household")
	n := fs.Int("n", 1, "how many")
	size := fs.Int("sample", 0, "how many of them watch all the time")
	state := fs.String("state", "", "directory of the devices' keys")
	relays := fs.String("relays", "", "URLs of the relay's nodes, with commas between")
	if err := fs.Parse(args); err != nil {
		return err
	}

	clips, err := media.Clips()
	if err != nil {
		return err
	}
	s := &shard{tally: &tally{}, size: *size, out: json.NewEncoder(os.Stdout)}
	s.sample = newSample(s.tally)
	nodes := strings.Split(*relays, ",")
	for i := range *n {
		number := *first + i
		s.homes = append(s.homes, newHousehold(number, nodes[number%len(nodes)], *state, clips, s.tally))
	}

	return s.run(ctx, os.Stdin)
}

// run obeys orders until there are no more; then everybody goes to bed.
func (s *shard) run(ctx context.Context, orders io.Reader) error {
	ctx, cancel := context.WithCancel(ctx)
	var telling sync.WaitGroup
	telling.Go(func() { s.tell(ctx) })
	defer func() {
		cancel()
		s.sample.stop()
		s.sample.work.Wait()
		s.storm.Wait()
		s.serving.Wait()
		telling.Wait()
	}()

	lines := bufio.NewScanner(orders)
	for lines.Scan() {
		var o order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			return fmt.Errorf("read order: %w", err)
		}
		done := word{Done: o.Do}
		if err := s.obey(ctx, o, &done); err != nil {
			done.Error = err.Error()
		}

		stands := s.stands(time.Now())
		done.Counts = &stands
		s.say(done)
	}

	return lines.Err()
}

func (s *shard) say(w word) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.out.Encode(w) // a conductor who has gone hears nothing
}

// tell reports the state every half second.
func (s *shard) tell(ctx context.Context) {
	every := time.NewTicker(tickEvery)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-every.C:
			c := s.stands(now)
			s.say(word{Counts: &c})
		}
	}
}

// stands returns the state of the shard.
func (s *shard) stands(now time.Time) counts {
	c := s.tally.now()
	c.LiveNow = s.sample.live(now)
	for _, h := range s.homes {
		if h.connected.Load() {
			c.Connected++
		}
		if h.hasAsked() {
			c.Asked++
		}
	}

	return c
}

func (s *shard) obey(ctx context.Context, o order, w *word) error {
	within, cancel := context.WithTimeout(ctx, o.Within)
	defer cancel()
	switch o.Do {
	case "pair":
		return s.pair(within)
	case "serve":
		s.serve(ctx)
		return s.await(within, func() bool { return s.all((*household).isConnected) })
	case "sweep":
		s.each(askAtOnce, func(h *household) { h.ask(within) })
		return nil
	case "sample":
		s.sample.start(ctx, s.homes[:s.size])
		return s.await(within, func() bool { return s.sample.live(time.Now()) == s.size })
	case "return":
		s.returnHome(ctx)
		return nil
	case "asked":
		now := time.Now()
		for _, h := range s.homes {
			h.expect(now)
		}
		return s.await(within, func() bool { return s.all((*household).hasAsked) })
	case "wait":
		<-within.Done()
		return nil
	case "heal":
		return s.healed(within, w)
	}

	return fmt.Errorf("unknown order %q", o.Do)
}

var errLate = errors.New("not all were done in time")

// await waits until is returns true.
func (s *shard) await(ctx context.Context, is func() bool) error {
	look := time.NewTicker(tickEvery / 5)
	defer look.Stop()
	for !is() {
		select {
		case <-look.C:
		case <-ctx.Done():
			return errLate
		}
	}

	return nil
}

func (s *shard) all(is func(*household) bool) bool {
	for _, h := range s.homes {
		if !is(h) {
			return false
		}
	}
	return true
}

// each does something in every household, n at a time.
func (s *shard) each(n int, do func(*household)) {
	var work sync.WaitGroup
	queue := make(chan *household)
	for range n {
		work.Go(func() {
			for h := range queue {
				do(h)
			}
		})
	}

	for _, h := range s.homes {
		queue <- h
	}
	close(queue)
	work.Wait()
}

func (s *shard) pair(ctx context.Context) error {
	var failed error
	var mu sync.Mutex
	s.each(pairAtOnce, func(h *household) {
		err := h.pair(ctx)
		if err == nil {
			h.app, err = newApp(h)
		}
		if err != nil {
			mu.Lock()
			defer mu.Unlock()
			failed = fmt.Errorf("pair %s: %w", h.name(), err)
			return
		}
		s.tally.add(func(c *counts) { c.Paired++ })
	})

	return failed
}

func (s *shard) serve(ctx context.Context) {
	for _, h := range s.homes {
		s.serving.Go(func() {
			if err := h.app.serve(ctx, h); err != nil && ctx.Err() == nil {
				s.say(word{Error: fmt.Sprintf("serve %s: %v", h.name(), err)})
			}
		})
	}
}

// returnHome makes everybody ask for a picture, over and over, until they have one of their own after the fault.
func (s *shard) returnHome(ctx context.Context) {
	waiting := make(chan *household, len(s.homes))
	for _, h := range s.homes {
		waiting <- h
	}
	for range min(stormAtOnce, len(s.homes)) {
		s.storm.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case h := <-waiting:
					again := time.Now().Add(askEvery)
					h.ask(ctx)
					if !h.isBack() {
						time.AfterFunc(time.Until(again), func() { waiting <- h })
					}
				}
			}
		})
	}
}

// healed starts to measure how long it takes until everybody has the right picture again.
func (s *shard) healed(ctx context.Context, w *word) error {
	now := time.Now()
	for _, h := range s.homes {
		h.heal(now)
	}
	s.sample.heal(now)
	err := s.await(ctx, func() bool {
		c := s.tally.now()
		return c.Back == len(s.homes) && c.LiveBack == s.size
	})
	c := s.tally.now()
	for _, d := range c.back {
		w.Back = append(w.Back, d.Milliseconds())
	}

	for _, d := range c.liveBack {
		w.Live = append(w.Live, d.Milliseconds())
	}
	return err
}
