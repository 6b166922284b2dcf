package turn

import "os"

// expressly is set where the tests run once more with XDP, by TestWithXDP.
const expressly = "PEEPHOLE_TURN_XDP"

// express says whether the kernel forwards what it can.
var express = os.Getenv(expressly) != ""
