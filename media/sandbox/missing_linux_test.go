package sandbox

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// startInside runs in a process that seems to be on a machine that lacks something. It starts a confined program and
// prints which protections held.
func startInside(file string) {
	process, err := Start(exec.Command("/bin/cat", file), Needs{Read: []string{file}})
	if err == nil {
		err = process.Wait()
	}
	if err != nil {
		os.Stderr.WriteString(err.Error())
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(process.Held)
}

// lacking runs cmd as on a machine that lacks a system call, or only one option of it if option is not 0.
func lacking(cmd *exec.Cmd, call uint32, option uint32, errno unix.Errno) error {
	code := []unix.SockFilter{load(atCall), unlessEqual(call, 0, 3)}
	if option != 0 {
		code = append(code, load(atArgs), unlessEqual(option, 0, 1))
	} else {
		code = append(code, load(atCall), unlessEqual(call, 0, 1))
	}

	code = append(code, result(refuse|uint32(errno)), result(allow))
	started := make(chan error, 1)
	gone := make(chan struct{})
	defer close(gone)
	onOwnThread(func() {
		program := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
		err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
		if err == nil {
			if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0,
				uintptr(unsafe.Pointer(&program))); errno != 0 {
				err = errno
			}
		}

		if err == nil {
			err = cmd.Start()
		}
		started <- err
		<-gone
	})

	if err := <-started; err != nil {
		return err
	}
	return cmd.Wait()
}

// A protection that the kernel or a container lacks is left out and reported, and the others still hold.
func TestProgramRunsWithoutMissingProtections(t *testing.T) {
	file := t.TempDir() + "/needed"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, held := target(t).run(t, &Needs{})
	whole(t, held)

	for _, tt := range []struct {
		name         string
		call, option uint32
		errno        unix.Errno
		missing      string
		held         int
	}{
		{"landlock", unix.SYS_LANDLOCK_CREATE_RULESET, 0, unix.ENOSYS, "files (landlock): function not implemented", 4},
		{"landlock, turned off", unix.SYS_LANDLOCK_CREATE_RULESET, 0, unix.EOPNOTSUPP,
			"files (landlock): operation not supported", 4},
		{"landlock, half", unix.SYS_LANDLOCK_RESTRICT_SELF, 0, unix.EPERM,
			"files (landlock): restrict: operation not permitted", 4},
		{"seccomp", unix.SYS_SECCOMP, 0, unix.ENOSYS, "sockets and system calls (seccomp): function not implemented",
			4},
		{"no_new_privs", unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, unix.EINVAL,
			"privileges (no_new_privs), files, sockets and system calls: invalid argument", 2},
		{"capabilities", unix.SYS_CAPSET, 0, unix.EPERM, "privileges (capabilities): operation not permitted", 4},
		{"limits", unix.SYS_PRLIMIT64, 0, unix.EPERM, "core dumps and memory (rlimits): operation not permitted", 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "start", file)
			var out, complaint bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &complaint
			if err := lacking(cmd, tt.call, tt.option, tt.errno); err != nil {
				t.Fatalf("%v: %s", err, complaint.Bytes())
			}

			var held Held
			if err := json.Unmarshal(out.Bytes(), &held); err != nil {
				t.Fatal(err)
			}
			if len(held.Missing) != 1 || held.Missing[0] != tt.missing || len(held.By) != tt.held {
				t.Errorf("missing %q, held %q; want %q and %d", held.Missing, held.By, tt.missing, tt.held)
			}
		})
	}
}

func TestOldLandlockIsAskedOnlyForWhatItKnows(t *testing.T) {
	for abi, bits := range map[int]int{1: 13, 2: 14, 3: 15, 4: 15, 5: 16, 6: 16, 7: 16, 99: 16} {
		got := handled(abi)
		if got.Handled_access_fs != 1<<bits-1 || (got.Handled_access_net != 0) != (abi >= 4) ||
			(got.Scoped != 0) != (abi >= 6) {
			t.Errorf("version %d: %+v", abi, got)
		}

		for path, rights := range rightsOf("/usr/bin/ffmpeg", Needs{Device: "/dev/video0", Read: []string{"/x"}}) {
			if extra := rights &^ (1<<16 - 1); extra != 0 || strings.HasPrefix(path, "/home") {
				t.Errorf("%s: %x", path, rights)
			}
		}
	}
}
