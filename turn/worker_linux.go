package turn

import (
	"errors"
	"net/netip"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

const (
	workerSlots = 32      // messages a call
	joinedSize  = 1 << 16 // room for one, joined from many datagrams
)

// worker reads one socket, and sends what it read before it reads again. While it sends, more comes in, which it then reads in one
// go: so it takes more at a time the more there is. With nothing in hand it may wait for more to gather, see gathering. A call
// that finds the socket empty sleeps in the kernel, and no other call is needed to wake up.
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
	// The thread is this worker's until both end, since it wakes when it asked to, and not up to 50 µs later as threads do.
	runtime.LockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) // else it waits more than twice as long
	var wait backoff
	var gather gathering
	last, nap := time.Now(), unix.NsecToTimespec(gatherFor.Nanoseconds())
	closed := w.requests.closed
	for used := len(w.messages); ; {
		for i := range w.messages[:used] { // the kernel wrote there
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
			datagrams += w.take(i)
		}
		w.out.flush()
		used = n
		now := time.Now()
		if gather.round(now.Sub(last), n, datagrams) {
			_ = unix.Nanosleep(&nap, nil) // a signal may end it before its time
		}
		last = now
	}
}

// take handles one message, of one datagram or of many, and returns of how many.
func (w *worker) take(i int) int {
	m := &w.messages[i]
	p := w.arena[i*w.size:][:m.n]
	size, local := 0, netip.Addr{}
	if m.Controllen > 0 {
		size, local = w.controls[i].read(int(m.Controllen))
	}
	if m.Flags&unix.MSG_TRUNC != 0 {
		w.relay.counters.count(dropTooBig)
		return 1
	}
	w.datagrams(p, size, w.names[i].get(), local)
	if size <= 0 {
		return 1
	}
	return (len(p) + size - 1) / size
}
