package server

import "github.com/peephole-cam/peephole/signaling"

// What things cost in bytes of memory, so that limits count what an attack costs us, not what it sends. All are upper
// bounds; TestCostsCoverTheHeap measures them.
const (
	// connCost is for a connection with its goroutines, buffers and TLS, and the deliveries that it remembers.
	connCost = 56 << 10
	// sessionCost is for a connection over WebTransport, with the windows and datagrams that its client may fill.
	sessionCost = 512 << 10
	// openedCost is for a mailbox that a connection has open, and for the mailbox itself while nobody has admitted it.
	openedCost = 1536
	// boxCost is for an admitted mailbox, which outlives connections.
	boxCost = 640
	// ticketCost is for the state of a ticket in use.
	ticketCost = 2048
	// reserveBytes is what every mailbox with a reader can hold, whatever others use: one offer.
	reserveBytes = 10 << 10
	// pairingCost is for a rendezvous mailbox with all messages that it may ever hold.
	pairingCost = boxCost + pairingMessages*(pairingBody+messageOverhead)

	messageOverhead = 176 // of a stored message, in addition to its body
	frameOverhead   = 160 // of a frame that waits to be written, in addition to its body
)

// messageCost returns the memory that a stored message takes. The allocator has given its body the slice's capacity,
// which is up to a sixth more than its length, and whole pages beyond 32 KiB.
func messageCost(body []byte) int64 { return int64(cap(body)) + messageOverhead }

// frameCost returns the memory that a frame takes while it waits to be written. It takes the same once more while it is
// written: the store and two readers may share one body, but each connection writes a copy.
func frameCost(f signaling.Frame) int64 {
	switch f := f.(type) {
	case signaling.Deliver:
		return int64(frameOverhead + len(f.Body))
	case signaling.Granted:
		return int64(frameOverhead + len(f.JSON))
	}
	return frameOverhead
}

// What work costs in microseconds of one processor, including the work of the connection and the kernel. BenchmarkWork
// measures it.
const (
	enterWork  = 400 // a connection
	frameWork  = 8   // a WebSocket frame: a ping and its pong, a fragment, or a whole message
	openWork   = 130 // a signature; includes its frame, like those below
	ticketWork = 110 // another signature
	postWork   = 25
	grantWork  = 40

	// badSignatureWork is an additional charge for a signature that does not verify.
	badSignatureWork = 1000

	// What the mail store adds, if there is one. BenchmarkStore in its package measures it.
	lookWork  = 25  // an open
	putWork   = 90  // a post
	eraseWork = 250 // an ack
)

// workOf returns what it costs to handle a client's message, beyond the frame in which it arrived. stores means that
// there is a mail store.
func workOf(f signaling.Frame, stores bool) int64 {
	work := memoryWork(f)
	if !stores {
		return work
	}
	switch f := f.(type) {
	case signaling.Open:
		return work + lookWork
	case signaling.Post:
		if f.TTL > 0 {
			return work + putWork
		}
	case signaling.Ack:
		return work + eraseWork
	}
	return work
}

// memoryWork returns what a message costs that only touches memory.
func memoryWork(f signaling.Frame) int64 {
	switch f := f.(type) {
	case signaling.Open:
		return openWork - frameWork
	case signaling.Post:
		return postWork - frameWork + int64(len(f.Body)>>10)
	case signaling.GrantRequest:
		return grantWork - frameWork
	}
	return 0
}
