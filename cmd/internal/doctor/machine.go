package doctor

import "fmt"

const (
	// A relay needs minFiles open files: each connection of a device or a TURN client is one. A person is advised to
	// allow goodFiles, as many as there may be connections of one kind.
	minFiles, goodFiles = 16384, 65536
	// wantedBuffer is the size in bytes that the relay asks of the kernel for its UDP socket (package turn).
	wantedBuffer = 4 << 20
)

// checkOpenFiles tells whether the relay can have enough connections.
func checkOpenFiles() Finding { return judgeFiles(fileLimit()) }

func judgeFiles(limit uint64, known bool) Finding {
	f := Finding{Check: "open files"}
	value := fmt.Sprint(limit)
	switch {
	case !known:
		return f.conclude(Unknown, "", "this system does not say how many files a process may open")
	case limit >= minFiles:
		return f.conclude(OK, value, "processes of this user may open enough files")
	}
	return f.conclude(Bad, value, fmt.Sprintf("a process of this user may open %d files, and each connection is one: "+
		"say LimitNOFILE=%d in the service, or raise ulimit -n", limit, goodFiles))
}

// checkBuffers tells whether the kernel keeps enough packets for the relay.
func checkBuffers() Finding {
	receive, ok := kernelNumber("net/core/rmem_max")
	send, ok2 := kernelNumber("net/core/wmem_max")
	return judgeBuffers(min(receive, send), ok && ok2)
}

func judgeBuffers(granted uint64, known bool) Finding {
	f := Finding{Check: "udp buffers"}
	value := fmt.Sprint(granted)
	switch {
	case !known:
		return f.conclude(Unknown, "", "this system does not say how large UDP buffers may be")
	case granted >= wantedBuffer:
		return f.conclude(OK, value, "the kernel grants the size that the relay asks for")
	}
	return f.conclude(Bad, value, fmt.Sprintf("the kernel grants %d bytes, too few for keyframes of many cameras at "+
		"once: run sysctl -w net.core.rmem_max=%d net.core.wmem_max=%d, and set both in /etc/sysctl.d",
		granted, wantedBuffer, wantedBuffer))
}

// checkTimeService tells whether something keeps this machine's clock.
func checkTimeService() Finding { return judgeTimeService(synchronized()) }

func judgeTimeService(synchronized bool) Finding {
	f := Finding{Check: "clock"}
	if synchronized {
		return f.conclude(OK, "kept", "a time service keeps this machine's clock")
	}
	return f.conclude(Unknown, "", "this system does not say whether a time service keeps its clock: "+
		"make sure that one runs, since mailboxes change with the relay's day")
}
