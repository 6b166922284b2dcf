package doctor

import "fmt"

const (
	// leastFiles is for the connections that a relay takes, of devices and of TURN clients: each is an open file. goodFiles is as many as
	// there may be connections of one kind.
	leastFiles, goodFiles = 16384, 65536
	// wantedBuffer is what the relay asks of the kernel for its UDP socket (package turn), in bytes.
	wantedBuffer = 4 << 20
)

// openFiles says how many connections the relay can have.
func openFiles() Finding {
	f := Finding{Check: "open files", Verdict: Unknown, Text: "this system does not say how many a process may have"}
	limit, ok := fileLimit()
	if !ok {
		return f
	}
	return judgeFiles(f, limit)
}

func judgeFiles(f Finding, limit uint64) Finding {
	f.Verdict, f.Value, f.Text = OK, fmt.Sprint(limit), "processes of this user may have enough of them"
	if limit < leastFiles {
		f.Verdict = Bad
		f.Text = fmt.Sprintf("a process of this user may have %d, and each connection is one: say LimitNOFILE=%d in the service, or ulimit -n", limit, goodFiles)
	}
	return f
}

// buffers says how many packets the kernel keeps for the relay.
func buffers() Finding {
	f := Finding{Check: "udp buffers", Verdict: Unknown, Text: "this system does not say how large they may be"}
	receive, ok := kernelNumber("net/core/rmem_max")
	send, ok2 := kernelNumber("net/core/wmem_max")
	if !ok || !ok2 {
		return f
	}
	return judgeBuffers(f, min(receive, send))
}

func judgeBuffers(f Finding, most uint64) Finding {
	f.Verdict, f.Value, f.Text = OK, fmt.Sprint(most), "the kernel grants the relay what it asks for"
	if most < wantedBuffer {
		f.Verdict = Bad
		f.Text = fmt.Sprintf("the kernel grants %d bytes, and keyframes of many cameras at once want more: sysctl -w net.core.rmem_max=%d net.core.wmem_max=%d, and in /etc/sysctl.d", most, wantedBuffer, wantedBuffer)
	}
	return f
}

// kept says whether something keeps this machine's clock.
func kept() Finding {
	f := Finding{Check: "clock", Verdict: Unknown, Text: "this system does not say whether its clock is kept: the relay's chooses the day of mailboxes, so see to it that a time service runs"}
	if synchronized() {
		f.Verdict, f.Value, f.Text = OK, "kept", "a time service keeps this machine's"
	}
	return f
}
