package sandbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestMain is also the program that the tests confine. It tries what its arguments say, and prints the results.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "probe" {
		var p probe
		if err := json.Unmarshal([]byte(os.Args[2]), &p); err != nil {
			panic(err)
		}
		if _, err := io.Copy(io.Discard, os.Stdin); err != nil { // until all protections are in place
			panic(err)
		}
		if err := json.NewEncoder(os.Stdout).Encode(p.try()); err != nil {
			panic(err)
		}
		return
	}

	if len(os.Args) == 3 && os.Args[1] == "start" {
		startInside(os.Args[2])
		return
	}
	os.Exit(m.Run())
}

// probe describes what an intruder in the program tries.
type probe struct {
	Needed, Other, Folder string // a file that the program needs, one that it does not, and a folder to write in
	Device                string
	Port, OtherPort       int // of listeners on 127.0.0.1
	Datagram              int
	Socket                string // of a service
	Parent                int
}

// tried holds the result of each attempt: the error, or "" if it worked.
type tried map[string]string

func (p probe) try() tried {
	out := make(tried)
	note := func(name string, err error) {
		out[name] = ""
		if err != nil {
			out[name] = err.Error()
		}
	}

	read := func(path string) error { _, err := os.ReadFile(path); return err }

	note("read needed", read(p.Needed))
	note("read other", read(p.Other))
	note("read by a shell", exec.Command("/bin/sh", "-c", "exec cat '"+p.Other+"'").Run())
	note("list", func() error { _, err := os.ReadDir(p.Folder); return err }())
	note("write needed", func() error {
		f, err := os.OpenFile(p.Needed, os.O_WRONLY, 0)
		if err == nil {
			f.Close()
		}
		return err
	}())

	note("create", os.WriteFile(p.Folder+"/new", nil, 0o600))
	note("remove", os.Remove(p.Folder+"/old"))
	note("parent's environment", read(fmt.Sprintf("/proc/%d/environ", p.Parent)))
	note("passwords", read("/etc/passwd"))
	if p.Device != "" {
		note("device", device(p.Device))
	}

	note("connect", connect("tcp", fmt.Sprintf("127.0.0.1:%d", p.Port)))
	note("connect elsewhere", connect("tcp", fmt.Sprintf("127.0.0.1:%d", p.OtherPort)))
	note("datagram", connect("udp", fmt.Sprintf("127.0.0.1:%d", p.Datagram)))
	note("service", connect("unix", p.Socket))
	note("listen", func() error {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err == nil {
			l.Close()
		}
		return err
	}())

	for name, family := range map[string][2]int{
		"netlink": {unix.AF_NETLINK, unix.SOCK_RAW}, "packet": {unix.AF_PACKET, unix.SOCK_RAW},
		"raw":   {unix.AF_INET, unix.SOCK_RAW},
		"vsock": {unix.AF_VSOCK, unix.SOCK_STREAM}, "alg": {unix.AF_ALG, unix.SOCK_SEQPACKET},
	} {
		fd, err := unix.Socket(family[0], family[1]|unix.SOCK_CLOEXEC, 0)
		if err == nil {
			unix.Close(fd)
		}
		note(name, err)
	}

	note("signal parent", unix.Kill(p.Parent, 0))
	note("namespace", unix.Unshare(unix.CLONE_NEWUSER))
	note("namespace by clone", call(unix.SYS_CLONE, unix.CLONE_NEWUSER|uintptr(unix.SIGCHLD), 0, 0))
	note("clone3", call(unix.SYS_CLONE3, 0, 0, 0))
	note("trace parent", call(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(p.Parent), 0))
	note("read parent's memory", call(unix.SYS_PROCESS_VM_READV, uintptr(p.Parent), 0, 0))
	note("bpf", call(unix.SYS_BPF, 0, 0, 0))
	note("io_uring", call(unix.SYS_IO_URING_SETUP, 0, 0, 0))
	note("keyring", call(unix.SYS_KEYCTL, 0, 0, 0))

	note("mount", func() error {
		err := unix.Mount("none", p.Folder, "tmpfs", 0, "")
		if err == nil {
			err = unix.Unmount(p.Folder, 0)
		}
		return err
	}())

	note("chroot", unix.Chroot("/"))
	note("set user", call(unix.SYS_SETRESUID, 12345, 12345, 12345))
	out["environment"] = strings.Join(os.Environ(), "\n")
	var core, data unix.Rlimit
	unix.Getrlimit(unix.RLIMIT_CORE, &core)
	unix.Getrlimit(unix.RLIMIT_DATA, &data)
	header, sets := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, [2]unix.CapUserData{}
	unix.Capget(&header, &sets[0])
	out["capabilities"] = fmt.Sprintf("%x", sets[0].Permitted&^keptCapabilities|sets[1].Permitted)
	out["limits"] = fmt.Sprint(core.Max, data.Max)

	return out
}

func call(number, a, b, c uintptr) error {
	child, _, errno := unix.RawSyscall6(number, a, b, c, 0, 0, 0)
	if errno != 0 {
		return errno
	}
	if number == unix.SYS_CLONE && child == 0 {
		unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}

	return nil
}

func connect(network, address string) error {
	c, err := net.DialTimeout(network, address, 10*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()

	if network == "udp" { // dialing has sent nothing yet
		_, err = c.Write([]byte("x"))
	}
	return err
}

// device opens a device for reading and writing, and queries it. The answer that it is not a terminal counts as
// success.
func device(path string) error {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)

	var size unix.Winsize
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGWINSZ, uintptr(unsafe.Pointer(&size)))
	if errno != 0 && errno != unix.ENOTTY {
		return errno
	}
	return nil
}

// run starts the probe, unconfined if needs is nil, and returns its results and which protections held.
func (p probe) run(t *testing.T, needs *Needs) (tried, Held) {
	t.Helper()
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "probe", string(text))
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	started, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	process, err := start(cmd, needs)
	if err != nil {
		t.Fatal(err)
	}
	started.Close() // start sets the limits last, when the program already runs

	if err := process.Wait(); err != nil {
		t.Fatalf("%v: %s", err, complaint.Bytes())
	}
	var did tried
	if err := json.Unmarshal(out.Bytes(), &did); err != nil {
		t.Fatalf("%v: %s", err, out.Bytes())
	}
	return did, process.Held
}
