//go:build linux

package turnbench

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// proseWidth is how many columns a line of a document has, at most.
const proseWidth = 100

// prose writes a blank line and a paragraph, wrapped as documents are.
func prose(b *strings.Builder, format string, args ...any) {
	b.WriteByte('\n')
	column := 0
	for word := range strings.FieldsSeq(fmt.Sprintf(format, args...)) {
		n := utf8.RuneCountInString(word)
		switch {
		case column == 0:
		case column+1+n > proseWidth:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	b.WriteByte('\n')
}

const (
	reportTitle = "# The relay beside other TURN servers\n"

	reportSource = "Written by %s. Measured on a machine with %s; %s. Such machines are noisy: read the ratios."

	reportPlot = "\n![packets per second of the server's processor time](turn-benchmark.svg)\n\n## What is measured\n"

	loadIntro = `
One load generator (test/turnload) does the same with every server. For each client, it requests an allocation, with
long-term credentials, and a channel or a permission for the client's peer. Then each client sends packets of 1,200
bytes to the other client of its session, through the relay at both ends, in both directions. Each client has its own
address. A burst is a number of packets of one flow that are sent at once. A packet counts if it arrives once, at the
client that it was for. The generator keeps at most 192 packets under way, and 48 per flow, so that a server is always
busy and loses nothing for lack of buffers.`

	serversIntro = `
The servers are measured in turn, %d runs each, while all of them are up; the figures are medians. *Ours* (also with
XDP) and *pion* are the same small program (test/turnbench/contestant), once around turn.New and once around pion/turn,
both without limits of bandwidth. *coturn* has its defaults. *Loopback* is a namespace of its own: a burst crosses it in
one piece (GSO), and arrives in one piece at a server that asks for that (GRO). *veth* is a cable between two namespaces
without segmentation offload, like a wire: packets cross one by one, and each end receives in a kernel thread on its own
side's core. With XDP the server has its own cable, since an attached program costs time for every packet that passes.`

	processorIntro = `
A server has one core to itself, and the generator another. A server's processor time is the time of its process, which
includes the network stack's work on its behalf, and the time of the kernel threads that work for it: the one that
receives at its end of the cable, and its core's ksoftirqd. (A kernel that accounts for interrupts separately, with
IRQ_TIME_ACCOUNTING, would leave part of a sender's work out of its process' time; Debian's kernel and this one do not.)
On loopback, the sender pays for handing over a packet. So the server pays for what it sends, and the generator for what
the server receives; this is the same for all servers.`

	aimsIntro = `
These are ratios of our figure to the other server's, with the server on one core, over all numbers of allocations, by
ChannelData and by indications.`

	relayedIntro = "Thousands of packets per second of the server's processor time, with the server on one core."

	streamsHead = "\n## Packets relayed between clients over TCP and TLS\n\n" +
		"![packets per second of the server's processor time](turn-benchmark-streams.svg)\n"

	streamsIntro = `
These are the same figures, with the server on one core, for sessions with TCP or TLS at both ends, or with UDP at one
end and TCP or TLS at the other. A burst is one write by the client. With TLS, each packet is a record, as it is for
clients that write each packet by itself. ChannelData is padded to 4 bytes (RFC 8656, section 12.5), which adds nothing
to 1,200 bytes. The window is the same as for UDP: a server that held back more would stall, and what it drops counts as
lost. All clients ask every server for the same TLS: %s (coturn 4.6 has no newer version), with an ECDSA certificate on
P-256. The handshake is not measured. TCP uses Reno's congestion control over loopback and over veth. XDP is only for
UDP.`

	coresIntro = "The same with the server on two cores. %s."

	latencyIntro = `
This is the time from before a burst is sent until the kernel has a packet of it back, at a fixed rate, in bursts of 8
between 16 allocations, for %v each. *Added* is what the server adds: the difference to *%s*, where the clients send to
each other directly.`

	idleIntro = `
A server that has just started gets %s allocations, 32 at a time, each requested without credentials first. Then it is
left alone. The heap, which includes stacks, is what survives a garbage collection.`
)
