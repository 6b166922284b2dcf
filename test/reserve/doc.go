// Package reserve keeps ports for servers that tests stop and start again, or never start.
//
//	address := reserve.For(t)
//	l, err := net.Listen("tcp", address)   // now, later, again, or never
//
// A port that was free a moment ago may not be free any more: other tests take ports all the time. A reserved one is
// bound to a socket that does not listen (ip(7), SO_REUSEADDR). The kernel then gives it to nobody who asks for any
// port, refuses connections to it, and still lets a server listen at this very address. The package must never be
// imported but by tests and their tools.
package reserve
