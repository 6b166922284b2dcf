package session

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/session/handshake"
	"github.com/peephole-cam/peephole/test/sessiontest"
)

// film is a camera's picture as an encoder makes it: groups of pictures at a fixed rate. A keyframe is six times as
// large as other pictures, and sizes vary by a fifth. Each access unit holds its number, so that screen can judge what
// the viewer's end gets.
type film struct {
	*media.Broadcast
	bitrate, perSecond, group int
	low                       *film // the same pictures at a lower rate; nil if there are none

	mu    sync.Mutex
	shot  []time.Time // guarded by mu; the time at which each access unit was captured
	bytes int         // guarded by mu
}

func (f *film) State() media.State { return media.State{Live: true} }

// play plays until ctx ends.
func (f *film) play(ctx context.Context) {
	random := rand.New(rand.NewPCG(1, 2))
	ticker := time.NewTicker(time.Second / time.Duration(f.perSecond))
	defer ticker.Stop()
	for n := 0; ; n++ {
		f.shoot(n, random, 0)
		if f.low != nil {
			f.low.shoot(n, random, 1)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// shoot makes one access unit with its number and a mark.
func (f *film) shoot(n int, random *rand.Rand, mark byte) {
	delta := f.bitrate / 8 * f.group / f.perSecond / (f.group + 5)
	key, size := n%f.group == 0, delta
	if key {
		size = 6 * delta
	}
	size = size*4/5 + random.IntN(size*2/5)

	data := append(make([]byte, 0, size), 0, 0, 0, 1, 0x41)
	if key {
		data[4] = 0x65
	}
	data = append(binary.BigEndian.AppendUint32(data, uint32(n)), mark)

	f.mu.Lock()
	f.shot, f.bytes = append(f.shot, time.Now()), f.bytes+size
	f.mu.Unlock()
	f.Send(media.AccessUnit{Data: data[:size], Keyframe: key, Captured: sessiontest.Clock().Now()})
}

// screen judges what a decoder would show: a keyframe, and what follows it without a gap. It shows a picture once,
// however often it arrives.
type screen struct {
	film *film

	mu        sync.Mutex
	chain     bool                  // guarded by mu; the picture after last can be decoded
	last      int                   // guarded by mu; the number of the last picture that arrived
	first     int                   // guarded by mu; the first number shown
	newest    int                   // guarded by mu; the highest number shown
	times     []time.Time           // guarded by mu; when each new picture was shown
	late      []time.Duration       // guarded by mu; how long after its capture each was shown
	spoiled   int                   // guarded by mu; how many arrived and could not be decoded
	repeated  int                   // guarded by mu; how many arrived again
	turns     []bool                // guarded by mu; for each change of film, whether it was to the lower one
	status    []string              // guarded by mu
	sending   []handshake.SendStats // guarded by mu
	rejection []string              // guarded by mu
}

func (s *screen) frame(f handshake.Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := int(binary.BigEndian.Uint32(f.AccessUnit[5:]))
	if lower := f.AccessUnit[9] == 1; len(s.turns) == 0 || s.turns[len(s.turns)-1] != lower {
		s.turns = append(s.turns, lower)
	}

	s.chain = f.Keyframe || s.chain && n == s.last+1
	s.last = n
	switch {
	case !s.chain:
		s.spoiled++
	case len(s.times) > 0 && n <= s.newest:
		s.repeated++
	default:
		if len(s.times) == 0 {
			s.first = n
		}
		s.newest = n
		s.times = append(s.times, time.Now())
		s.film.mu.Lock()
		s.late = append(s.late, time.Since(s.film.shot[n]))
		s.film.mu.Unlock()
	}
}

// gaps returns how long each picture stayed: until the next one came, and the last one until end.
func (s *screen) gaps(end time.Time) (gaps []time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, t := range s.times {
		next := end
		if i+1 < len(s.times) {
			next = s.times[i+1]
		}
		gaps = append(gaps, next.Sub(t))
	}

	return gaps
}

// histogram counts gaps by length.
func histogram(gaps []time.Duration) string {
	limits := []time.Duration{50, 100, 200, 350, 500, 700, 1000, 2000, 1 << 30}
	var b strings.Builder
	for i, limit := range limits {
		n := 0
		for _, g := range gaps {
			if g <= limit*time.Millisecond && (i == 0 || g > limits[i-1]*time.Millisecond) {
				n++
			}
		}

		if limit == 1<<30 {
			fmt.Fprintf(&b, " more:%d", n)
		} else {
			fmt.Fprintf(&b, " %d:%d", limit, n)
		}
	}

	return b.String()
}

func quantile(of []time.Duration, q float64) time.Duration {
	if len(of) == 0 {
		return 0
	}
	of = slices.Sorted(slices.Values(of))
	return of[min(len(of)-1, int(q*float64(len(of))))].Round(time.Millisecond)
}
