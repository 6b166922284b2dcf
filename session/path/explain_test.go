package path

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"testing"
)

// explainCases are also read by web/test/unit/explain.test.ts.
type explainCases struct {
	End   json.RawMessage // the defaults for what a case leaves out of either end
	Cases []struct {
		Name    string
		Explain struct {
			Explain
			Own   json.RawMessage `json:"own"`
			Other json.RawMessage `json:"other"`
		}
		Sentence string
		WhyNot   [][2]string `json:"why_not"`
	}
}

func (c explainCases) end(t *testing.T, text json.RawMessage) End {
	t.Helper()
	var d, given End
	if err := json.Unmarshal(c.End, &d); err != nil {
		t.Fatal(err)
	}
	if len(text) == 0 {
		return d
	}
	if err := json.Unmarshal(text, &given); err != nil {
		t.Fatal(err)
	}

	if given.Candidates != nil {
		d.Candidates = nil // so that they replace the default ones
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// Every case leads to its sentence and its reasons.
func TestExplanationsFollowTheVectors(t *testing.T) {
	text, err := os.ReadFile("testdata/explain.json")
	if err != nil {
		t.Fatal(err)
	}
	var c explainCases
	if err := json.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}

	reasons := make(map[Reason]bool)
	for _, tt := range c.Cases {
		e := tt.Explain.Explain
		e.Own, e.Other = c.end(t, tt.Explain.Own), c.end(t, tt.Explain.Other)
		if e.Role == "" {
			e.Role = "viewer"
		}

		e.conclude()
		got := [][2]string{}
		for _, m := range e.WhyNot {
			got = append(got, [2]string{string(m.Type), string(m.Reason)})
			reasons[m.Reason] = true
		}

		if e.Summary != tt.Sentence {
			t.Errorf("%s: %q, want %q", tt.Name, e.Summary, tt.Sentence)
		}
		if !slices.Equal(got, tt.WhyNot) {
			t.Errorf("%s:\n%v, want\n%v", tt.Name, got, tt.WhyNot)
		}
	}

	if len(reasons) != 11 {
		t.Errorf("the cases name %d reasons, want all: %v", len(reasons), slices.Sorted(maps.Keys(reasons)))
	}
}
