//go:build linux

package turnbench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// cores says where the load and the servers run.
type cores struct {
	load    []int
	one     []int // the server, on one core
	two     []int // the server, on two
	machine string
}

// divideCores gives the last core to the server, and the first to the load. On a machine with two cores, a server on
// two cores shares one with the load; on a machine with one core, all share it.
func divideCores(t testing.TB) cores {
	t.Helper()
	all, err := availableCores()
	if err != nil {
		t.Fatal(err)
	}
	n := len(all)
	return cores{load: all[:1], one: all[n-1:], two: all[max(0, n-2):], machine: describe(n)}
}

// availableCores returns the cores that this process had at its start, before it pinned itself.
var availableCores = sync.OnceValues(func() (all []int, err error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("read affinity: %w", err)
	}
	for i := 0; len(all) < set.Count(); i++ {
		if set.IsSet(i) {
			all = append(all, i)
		}
	}

	return all, nil
})

// describe returns what kind of machine this is, but not which one.
func describe(n int) string {
	info, _ := os.ReadFile("/proc/cpuinfo")
	model := "unknown processor"
	for line := range strings.Lines(string(info)) {
		if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "model name" {
			model = strings.TrimSpace(value)
		}
	}

	var u unix.Utsname
	_ = unix.Uname(&u) // no name then
	release, _, _ := strings.Cut(unix.ByteSliceToString(u.Release[:]), "-")
	return fmt.Sprintf("%d cores (%s), Linux %s", n, model, release)
}

// pin restricts a whole process, or a kernel thread, to some cores.
func pin(t testing.TB, pid int, to []int) {
	t.Helper()
	var set unix.CPUSet
	for _, c := range to {
		set.Set(c)
	}

	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/[0-9]*", pid))
	if err != nil || len(tasks) == 0 {
		t.Fatalf("find threads of %d: %v", pid, err)
	}
	for _, task := range tasks {
		tid, err := strconv.Atoi(filepath.Base(task))
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.SchedSetaffinity(tid, &set); err != nil && err != unix.ESRCH { // a thread may have ended
			t.Fatalf("pin %d: %v", tid, err)
		}
	}
}

// list returns cores in the form that taskset(1) takes.
func list(cores []int) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(cores), " ", ","), "[]")
}

// A meter counts a server's processor time: that of its process, and that of the kernel threads that work for it. The
// process' time includes the network stack's work on its behalf, unless the kernel accounts for interrupts separately.
type meter struct {
	pid     int
	threads []int // kernel threads: the one that receives at its device, and those to which its cores defer softirqs
}

func newMeter(pid, napi int, cores []int) meter {
	m := meter{pid: pid}
	if napi != 0 {
		m.threads = append(m.threads, napi)
	}
	names, _ := filepath.Glob("/proc/[0-9]*/comm") // the pattern is sound
	for _, name := range names {
		comm, _ := os.ReadFile(name) // a process may have ended
		for _, c := range cores {
			if string(bytes.TrimSpace(comm)) == fmt.Sprintf("ksoftirqd/%d", c) {
				tid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
				m.threads = append(m.threads, tid)
			}
		}
	}

	return m
}

// cpu returns the processor time so far.
func (m meter) cpu() (time.Duration, error) {
	var t unix.Timespec
	// The clock that counts another process' processor time (clock_getcpuclockid(3), CPUCLOCK_SCHED).
	if err := unix.ClockGettime(int32(^m.pid<<3|2), &t); err != nil {
		return 0, fmt.Errorf("read the processor time of %d: %w", m.pid, err)
	}
	sum := time.Duration(t.Nano())

	for _, tid := range m.threads {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", tid))
		if err != nil {
			return 0, fmt.Errorf("read the processor time of a kernel thread: %w", err)
		}
		first, _, _ := strings.Cut(string(text), " ")
		ns, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read the processor time of a kernel thread: %w", err)
		}
		sum += time.Duration(ns)
	}

	return sum, nil
}

// resident returns a process' memory in use, in bytes.
func resident(pid int) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, fmt.Errorf("read memory of %d: %q", pid, text)
	}

	pages, err := strconv.Atoi(fields[1])
	return pages * os.Getpagesize(), err
}

// descriptors counts a process' open files.
func descriptors(pid int) (int, error) {
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(files), err
}
