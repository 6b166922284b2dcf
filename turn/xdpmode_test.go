package turn

import "os"

// withXDPVariable is the environment variable by which TestWithXDP runs the tests once more with XDP.
const withXDPVariable = "PEEPHOLE_TURN_XDP"

// withXDP reports whether the tests run with the kernel forwarding what it can.
var withXDP = os.Getenv(withXDPVariable) != ""
