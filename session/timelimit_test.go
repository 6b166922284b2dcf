package session

import (
	"errors"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/bubble"
)

// Time that this process spends waiting for a processor does not count as silence of the other end.
func TestTimeLimitCountsOnlyTimeWithAProcessor(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		for _, tt := range []struct{ starved, want time.Duration }{
			{0, 10 * time.Second},
			{minLost / 2, 10 * time.Second},
			{4 * time.Second, 14 * time.Second},
		} {
			var s starvation
			d := newTimeLimit(10*time.Second, s.since)
			began := time.Now()
			time.Sleep(9*time.Second - tt.starved)
			s.begin()
			time.Sleep(tt.starved)
			s.end()

			for {
				<-d.fired()
				if d.passed() {
					break
				}
			}

			if got := time.Since(began); got != tt.want {
				t.Errorf("starved for %v, it waits for %v, want %v", tt.starved, got, tt.want)
			}
		}
	})
}

// The camera's time to answer begins once the relay has the offer, and the time to find a path begins with the answer.
// Time without a processor does not count.
func TestViewerWaitsForTheAnswerAndThenForAPath(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var s starvation
		v := &Viewer{starved: s.since}
		if v.answerLimit.fired() != nil || v.connectLimit.fired() != nil {
			t.Fatal("a wait has begun before the offer is posted")
		}
		began := time.Now()
		if err := v.offerPosted(nil); err != nil {
			t.Fatal(err)
		}
		s.begin()
		time.Sleep(4 * time.Second)
		s.end()

		var err error
		for err == nil {
			<-v.answerLimit.fired()
			err = v.judgeAnswerLimit()
		}
		if got := time.Since(began); !errors.Is(err, ErrNoAnswer) || got != answerWait+4*time.Second {
			t.Errorf("after %v: %v", got, err)
		}

		for _, connected := range []bool{true, false} {
			v.connected, v.connectLimit = connected, newTimeLimit(connectWait, s.since)
			<-v.connectLimit.fired()
			err := v.judgeConnectLimit()
			if connected != (err == nil) || !connected && !errors.Is(err, noWayError{"camera"}) {
				t.Errorf("connected %v: %v", connected, err)
			}
		}
	})
}

// An offer that the relay refuses is an error, unless the camera has answered it anyway.
func TestAnsweredOfferCountsAsPosted(t *testing.T) {
	refused := errors.New("refused")
	v := &Viewer{starved: new(starvation).since}
	if err := v.offerPosted(refused); !errors.Is(err, refused) {
		t.Errorf("without an answer: %v", err)
	}
	v.answerLimit.stop()

	v = &Viewer{}
	_, v.records = agreedKeys(t)
	if err := v.offerPosted(refused); err != nil || v.answerLimit != nil {
		t.Errorf("with an answer: %v, and it waits for one: %v", err, v.answerLimit != nil)
	}
}

// starvation is a time during which this process had no processor.
type starvation struct{ from, to time.Time }

func (s *starvation) begin() { s.from = time.Now() }
func (s *starvation) end()   { s.to = time.Now() }

// since returns how much of the starvation came after then.
func (s *starvation) since(then time.Time) time.Duration {
	from := s.from
	if then.After(from) {
		from = then
	}
	return max(0, s.to.Sub(from))
}
