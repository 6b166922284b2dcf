package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/peephole-cam/peephole/test/evilcloud"
)

const (
	shards   = 2
	nodes    = 4
	downFor  = 5 * time.Second  // how long the restarting cloud is away
	faultFor = 30 * time.Second // the least time for which it confuses what it delivers
	pairTime = 8 * time.Minute
	stepTime = 3 * time.Minute
	mediaFor = 8 * time.Second // for how long before that it crosses live video

	mediaPhase = "live video crossed"
	faultPhase = "restart and mix-up"
)

// Phase is a part of the experiment.
type Phase struct {
	Name     string
	From, To float64 // seconds since the first
}

// Tick is the state of all shards together at a time.
type Tick struct {
	At      float64 // seconds since the first phase
	Counts  counts
	Crossed int64 // messages that the cloud had delivered to the wrong mailbox, packets to the wrong household
}

// Result is the record of a run.
type Result struct {
	Sealed             bool
	Households, Sample int
	Nodes              int
	Phases             []Phase
	Ticks              []Tick
	Deliveries         int64   // messages that the cloud delivered during the fault
	Crossed            int64   // how many of those went to the wrong mailbox: nearly always another household's
	CrossedPackets     int64   // of media, to the wrong household
	Back, LiveBack     []int64 // how long after the fault each had the right picture, in milliseconds
	Final              counts
}

func (r *Result) write(file string) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode result: %w", err)
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}

type experiment struct {
	Result
	state  string
	live   time.Duration // for how long the cloud crosses live video
	down   time.Duration // for how long it is away then
	fault  time.Duration // for how long at least it then crosses what it delivers
	shards []*resident
	cloud  *evilcloud.Cloud
	began  time.Time

	mu     sync.Mutex
	latest [shards]counts // guarded by mu
}

func (e *experiment) check() error {
	if e.Households < 2*shards || e.Sample > e.Households || e.Sample < 0 {
		return fmt.Errorf("at least %d households, and no more in the sample than there are", 2*shards)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("read limit of open files: %w", err)
	}

	asking := min(shards*stormAtOnce, e.Households)
	if need := uint64(e.Households + asking + 20*e.Sample + 200); limit.Max < need {
		enough := max(0, int(limit.Max)-asking-20*e.Sample-200)
		return fmt.Errorf("%d open files are allowed and %d are needed: raise the limit (ulimit -Hn), or say "+
			"-households %d", limit.Max, need, enough)
	}
	return nil
}

// run goes through the incident.
func (e *experiment) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	e.Sealed, e.Nodes = sealing, nodes
	if !sealing {
		e.Sample = 0
	}

	var err error
	if e.cloud, err = openCloud(nodes, e.state); err != nil {
		return err
	}
	var work sync.WaitGroup
	defer work.Wait()

	defer cancel()
	failed := make(chan error, 1+shards)
	work.Go(func() {
		if err := e.cloud.Run(ctx); err != nil && ctx.Err() == nil {
			failed <- err
			cancel()
		}
	})

	if err := e.settle(ctx); err != nil {
		return err
	}
	defer e.leave()
	e.began = time.Now()
	work.Go(func() { e.watch(ctx) })
	err = e.incident(ctx)

	select {
	case broke := <-failed:
		return errors.Join(broke, err)
	default:
		return err
	}
}

// incident is the day on which it happens.
func (e *experiment) incident(ctx context.Context) error {
	for _, p := range []struct {
		name, do string
		within   time.Duration
	}{
		{"pairing", "pair", pairTime},
		{"cameras come online", "serve", stepTime},
		{"an ordinary day", "sweep", stepTime},
		{"some watch all the time", "sample", stepTime},
	} {
		if err := e.phase(p.name, func() error { return e.all(ctx, order{Do: p.do, Within: p.within}) }); err != nil {
			return err
		}
	}

	before := e.cloud.Counts()
	if e.Sealed {
		err := e.phase(mediaPhase, func() error {
			e.cloud.SetTraffic(evilcloud.CrossMedia)
			return e.all(ctx, order{Do: "wait", Within: e.live})
		})
		if err != nil {
			return err
		}
	}

	err := e.phase(faultPhase, func() error {
		e.cloud.SetDelivery(evilcloud.CrossAnswers)
		if err := e.all(ctx, order{Do: "return", Within: stepTime}); err != nil {
			return err
		}
		if err := e.cloud.Restart(ctx, e.down); err != nil {
			return err
		}

		least := time.NewTimer(e.fault)
		defer least.Stop()
		err := e.all(ctx, order{Do: "asked", Within: stepTime})
		select {
		case <-least.C:
		case <-ctx.Done():
		}

		return err
	})

	after := e.cloud.Counts()
	e.Deliveries, e.Crossed, e.CrossedPackets = after.Deliveries-before.Deliveries, after.Crossed-before.Crossed,
		after.Misrouted-before.Misrouted
	if err != nil {
		return err
	}

	err = e.phase("everybody comes back", func() error {
		e.cloud.Heal()
		return e.all(ctx, order{Do: "heal", Within: stepTime})
	})
	e.Final = e.sum()
	return err
}

func (e *experiment) phase(name string, do func() error) error {
	from := time.Since(e.began).Seconds()
	fmt.Fprintf(os.Stderr, "%6.1f s  %s\n", from, name)
	err := do()
	e.Phases = append(e.Phases, Phase{name, from, time.Since(e.began).Seconds()})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// watch records the state once a second, and prints it.
func (e *experiment) watch(ctx context.Context) {
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case now := <-every.C:
			t := Tick{At: now.Sub(e.began).Seconds(), Counts: e.sum(), Crossed: e.cloud.Counts().Crossed}
			e.Ticks = append(e.Ticks, t)
			if n%5 == 4 {
				c := t.Counts
				fmt.Fprintf(os.Stderr, "%6.1f s    paired %d, cameras online %d, own pictures %d, "+
					"strangers' pictures %d, rejected %d, back %d; live %d, live frames %d\n",
					t.At, c.Paired, c.Connected, c.Own, c.Strangers+c.LiveStrangers, c.Rejected, c.Back, c.LiveNow,
					c.LiveOwn)
			}
		}
	}
}

func (e *experiment) sum() (c counts) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, l := range e.latest {
		c.plus(l)
	}
	return c
}

// resident is a shard's process.
type resident struct {
	cmd    *exec.Cmd
	orders io.WriteCloser
	done   chan word
}

// settle starts the shards.
func (e *experiment) settle(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	for i := range shards {
		first, end := i*e.Households/shards, (i+1)*e.Households/shards
		size := (i+1)*e.Sample/shards - i*e.Sample/shards
		r := &resident{done: make(chan word, 1)}
		r.cmd = exec.CommandContext(ctx, self, "shard", "-first", strconv.Itoa(first), "-n", strconv.Itoa(end-first),
			"-sample", strconv.Itoa(size),
			"-state", e.state, "-relays", strings.Join(e.cloud.URLs(), ","))
		r.cmd.Stderr = os.Stderr
		stdout, err1 := r.cmd.StdoutPipe()
		orders, err2 := r.cmd.StdinPipe()
		if err := errors.Join(err1, err2, r.cmd.Start()); err != nil {
			return fmt.Errorf("start shard: %w", err)
		}

		r.orders = orders
		go e.listen(i, r, stdout)
		e.shards = append(e.shards, r)
	}

	return nil
}

// listen reads what a shard says until it ends.
func (e *experiment) listen(i int, r *resident, stdout io.Reader) {
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, 1<<22)
	for lines.Scan() {
		var w word
		if err := json.Unmarshal(lines.Bytes(), &w); err != nil {
			w = word{Error: err.Error()}
		}
		if w.Counts != nil {
			e.mu.Lock()
			e.latest[i] = *w.Counts
			e.mu.Unlock()
		}

		switch {
		case w.Done != "":
			r.done <- w
		case w.Error != "":
			fmt.Fprintln(os.Stderr, w.Error)
		}
	}
	close(r.done)
}

var errGone = errors.New("a shard's process has ended: see above why")

// all gives every shard an order and waits until they have obeyed.
func (e *experiment) all(ctx context.Context, o order) error {
	line, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("encode order: %w", err)
	}
	var failed error
	for _, r := range e.shards {
		if _, err := r.orders.Write(append(line, '\n')); err != nil {
			return fmt.Errorf("give order: %w", err)
		}
	}

	for _, r := range e.shards {
		select {
		case w, ok := <-r.done:
			if !ok {
				return errGone
			}
			if w.Error != "" {
				failed = errors.Join(failed, errors.New(w.Error))
			}
			e.Back, e.LiveBack = append(e.Back, w.Back...), append(e.LiveBack, w.Live...)
		case <-ctx.Done():
			return ctx.Err()
		}
	}

	return failed
}

// leave ends the shards.
func (e *experiment) leave() {
	for _, r := range e.shards {
		_ = r.orders.Close() // which makes it end
		late := time.AfterFunc(time.Minute, func() { _ = r.cmd.Process.Kill() })
		_ = r.cmd.Wait() // it has printed its errors
		late.Stop()
	}
}
