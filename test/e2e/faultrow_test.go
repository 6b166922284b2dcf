package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// faultRow is the result of one fault.
type faultRow struct {
	fault             string
	foreign, rejected int
	told              []string
	back              time.Duration // after the fault
}

// markdown returns the row as doc/mixup.md has it.
func (r faultRow) markdown() string {
	told := strings.Join(r.told, "<br>")
	if told == "" {
		told = "nothing: the right picture went on"
	}
	return fmt.Sprintf("| %s | %d | %d | %s | %.1f |\n", r.fault, r.foreign, r.rejected,
		strings.NewReplacer("|", "\\|", "\n", "; ").Replace(told), r.back.Seconds())
}

// writeFaults writes the table to the file that PEEPHOLE_FAULTS_TABLE names.
func writeFaults(t *testing.T, rows []faultRow) {
	t.Helper()
	var b strings.Builder
	b.WriteString("| fault | strangers' frames shown | rejected | what the person was told | " +
		"right picture back after (s) |\n|---|---|---|---|---|\n")
	for _, r := range rows {
		if r.fault == "" { // the test ended before this row
			continue
		}
		b.WriteString(r.markdown())
	}

	t.Log("\n" + b.String())
	if path := os.Getenv("PEEPHOLE_FAULTS_TABLE"); path != "" {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
