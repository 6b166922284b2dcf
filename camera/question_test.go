package camera

import (
	"testing"
	"time"

	"github.com/peephole-cam/peephole/clock"
)

// askedAt returns questions with a clock that the test sets: how long the machine has been up, suspended or not, and
// what its wall clock shows.
func askedAt() (q *questions, boot *time.Duration, wall *time.Time) {
	boot, wall = new(time.Duration), new(time.Time)
	return &questions{clock: clock.New(func() time.Duration {
		return *boot
	}, func() time.Time { return *wall })}, boot, wall
}

// A nonce is good for one offer within half a minute. As many are open at a time as a viewer may hold sessions.
func TestQuestionIsAnsweredOnceAndSoon(t *testing.T) {
	q, boot, _ := askedAt()
	for _, wrong := range [][]byte{nil, {}, make([]byte, 15), make([]byte, 16), make([]byte, 17)} {
		if q.answered(wrong) {
			t.Errorf("nothing was asked, and %x answers it", wrong)
		}
	}

	first, second := q.ask(), q.ask()
	if !q.answered(second) || !q.answered(first) || q.answered(first) || q.answered(second) {
		t.Error("each is answered once, in any order")
	}

	late := q.ask()
	*boot += questionLife
	last := q.ask()
	if !q.answered(late) {
		t.Error("not answered in time")
	}

	*boot += questionLife + 1
	if q.answered(last) {
		t.Error("answered too late")
	}

	oldest := q.ask()
	var others [][]byte
	for range maxQuestions {
		others = append(others, q.ask())
	}

	if q.answered(oldest) || len(q.open) != maxQuestions {
		t.Errorf("%d are open", len(q.open))
	}
	for _, o := range others {
		if !q.answered(o) {
			t.Error("one of few is forgotten")
		}
	}
}

// A question expires while the machine sleeps, but not because somebody sets the clock.
func TestQuestionIsNotAnsweredAfterASleep(t *testing.T) {
	q, boot, wall := askedAt()
	before := q.ask()
	*boot += time.Hour // asleep: Go's own clock has counted nothing
	if q.answered(before) {
		t.Error("answered after a sleep of an hour")
	}

	meanwhile := q.ask()
	*wall = wall.AddDate(56, 0, 0)
	if !q.answered(meanwhile) {
		t.Error("not answered, since the clock was set")
	}
}

// The machine's own clock is the one that counts suspended time.
func TestQuestionsAreOfThisMachine(t *testing.T) {
	var q questions
	before := clock.SinceBoot()
	q.ask()
	q.open[0].asked = clock.New(func() time.Duration { return before - questionLife - 1 }, time.Now).Now()
	if q.answered(q.open[0].nonce[:]) {
		t.Error("answered by another clock than the machine's")
	}
}
