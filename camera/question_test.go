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

// A nonce is valid for one offer within half a minute. As many can be open at a time as a viewer may have sessions.
func TestQuestionIsAnsweredOnceAndSoon(t *testing.T) {
	q, boot, _ := askedAt()
	for _, wrong := range [][]byte{nil, {}, make([]byte, 15), make([]byte, 16), make([]byte, 17)} {
		if q.answered(wrong) {
			t.Errorf("%x is accepted although nothing was asked", wrong)
		}
	}

	first, second := q.ask(), q.ask()
	if !q.answered(second) || !q.answered(first) || q.answered(first) || q.answered(second) {
		t.Error("want each answered once, in any order")
	}

	late := q.ask()
	*boot += questionLife
	last := q.ask()
	if !q.answered(late) {
		t.Error("an answer in time is refused")
	}

	*boot += questionLife + 1
	if q.answered(last) {
		t.Error("a late answer is accepted")
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
			t.Error("a question is forgotten although few are open")
		}
	}
}

// A question expires while the machine sleeps, but not because somebody sets the clock.
func TestQuestionIsNotAnsweredAfterASleep(t *testing.T) {
	q, boot, wall := askedAt()
	before := q.ask()
	*boot += time.Hour // asleep: Go's own clock has counted nothing
	if q.answered(before) {
		t.Error("an answer is accepted after an hour of sleep")
	}

	meanwhile := q.ask()
	*wall = wall.AddDate(56, 0, 0)
	if !q.answered(meanwhile) {
		t.Error("an answer is refused because the clock was set")
	}
}

// The clock of these questions is the machine's own, which counts the time that it sleeps.
func TestQuestionsUseTheMachinesClock(t *testing.T) {
	var q questions
	before := clock.SinceBoot()
	q.ask()
	q.open[0].asked = clock.New(func() time.Duration { return before - questionLife - 1 }, time.Now).Now()
	if q.answered(q.open[0].nonce[:]) {
		t.Error("the questions use another clock than the machine's")
	}
}
