//go:build linux

package e2e

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/media"
	"github.com/peephole-cam/peephole/test/natlab"
)

// filmEvery is the time from picture to picture.
const filmEvery = time.Second / filmRate

// arrival is a picture that has come.
type arrival struct {
	at    time.Time
	delay time.Duration // behind an even pace of filmRate pictures a second, as if the first had none
}

// delays returns every picture that has come. A lost picture makes all that follow it 40 ms late.
func (a *arrivals) delays(t testing.TB) (all []arrival) {
	t.Helper()
	a.mu.Lock()
	times, ends, data := slices.Clone(a.times), slices.Clone(a.ends), a.data[:len(a.data):len(a.data)]
	a.mu.Unlock()
	units, err := media.Split(data)
	if err != nil {
		t.Fatal(err)
	}

	end, chunk := 0, 0
	for n, unit := range units[:len(units)-1] { // the last one may go on
		end += len(unit)
		for ends[chunk] < end {
			chunk++
		}
		at := times[chunk]
		all = append(all, arrival{at, at.Sub(times[0]) - time.Duration(n)*filmEvery})
	}
	return all
}

// lateBy returns how late the pictures were that were sent from one moment to another, in ms. zero is the delay of a
// picture that is not late.
func lateBy(of []arrival, zero time.Duration, from, to time.Time) (late []float64) {
	for _, a := range of {
		if sent := a.at.Add(zero - a.delay); !sent.Before(from) && sent.Before(to) {
			late = append(late, float64((a.delay-zero).Microseconds())/1000)
		}
	}
	return late
}

// BenchmarkBulkBesidePicture prints what a large object on the same line does to a live picture of 1 Mbit/s, and how
// fast the object travels, with the camera yielding and, for comparison, without.
func BenchmarkBulkBesidePicture(b *testing.B) {
	if err := bulkEndsBuilt(); err != nil {
		b.Fatalf("build test/bulkends: %v", err)
	}
	s := newStage(b, natlab.Open.WithoutIPv6(), natlab.PortRestricted, "camera", "-name", "sim-0", "-input",
		film(b, 1000))
	s.pair(b)

	rows := []string{
		"| line, each way | camera yields | object | of what is left | pictures late, alone | beside it | lost |",
		"|---|---|---|---|---|---|---|",
	}
	for _, rate := range []int{4e6, 20e6} {
		for _, delay := range []time.Duration{5 * time.Millisecond, 50 * time.Millisecond} {
			for _, yields := range []bool{false, true} {
				b.Run(fmt.Sprintf("%dMbit_%v_%t", rate/1e6, delay, yields), func(b *testing.B) {
					line := natlab.Quality{Rate: rate, Delay: delay}
					s.person.Network().Impair(line, line)
					rows = append(rows, s.besideBulk(b, rate, yields,
						fmt.Sprintf("| %d Mbit/s, %v | %t", rate/1e6, delay, yields)))
				})
			}
		}
	}
	fmt.Println("\n" + strings.Join(rows, "\n"))
}

// besideBulk watches for a while, then also carries an object, and returns the row of the table that begins as given.
func (s *scene) besideBulk(b *testing.B, rate int, yields bool, row string) string {
	b.Helper()
	a := s.watch(b)
	defer a.stop()
	time.Sleep(3 * time.Second) // the stream settles
	began := time.Now()
	time.Sleep(2 * (*bulkTime))

	ends := bulkScene{camera: s.home, viewer: s.person, watched: yields}
	size := int(float64(rate) / 8 * 2 * bulkTime.Seconds())
	took, over := ends.carry(b, "quic", false, size)
	beside := over.Add(-took)
	time.Sleep(3 * time.Second) // the queue drains

	all := a.delays(b)
	zero := slices.MinFunc(all, func(a, b arrival) int { return cmp.Compare(a.delay, b.delay) }).delay
	alone, late := lateBy(all, zero, began, beside), lateBy(all, zero, beside, over)
	whole := lateBy(all, zero, began, time.Now())
	shift := percentile(whole[len(whole)-filmRate:], 50) - percentile(whole[:filmRate], 50)
	lost := int(math.Round(shift / float64(filmEvery.Milliseconds())))

	object := float64(size) * 8 / took.Seconds() / 1e6
	b.ReportMetric(object, "object-Mbit/s")
	b.ReportMetric(percentile(late, 95), "beside-p95-ms")
	b.ReportMetric(percentile(alone, 95), "alone-p95-ms")
	b.ReportMetric(float64(lost), "lost")
	b.ReportMetric(0, "ns/op")
	return fmt.Sprintf("%s | %.1f Mbit/s | %.2f | p95 %.0f ms | p95 %.0f, longest %.0f ms | %d |", row, object,
		object/(float64(rate)/1e6-1), percentile(alone, 95), percentile(late, 95), percentile(late, 100), lost)
}
