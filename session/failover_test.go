package session

import "testing"

func TestStalledSessionTakesAPairThatAnswers(t *testing.T) {
	var s pairFailover
	if s.shouldSelect(3) {
		t.Error("a session that is not stalled changed its pair")
	}
	s.stalled.Store(true)
	if s.shouldSelect(0) || !s.shouldSelect(1) {
		t.Error("a stalled session must select a pair that has answered, and no other")
	}
}
