// Package doctor examines what keeps pictures from coming, or from coming directly, and says what to change: for a person who
// watches (the network here, and the relays as they are seen from here), and for an operator (a relay's own machine).
//
// Each check is a function that gives one [Finding]: what was tested, ok, bad or unknown, and in one sentence what it means and
// what to do. A check that could not be made is unknown, never ok.
//
// It promises to contact the relays that it is given, the household's own router and this machine's outside address, and
// nobody else; and that a finding tells no address unless addresses are asked for. It must never show a password, trust what a relay
// says beyond where to send a question, or change anything, but for a port that a router is asked to open and to close again.
package doctor
