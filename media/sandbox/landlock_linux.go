package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Rights of landlock(7) over a file system.
const (
	readFile  = unix.LANDLOCK_ACCESS_FS_READ_FILE
	readAny   = readFile | unix.LANDLOCK_ACCESS_FS_READ_DIR
	runAny    = readAny | unix.LANDLOCK_ACCESS_FS_EXECUTE
	useDevice = readFile | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	// ofFiles are the rights that apply to files; the others apply only to folders.
	ofFiles = runAny&^unix.LANDLOCK_ACCESS_FS_READ_DIR | useDevice | unix.LANDLOCK_ACCESS_FS_TRUNCATE
)

// programs are the folders of a system's programs and libraries and of their data. None of them contains secrets.
var programs = []string{
	"/usr", "/bin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix/store", "/gnu/store", "/snap",
	"/etc/ld.so.cache", "/etc/ld.so.preload",
}

// surroundings are files that libraries read: the number of processors, random numbers, trusted certificates.
var surroundings = []string{
	"/sys/devices/system/cpu", "/dev/zero", "/dev/random", "/dev/urandom", "/etc/localtime",
	"/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/pki/tls/certs", "/etc/pki/ca-trust", "/etc/gnutls",
	"/etc/crypto-policies",
}

// naming are the files that are read to look up a name.
var naming = []string{
	"/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf", "/etc/services",
}

// landlock restricts the calling thread to the files and TCP ports that it needs, as far as the kernel can.
func landlock(h *Held, program string, needs Needs) {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		h.note("files (landlock)", errno)
		return
	}
	abi := int(version)
	if err := restrictSelf(abi, program, needs); err != nil {
		h.note("files (landlock)", err)
		return
	}

	h.note(fmt.Sprintf("files (landlock %d)", abi), nil)
	if abi < 4 {
		h.note("TCP ports (landlock)", errOldKernel)
	}
	if abi < 6 {
		h.note("signals to others (landlock)", errOldKernel)
	}
}

var errOldKernel = errors.New("this kernel is too old")

// handled returns everything that a version of landlock can forbid. It forbids all of that except what a rule allows.
func handled(abi int) unix.LandlockRulesetAttr {
	r := unix.LandlockRulesetAttr{Handled_access_fs: unix.LANDLOCK_ACCESS_FS_MAKE_SYM<<1 - 1} // all of version 1
	if abi >= 2 {
		r.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if abi >= 3 {
		r.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}

	if abi >= 4 {
		r.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	if abi >= 5 {
		r.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}

	if abi >= 6 {
		r.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
	}
	return r
}

func restrictSelf(abi int, program string, needs Needs) error {
	attr := handled(abi)
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)),
		unsafe.Sizeof(attr), 0)
	if errno != 0 {
		return fmt.Errorf("create ruleset: %w", errno)
	}
	defer unix.Close(int(fd))

	rules := ruleset{fd: int(fd), attr: attr}
	for path, rights := range rightsOf(program, needs) {
		if err := rules.allow(path, rights); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("allow %s: %w", path, err)
		}
	}

	if port := needs.Network.TCP; port != 0 && abi >= 4 {
		if err := rules.allowPort(port); err != nil {
			return fmt.Errorf("allow port: %w", err)
		}
	}

	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
		return fmt.Errorf("restrict: %w", errno)
	}
	return nil
}

// rightsOf returns the rights of a program, by path.
func rightsOf(program string, needs Needs) map[string]uint64 {
	rights := make(map[string]uint64)
	add := func(right uint64, paths ...string) {
		for _, p := range paths {
			if p != "" {
				rights[p] |= right
			}
		}
	}

	add(runAny, programs...)
	add(runAny, program)
	add(runAny, filepath.SplitList(os.Getenv(libraryPath))...)
	if target, err := filepath.EvalSymlinks(program); err == nil && filepath.Base(filepath.Dir(target)) == "bin" {
		add(runAny, target, filepath.Join(filepath.Dir(target), "..", "lib"))
	}

	add(readAny, surroundings...)
	add(readFile|unix.LANDLOCK_ACCESS_FS_WRITE_FILE, "/dev/null")
	if needs.Network.Names {
		add(readAny, naming...)
	}

	add(readAny, needs.Read...)
	add(useDevice, needs.Device)
	return rights
}

// ruleset is a set of landlock rules under construction.
type ruleset struct {
	fd   int
	attr unix.LandlockRulesetAttr
}

func (r ruleset) allow(path string, rights uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)

	var about unix.Stat_t
	if err := unix.Fstat(fd, &about); err != nil {
		return err
	}

	if about.Mode&unix.S_IFMT != unix.S_IFDIR {
		rights &= ofFiles
	}
	rule := unix.LandlockPathBeneathAttr{Allowed_access: rights & r.attr.Handled_access_fs, Parent_fd: int32(fd)}
	return r.add(unix.LANDLOCK_RULE_PATH_BENEATH, unsafe.Pointer(&rule))
}

func (r ruleset) allowPort(port uint16) error {
	const netPort = 2 // LANDLOCK_RULE_NET_PORT
	rule := struct{ access, port uint64 }{unix.LANDLOCK_ACCESS_NET_CONNECT_TCP, uint64(port)}
	return r.add(netPort, unsafe.Pointer(&rule))
}

func (r ruleset) add(kind uintptr, rule unsafe.Pointer) error {
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(r.fd), kind, uintptr(rule), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
