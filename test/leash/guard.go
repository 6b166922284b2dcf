//go:build linux

package leash

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// guardName is a guard's first argument, and what ps(1) shows for it, so that nobody who kills tests by name kills a
// guard.
const guardName = "leash-guard"

const (
	lookEvery = 20 * time.Millisecond
	// cleanLooks is how many looks in a row must find nothing: a process that is just being started shows its parent's
	// environment.
	cleanLooks = 3
	// patience is how long a killed process may take to go. One that the kernel holds stays.
	patience = 30 * time.Second
)

func isGuard() bool { return len(os.Args) == 3 && os.Args[0] == guardName }

// guard waits for the holder's end, kills what it left, reports what that was, and removes its files.
func guard() (code int) {
	mark, dir := os.Args[1], os.Args[2]
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE)
	_, _ = io.Copy(io.Discard, os.Stdin) // nothing comes but the end

	left, gone := killAll(mark)
	for _, what := range left {
		fmt.Println(what)
	}
	if err := os.RemoveAll(dir); err != nil || !gone {
		fmt.Fprintf(os.Stderr, "leash: not everything is gone: %v\n", err)
		return 1
	}
	return 0
}

// killAll kills marked processes until there are none. It returns what they were, and whether they are gone.
func killAll(mark string) (left []string, gone bool) {
	seen := make(map[int]bool)
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for clean, late := 0, time.Now().Add(patience); clean < cleanLooks; <-look.C {
		clean++
		for _, pid := range marked(mark) {
			clean = 0
			if !seen[pid] {
				seen[pid] = true
				left = append(left, describe(pid))
			}
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended by itself
		}

		if clean == 0 && time.Now().After(late) {
			return left, false
		}
	}

	return left, true
}

// marked lists the processes that bear the mark and those that descend from one: a program may overwrite its own
// environment, as Chromium does to show its title. Zombies count as gone.
func marked(mark string) (pids []int) {
	children, bearers := make(map[int][]int), []int(nil)
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil
	}
	for _, path := range all {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil || pid == os.Getpid() {
			continue
		}
		parent, alive := parentOf(path)
		if !alive {
			continue
		}

		children[parent] = append(children[parent], pid)
		if bears(pid, mark) {
			bearers = append(bearers, pid)
		}
	}

	seen := make(map[int]bool)
	for len(bearers) > 0 {
		pid := bearers[0]
		bearers = append(bearers[1:], children[pid]...)
		if !seen[pid] {
			seen[pid] = true
			pids = append(pids, pid)
		}
	}

	return pids
}

// parentOf reads a process's parent from its stat file (proc(5)), and reports whether the process still runs.
func parentOf(stat string) (parent int, alive bool) {
	text, err := os.ReadFile(stat)
	if err != nil {
		return 0, false
	}

	// pid (comm) state ppid …, where comm may hold anything.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 2 || fields[0] == "Z" || fields[0] == "X" {
		return 0, false
	}
	parent, err = strconv.Atoi(fields[1])
	return parent, err == nil
}

// bears reports whether a process has the mark in its environment.
func bears(pid int, mark string) bool {
	environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return err == nil && bytes.Contains(append([]byte{0}, environment...), []byte("\x00"+mark+"="))
}

// describe returns a process's number and command line.
func describe(pid int) string {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || len(line) == 0 {
		return fmt.Sprintf("  %d", pid)
	}
	const most = 200
	text := strings.TrimSpace(string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
	return fmt.Sprintf("  %d %s", pid, text[:min(len(text), most)])
}
