package turn

import (
	"errors"
	"net/netip"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

const (
	workerSlots = 32      // messages per call
	joinedSize  = 1 << 16 // room for one message, joined from many datagrams
)

// worker reads one socket, and sends what it read before it reads again. Meanwhile more comes in, which it then reads
// in one go: the more there is, the more it handles at a time. With nothing in hand it may let more gather first, see
// gathering. A call that finds the socket empty sleeps in the kernel, and needs no other call to wake up.
type worker struct {
	ingress
	socket   *batchSocket
	fd       int
	size     int // of each slot
	arena    []byte
	names    [workerSlots]sockaddr
	controls [workerSlots]control
	iovs     [workerSlots]unix.Iovec
	messages [workerSlots]mmsghdr
}

func newWorker(s *batchSocket, fd int, in ingress) *worker {
	w := &worker{ingress: in, socket: s, fd: fd, size: joinedSize}
	if !s.joined {
		w.size = (maxMessage/64 + 1) * 64
	}

	w.arena = make([]byte, workerSlots*w.size)
	for i := range w.messages {
		w.iovs[i].Base = &w.arena[i*w.size]
		w.iovs[i].SetLen(w.size)
		h := &w.messages[i].Msghdr
		h.Name, h.Iov, h.Control = &w.names[i][0], &w.iovs[i], &w.controls[i][0]
		h.SetIovlen(1)
	}
	return w
}

func (w *worker) run() {
	// The worker owns its thread until both end, so that the timer slack set here holds. With the default slack, a nap
	// ends up to 50 µs late and takes more than twice as long.
	runtime.LockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)

	var wait backoff
	var gather gathering
	last, nap := time.Now(), unix.NsecToTimespec(gatherFor.Nanoseconds())
	closed := w.requests.closed
	for used := len(w.messages); ; {
		for i := range w.messages[:used] { // the kernel has overwritten these
			w.messages[i].Namelen = uint32(len(sockaddr{}))
			w.messages[i].SetControllen(len(control{}))
		}

		n, e := recvmmsg(w.fd, w.messages[:])
		if w.socket.stopped.Load() {
			return
		}
		if e != 0 {
			used = len(w.messages)
			if !errors.Is(e, unix.EINTR) {
				wait.after(closed)
			}
			continue
		}
		wait = 0

		datagrams := 0
		for i := range w.messages[:n] {
			datagrams += w.handleMessage(i)
		}
		w.out.flush()
		used = n

		now := time.Now()
		if gather.round(now.Sub(last), n, datagrams) {
			_ = unix.Nanosleep(&nap, nil) // a signal may end it early
		}
		last = now
	}
}

// handleMessage handles one message and returns how many datagrams it was joined from.
func (w *worker) handleMessage(i int) int {
	m := &w.messages[i]
	p := w.arena[i*w.size:][:m.n]
	size, local := 0, netip.Addr{}
	if m.Controllen > 0 {
		size, local = w.controls[i].parse(int(m.Controllen))
	}
	if m.Flags&unix.MSG_TRUNC != 0 {
		w.relay.counters.count(dropTooBig)
		return 1
	}

	w.receive(p, size, w.names[i].get(), local)
	if size <= 0 {
		return 1
	}
	return (len(p) + size - 1) / size
}
