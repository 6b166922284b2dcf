package xdp

import (
	"os"
	"strings"
	"testing"

	"github.com/peephole-cam/peephole/test/natlab"
)

// TestInterruptsAreHeldBackWhileAttached: an interface's interrupts are held back as long as the program is attached.
// Settings of somebody else stay as they are.
func TestInterruptsAreHeldBackWhileAttached(t *testing.T) {
	end, _ := natlab.Cable(t)
	for name, set := range map[string]map[string]string{
		"nobody has set it":     {"gro_flush_timeout": "0", "napi_defer_hard_irqs": "0"},
		"somebody has":          {"gro_flush_timeout": "50000", "napi_defer_hard_irqs": "2"},
		"somebody has, by half": {"gro_flush_timeout": "0", "napi_defer_hard_irqs": "2"},
	} {
		t.Run(name, func(t *testing.T) {
			var f *Forwarder
			err := end.Do(func() (err error) {
				for file, value := range set {
					if err := os.WriteFile("/sys/class/net/"+end.Device+"/"+file, []byte(value), 0o600); err != nil {
						return err
					}
				}
				f, err = Attach(Config{Interface: end.Device, Port: port, Clients: 1})
				return err
			})
			if err != nil {
				t.Fatal(err)
			}

			want := set
			if name == "nobody has set it" {
				want = map[string]string{"gro_flush_timeout": "20000", "napi_defer_hard_irqs": "1"}
			}

			expect(t, end, want)
			if err := f.Close(); err != nil { // on another thread than Attach, with another /sys
				t.Error(err)
			}
			expect(t, end, set)
		})
	}
}

func expect(t *testing.T, end *natlab.End, want map[string]string) {
	t.Helper()
	for file, value := range want {
		var got []byte
		err := end.Do(func() (err error) {
			got, err = os.ReadFile("/sys/class/net/" + end.Device + "/" + file)
			return err
		})
		if err != nil || strings.TrimSpace(string(got)) != value {
			t.Errorf("%s is %s, %v; want %s", file, got, err, value)
		}
	}
}
