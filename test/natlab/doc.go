// Package natlab builds small internets out of Linux network namespaces, for tests: hosts that run real programs,
// behind routers that translate, filter and forget as real routers do, over lines with delay, loss and a rate.
//
//	lab := natlab.New(t)
//	relay := lab.Public("relay")
//	camera := lab.Behind("camera", natlab.PortRestricted)
//	viewer := lab.Behind("viewer", natlab.SymmetricRandom)
//	err := camera.Start(exec.Command("camera-sim", "-relay", "https://relay.lab"))
//
//	                  internet: 203.0.113.0/24, 198.51.100.0/24, 2001:db8::/32
//	                   │                    │
//	            TUN ── line ── TUN   TUN ── line ── TUN      delay, loss, rate; some kinds' translator; recordings
//	                   │                    │
//	                router               router              nftables: firewall, masquerade
//	                   │ lan                │ lan            a bridge and veth pairs: ARP, multicast and all
//	              host   host             host
//
// Every namespace is held by one operating system thread of the test process and has no name, so that there is nothing
// to remove: when the lab closes, the test panics or its process is killed, the threads end, their processes are killed
// with them, and the kernel removes the namespaces. Labs know nothing of each other.
//
// Each Kind of network does what its fields say, as the tests measure, and nothing leaves a lab: no interface leads out
// of it, and its internet routes only the addresses of documentation. Only tests may import the package, and it must
// never change a network that it did not make.
package natlab
